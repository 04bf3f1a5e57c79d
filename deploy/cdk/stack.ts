/** Everything that Pangolin needs of an AWS account. Permissions are those of the table (controller/src/iam.ts) and no others. */
import {
  Aws,
  CfnOutput,
  Duration,
  RemovalPolicy,
  Stack,
  aws_ecr as ecr,
  aws_ecs as ecs,
  aws_iam as iam,
  aws_kms as kms,
  aws_logs as logs,
  aws_s3 as s3,
  aws_sqs as sqs,
  type StackProps,
} from 'aws-cdk-lib';
import type { Construct } from 'constructs';
import { policyOf, principals, type Name, type Principal } from '../../controller/src/iam.ts';
import { alarmsOf } from './alarms.ts';
import { controllerService } from './controller.ts';
import { networkOf } from './network.ts';

export interface PangolinProps extends StackProps {
  /** By digest. */
  readonly workerImage?: string | undefined;
  /** By digest. Without it no controller is deployed here; it can run anywhere that has its role's credentials. */
  readonly controllerImage?: string | undefined;
  /** Of seals and checkpoints in the bucket with Object Lock. */
  readonly retentionDays: number;
}

export class PangolinStack extends Stack {
  /** What the table of permissions calls them. */
  readonly names: Readonly<Record<Name, string>>;

  constructor(scope: Construct, id: string, props: PangolinProps) {
    super(scope, id, props);
    const dataKey = new kms.Key(this, 'DataKey', { enableKeyRotation: true, description: 'Objects of the storage' });
    const signing = (name: string, description: string): kms.Key =>
      new kms.Key(this, name, {
        keySpec: kms.KeySpec.ECC_NIST_P256,
        keyUsage: kms.KeyUsage.SIGN_VERIFY,
        removalPolicy: RemovalPolicy.RETAIN,
        description,
      });
    const [sealKey, attestKey] = [signing('SealKey', 'Closes runs'), signing('AttestKey', 'Signs statements')];
    const { bucket, lockBucket } = this.#buckets(dataKey);

    const queue = this.#notifications(bucket);

    const network = networkOf(this);
    const cluster = new ecs.Cluster(this, 'Cluster', { vpc: network.vpc, enableFargateCapacityProviders: true });
    const worker = new ecr.Repository(this, 'Worker', { imageTagMutability: ecr.TagMutability.IMMUTABLE });
    const taskLogs = new logs.LogGroup(this, 'TaskLogs', { retention: logs.RetentionDays.ONE_MONTH });

    const ecsTasks = new iam.ServicePrincipal('ecs-tasks.amazonaws.com');
    const execution = new iam.Role(this, 'Execution', { assumedBy: ecsTasks });
    this.names = {
      partition: Aws.PARTITION,
      region: this.region,
      account: this.account,
      bucket: bucket.bucketName,
      prefix: '',
      lock_bucket: lockBucket.bucketName,
      lock_prefix: '',
      data_key_arn: dataKey.keyArn,
      seal_key_arn: sealKey.keyArn,
      attest_key_arn: attestKey.keyArn,
      cluster: cluster.clusterName,
      execution_role_arn: execution.roleArn,
      repository_arn: worker.repositoryArn,
      log_group: taskLogs.logGroupName,
      queue_arn: queue.queueArn,
    };
    const controller = new iam.Role(this, 'Controller', { assumedBy: ecsTasks });
    const roles: Readonly<Partial<Record<Principal, iam.Role>>> = { execution, controller, sealer: controller };
    for (const principal of Object.keys(principals) as Principal[]) {
      const document = iam.PolicyDocument.fromJson(policyOf(principal, this.names));
      const name = `${principal[0]!.toUpperCase()}${principal.slice(1)}Policy`;
      const role = roles[principal];
      // Who submits, audits and collects is for the operator to say: attach these.
      new iam.ManagedPolicy(this, name, { document, ...(role && { roles: [role] }) });
    }

    const config = JSON.stringify({
      notifications: { queueUrl: queue.queueUrl, region: this.region },
      compute: {
        fargate: {
          region: this.region,
          cluster: cluster.clusterName,
          subnets: network.vpc.isolatedSubnets.map(({ subnetId }) => subnetId),
          securityGroups: [network.tasks.securityGroupId],
          executionRoleArn: execution.roleArn,
          image: props.workerImage ?? `${worker.repositoryUri}@sha256:${'0'.repeat(64)}`,
          logGroup: taskLogs.logGroupName,
          capacity: ['spot', 'on-demand'],
        },
      },
      evidence: {
        anchors: [
          {
            id: 'worm',
            type: 's3-object-lock',
            bucket: lockBucket.bucketName,
            region: this.region,
            retentionDays: props.retentionDays,
          },
        ],
      },
    });
    new CfnOutput(this, 'Config', { value: config, description: 'pangolin.yaml (JSON is YAML)' });
    new CfnOutput(this, 'StorageLocation', { value: `s3://${bucket.bucketName}?region=${this.region}` });
    new CfnOutput(this, 'SealKeyArn', { value: sealKey.keyArn });
    new CfnOutput(this, 'AttestKeyArn', { value: attestKey.keyArn });
    if (props.controllerImage !== undefined) {
      const image = props.controllerImage;
      const { service, logGroup } = controllerService(this, {
        image,
        cluster,
        role: controller,
        network,
        bucket,
        config,
      });
      alarmsOf(this, { service, cluster, logGroup });
    }
  }

  #buckets(encryptionKey: kms.Key): { readonly bucket: s3.Bucket; readonly lockBucket: s3.Bucket } {
    const common = {
      blockPublicAccess: s3.BlockPublicAccess.BLOCK_ALL,
      objectOwnership: s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
      enforceSSL: true,
      removalPolicy: RemovalPolicy.RETAIN,
    };
    const bucket = new s3.Bucket(this, 'Storage', {
      ...common,
      encryptionKey,
      bucketKeyEnabled: true,
      lifecycleRules: [
        { abortIncompleteMultipartUploadAfter: Duration.days(1) },
        { prefix: 'tasks/', expiration: Duration.days(8) },
      ],
    });
    const lockBucket = new s3.Bucket(this, 'Worm', {
      ...common,
      encryption: s3.BucketEncryption.S3_MANAGED,
      versioned: true,
      objectLockEnabled: true,
    });
    const everyone = { principals: [new iam.AnyPrincipal()], effect: iam.Effect.DENY };
    const objects = [lockBucket.arnForObjects('*')];
    // As docs/operate.md says: only once, only locked, and no way around.
    for (const statement of [
      { sid: 'OnlyOnce', actions: ['s3:PutObject'], conditions: { Null: { 's3:if-none-match': 'true' } } },
      { sid: 'OnlyLocked', actions: ['s3:PutObject'], conditions: { StringNotEquals: { 's3:object-lock-mode': 'COMPLIANCE' } } },
      { sid: 'NoWayAround', actions: ['s3:BypassGovernanceRetention', 's3:DeleteObject'] },
    ]) {
      lockBucket.addToResourcePolicy(new iam.PolicyStatement({ ...everyone, ...statement, resources: objects }));
    } // prettier-ignore
    return { bucket, lockBucket };
  }

  /** Of new files in inbox/ and control/: hints that wake the controller at once. */
  #notifications(bucket: s3.Bucket): sqs.Queue {
    const queue = new sqs.Queue(this, 'Notifications', { retentionPeriod: Duration.days(1) });
    const conditions = { StringEquals: { 'aws:SourceAccount': this.account } };
    queue.grantSendMessages(new iam.ServicePrincipal('s3.amazonaws.com', { conditions }));
    // Not addEventNotification: it deploys a function that may change any bucket.
    const resource = bucket.node.defaultChild as s3.CfnBucket;
    resource.notificationConfiguration = {
      queueConfigurations: ['inbox/', 'control/'].map((value) => ({
        event: 's3:ObjectCreated:*',
        queue: queue.queueArn,
        filter: { s3Key: { rules: [{ name: 'prefix', value }] } },
      })),
    };
    bucket.node.addDependency(queue.node.findChild('Policy'));
    return queue;
  }
}
