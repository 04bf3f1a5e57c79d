/** The stack as CloudFormation: permissions are those of the table, nothing comes in, evidence cannot be changed. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { App } from 'aws-cdk-lib';
import { Match, Template } from 'aws-cdk-lib/assertions';
import { policyOf, principals, type Name, type Principal } from '../../controller/src/iam.ts';
import { PangolinStack } from './stack.ts';

const image = (name: string): string =>
  `123456789012.dkr.ecr.eu-central-1.amazonaws.com/${name}@sha256:${'a'.repeat(64)}`;
const stack = new PangolinStack(new App(), 'pangolin', {
  env: { account: '123456789012', region: 'eu-central-1' },
  workerImage: image('worker'),
  controllerImage: image('controller'),
  retentionDays: 3650,
});
const template = Template.fromStack(stack);

/** Intrinsic functions as text: `<Ref>`, `<Resource.Attribute>`. */
function flat(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(flat);
  if (typeof value !== 'object' || value === null) return value;
  const { Ref, 'Fn::GetAtt': attribute, 'Fn::Join': join } = value as Record<string, unknown>;
  if (typeof Ref === 'string') return `<${Ref}>`;
  if (Array.isArray(attribute)) return `<${attribute.join('.')}>`;
  if (Array.isArray(join)) return (join[1] as unknown[]).map(flat).join(join[0] as string);
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, flat(each)]));
}

/** What one element and a list of it mean alike in a policy. */
function listed(policy: unknown): unknown {
  const { Statement } = policy as { readonly Statement: readonly Record<string, unknown>[] };
  return Statement.map((statement) => ({
    ...statement,
    Action: [statement['Action']].flat(),
    Resource: [statement['Resource']].flat(),
  }));
}

test('every principal may what the table says, and no policy says more', () => {
  const names = flat(stack.resolve(stack.names)) as Record<Name, string>;
  const found = Object.entries(template.findResources('AWS::IAM::ManagedPolicy'));
  assert.equal(found.length, Object.keys(principals).length);
  for (const principal of Object.keys(principals) as Principal[]) {
    const [, resource] = found.find(([id]) => id.toLowerCase().startsWith(`${principal}policy`))!;
    const { PolicyDocument } = resource['Properties'] as { readonly PolicyDocument: unknown };
    assert.deepEqual(listed(flat(PolicyDocument)), listed(policyOf(principal, names)), principal);
  }
  // What CDK adds by itself: the execution role of the controller's own task, which pulls and logs.
  for (const [id, { Properties }] of Object.entries(template.findResources('AWS::IAM::Policy'))) {
    const actions = (Properties as { PolicyDocument: { Statement: { Action: string | string[] }[] } }).PolicyDocument.Statement.flatMap(({ Action }) => Action);
    for (const action of actions) assert.match(action, /^(logs:(CreateLogStream|PutLogEvents)|ecr:)/, id);
  } // prettier-ignore
  template.resourcePropertiesCountIs('AWS::ECS::TaskDefinition', { TaskRoleArn: Match.anyValue() }, 1);
});

test('nothing comes in but to the endpoints and the state', () => {
  for (const [id, { Properties }] of Object.entries(template.findResources('AWS::EC2::SecurityGroup'))) {
    const { SecurityGroupIngress, SecurityGroupEgress = [] } = Properties as { SecurityGroupIngress?: unknown; SecurityGroupEgress?: { FromPort?: number }[] };
    assert.equal(SecurityGroupIngress, undefined, id);
    assert.ok(SecurityGroupEgress.every(({ FromPort }) => [443, 2049, 252].includes(FromPort ?? 0)), id);
  } // prettier-ignore
  const ways = Object.values(template.findResources('AWS::EC2::SecurityGroupIngress')).map(({ Properties }) => {
    const { FromPort, SourceSecurityGroupId, CidrIp } = Properties as Record<string, unknown>;
    assert.ok(SourceSecurityGroupId !== undefined && CidrIp === undefined);
    return Number(FromPort);
  });
  assert.deepEqual(
    ways.sort((a, b) => a - b),
    [443, 443, 2049],
  );
  template.resourceCountIs('AWS::EC2::NatGateway', 0);
  template.resourceCountIs('AWS::EC2::InternetGateway', 0);
  const endpoints = Object.values(template.findResources('AWS::EC2::VPCEndpoint')).map(({ Properties }) =>
    JSON.stringify((Properties as { ServiceName: unknown }).ServiceName),
  );
  for (const service of ['s3', 'ecr.api', 'ecr.dkr', 'ecs', 'kms', 'logs', 'secretsmanager', 'sqs', 'sts']) {
    assert.ok(endpoints.some((each) => each.includes(`.${service}"`)), service);
  } // prettier-ignore
});

test('what is kept cannot be changed, and nothing goes with the stack', () => {
  template.hasResource('AWS::S3::Bucket', { Properties: { ObjectLockEnabled: true }, DeletionPolicy: 'Retain' });
  template.allResources('AWS::S3::Bucket', { DeletionPolicy: 'Retain' });
  const deny = (Sid: string, rest: object): object =>
    Match.objectLike({ Sid, Effect: 'Deny', Principal: { AWS: '*' }, ...rest });
  template.hasResourceProperties('AWS::S3::BucketPolicy', {
    PolicyDocument: {
      Statement: Match.arrayWith([
        deny('OnlyOnce', { Condition: { Null: { 's3:if-none-match': 'true' } } }),
        deny('OnlyLocked', { Condition: { StringNotEquals: { 's3:object-lock-mode': 'COMPLIANCE' } } }),
        deny('NoWayAround', { Action: ['s3:BypassGovernanceRetention', 's3:DeleteObject'] }),
      ]),
    },
  });
  template.resourcePropertiesCountIs('AWS::KMS::Key', { KeySpec: 'ECC_NIST_P256', KeyUsage: 'SIGN_VERIFY' }, 2);
});

test('one hardened controller, and somebody is told when it is gone', () => {
  template.hasResourceProperties('AWS::ECS::Service', {
    DesiredCount: 1,
    DeploymentConfiguration: Match.objectLike({ MaximumPercent: 100, MinimumHealthyPercent: 0 }),
    NetworkConfiguration: { AwsvpcConfiguration: Match.objectLike({ AssignPublicIp: 'DISABLED' }) },
  });
  template.hasResourceProperties('AWS::ECS::TaskDefinition', {
    ContainerDefinitions: [
      Match.objectLike({
        ReadonlyRootFilesystem: true,
        User: '1000:1000',
        StopTimeout: 30,
        PortMappings: Match.absent(),
        HealthCheck: Match.objectLike({ Command: ['CMD', 'pangolin', 'doctor', '--live'] }),
      }),
    ],
  });
  template.resourceCountIs('AWS::CloudWatch::Alarm', 3);
  template.allResourcesProperties('AWS::CloudWatch::Alarm', { AlarmActions: Match.anyValue() });
});
