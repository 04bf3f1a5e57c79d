/** A network that leads to AWS and nowhere else, and in which nothing can be reached but the endpoints and the state. */
import { Stack, aws_ec2 as ec2 } from 'aws-cdk-lib';

export interface Network {
  readonly vpc: ec2.Vpc;
  /** Of tasks: nothing comes in, HTTPS goes out. */
  readonly tasks: ec2.SecurityGroup;
  /** Of the controller: the same. */
  readonly controller: ec2.SecurityGroup;
}

/** Interface endpoints; S3 has a gateway, which costs nothing. */
const SERVICES = {
  EcrApi: ec2.InterfaceVpcEndpointAwsService.ECR,
  EcrDocker: ec2.InterfaceVpcEndpointAwsService.ECR_DOCKER,
  Ecs: ec2.InterfaceVpcEndpointAwsService.ECS,
  Kms: ec2.InterfaceVpcEndpointAwsService.KMS,
  Logs: ec2.InterfaceVpcEndpointAwsService.CLOUDWATCH_LOGS,
  Secrets: ec2.InterfaceVpcEndpointAwsService.SECRETS_MANAGER,
  Sqs: ec2.InterfaceVpcEndpointAwsService.SQS,
  Sts: ec2.InterfaceVpcEndpointAwsService.STS,
} as const;

export function networkOf(stack: Stack): Network {
  const vpc = new ec2.Vpc(stack, 'Vpc', {
    maxAzs: 2,
    natGateways: 0,
    subnetConfiguration: [{ name: 'isolated', subnetType: ec2.SubnetType.PRIVATE_ISOLATED }],
    restrictDefaultSecurityGroup: false,
    gatewayEndpoints: { S3: { service: ec2.GatewayVpcEndpointAwsService.S3 } },
  });
  const closed = (name: string, description: string): ec2.SecurityGroup => {
    const group = new ec2.SecurityGroup(stack, name, { vpc, description, allowAllOutbound: false });
    // Routes lead to the endpoints only; S3's addresses are public ones.
    group.addEgressRule(ec2.Peer.anyIpv4(), ec2.Port.tcp(443), 'HTTPS to the endpoints and S3');
    return group;
  };
  const tasks = closed('Tasks', 'Pangolin tasks');
  const controller = closed('ControllerGroup', 'Pangolin controller');
  const endpoints = new ec2.SecurityGroup(stack, 'Endpoints', {
    vpc,
    description: 'VPC endpoints',
    allowAllOutbound: false,
  });
  for (const from of [tasks, controller]) endpoints.addIngressRule(from, ec2.Port.tcp(443));
  for (const [name, service] of Object.entries(SERVICES)) {
    vpc.addInterfaceEndpoint(name, { service, securityGroups: [endpoints], open: false });
  }
  return { vpc, tasks, controller };
}
