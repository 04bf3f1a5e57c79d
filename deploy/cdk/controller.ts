/** The controller as one Fargate task with its run-state and keys on EFS. SQLite holds the file exclusively, so one task is all there may be. */
import {
  Duration,
  RemovalPolicy,
  Stack,
  aws_ec2 as ec2,
  aws_ecs as ecs,
  aws_efs as efs,
  aws_logs as logs,
  type aws_iam as iam,
  type aws_s3 as s3,
} from 'aws-cdk-lib';
import type { Network } from './network.ts';

interface ControllerProps {
  readonly image: string;
  readonly cluster: ecs.Cluster;
  readonly role: iam.Role;
  readonly network: Network;
  readonly bucket: s3.Bucket;
  /** Text of pangolin.yaml. */
  readonly config: string;
}

export function controllerService(
  stack: Stack,
  { image, cluster, role, network, bucket, config }: ControllerProps,
): { readonly service: ecs.FargateService; readonly logGroup: logs.LogGroup } {
  const { vpc, controller: group } = network;
  const stateGroup = new ec2.SecurityGroup(stack, 'StateGroup', {
    vpc,
    description: 'The state',
    allowAllOutbound: false,
  });
  const state = new efs.FileSystem(stack, 'State', {
    vpc,
    securityGroup: stateGroup,
    encrypted: true,
    enableAutomaticBackups: true,
    removalPolicy: RemovalPolicy.RETAIN,
    allowAnonymousAccess: true,
    vpcSubnets: { subnetType: ec2.SubnetType.PRIVATE_ISOLATED },
  });
  state.connections.allowDefaultPortFrom(group);
  group.addEgressRule(ec2.Peer.ipv4(vpc.vpcCidrBlock), ec2.Port.tcp(2049), 'The state');
  const owner = { uid: '1000', gid: '1000' };
  const accessPoint = state.addAccessPoint('StateAccess', {
    path: '/pangolin',
    posixUser: owner,
    createAcl: { ownerUid: '1000', ownerGid: '1000', permissions: '700' },
  });
  const task = new ecs.FargateTaskDefinition(stack, 'ControllerTask', {
    cpu: 512,
    memoryLimitMiB: 1024,
    taskRole: role,
  });
  task.addVolume({ name: 'tmp' });
  task.addVolume({
    name: 'state',
    efsVolumeConfiguration: {
      fileSystemId: state.fileSystemId,
      transitEncryption: 'ENABLED',
      authorizationConfig: { accessPointId: accessPoint.accessPointId },
    },
  });
  const logGroup = new logs.LogGroup(stack, 'ControllerLogs', { retention: logs.RetentionDays.THREE_MONTHS });
  const container = task.addContainer('controller', {
    image: ecs.ContainerImage.fromRegistry(image),
    entryPoint: ['tini', '--', 'sh', '-c'],
    command: [
      'printf %s "$PANGOLIN_CONFIG" >/tmp/pangolin.yaml && exec pangolin orch serve --compute fargate --config /tmp/pangolin.yaml',
    ],
    environment: {
      PANGOLIN_STORAGE: `s3://${bucket.bucketName}?region=${stack.region}`,
      PANGOLIN_STATE: '/data/controller',
      PANGOLIN_CONFIG: config,
    },
    user: '1000:1000',
    readonlyRootFilesystem: true,
    stopTimeout: Duration.seconds(30),
    logging: ecs.LogDriver.awsLogs({ streamPrefix: 'controller', logGroup }),
    healthCheck: {
      command: ['CMD', 'pangolin', 'doctor', '--live'],
      interval: Duration.seconds(60),
      timeout: Duration.seconds(30),
      retries: 2,
      startPeriod: Duration.seconds(120),
    },
  });
  container.addMountPoints(
    { sourceVolume: 'tmp', containerPath: '/tmp', readOnly: false },
    { sourceVolume: 'state', containerPath: '/data', readOnly: false },
  );
  const service = new ecs.FargateService(stack, 'ControllerService', {
    cluster,
    taskDefinition: task,
    desiredCount: 1,
    // The old one ends before the new one starts.
    minHealthyPercent: 0,
    maxHealthyPercent: 100,
    securityGroups: [group],
    vpcSubnets: { subnetType: ec2.SubnetType.PRIVATE_ISOLATED },
    assignPublicIp: false,
  });
  return { service, logGroup };
}
