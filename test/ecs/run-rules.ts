/** What RunTask refuses on Fargate. */
import type { RunTaskCommandInput, TaskDefinition } from '@aws-sdk/client-ecs';
import { AwsError } from '../aws/json-server.ts';
import { EcsCluster } from './cluster.ts';

const OVERRIDES_MAX = 8192;
const TASKS_MAX = 10;

export function checkRun(input: RunTaskCommandInput, definition: TaskDefinition): void {
  const refuse = (message: string): never => {
    throw new AwsError('InvalidParameterException', message);
  };
  const { count = 1, clientToken, startedBy, tags = [], overrides, capacityProviderStrategy: strategy = [] } = input;
  if (count < 1 || count > TASKS_MAX) refuse(`count must be between 1 and ${TASKS_MAX}.`);
  if (clientToken !== undefined && !/^[\x21-\x7e]{1,64}$/.test(clientToken))
    refuse('clientToken must have 1 to 64 characters in the range 33-126.');
  if (startedBy !== undefined && !/^[A-Za-z0-9/_-]{1,128}$/.test(startedBy))
    refuse('startedBy contains invalid characters.');
  if (input.launchType !== undefined && strategy.length > 0)
    refuse('Specifying both a launch type and capacity provider strategy is not supported.');
  const provider = strategy.find(({ capacityProvider }) => !/^FARGATE(_SPOT)?$/.test(capacityProvider ?? ''));
  if (provider) refuse(`The capacity provider ${provider.capacityProvider} does not exist.`);
  const network = input.networkConfiguration?.awsvpcConfiguration;
  if (!network) return refuse("Network Configuration must be provided when networkMode 'awsvpc' is specified.");
  const subnet = network.subnets?.find((id) => id !== EcsCluster.subnet);
  if (subnet !== undefined) refuse(`The subnet ID '${subnet}' does not exist`);
  const group = network.securityGroups?.find((id) => id !== EcsCluster.securityGroup);
  if (group !== undefined) refuse(`The security group '${group}' does not exist`);
  if (tags.length > 50 || new Set(tags.map(({ key }) => key)).size < tags.length)
    refuse('Tags must be unique and at most 50.');
  if (tags.some(({ key }) => /^aws:/i.test(key ?? ''))) refuse('Tags cannot start with aws:.');
  const { length } = JSON.stringify(overrides ?? {});
  if (length > OVERRIDES_MAX) refuse(`Container Overrides length must be at most ${OVERRIDES_MAX}`);
  for (const { name } of overrides?.containerOverrides ?? []) {
    if (!definition.containerDefinitions!.some((each) => each.name === name))
      refuse(`Override for container named ${name} is not a container in the TaskDefinition.`);
  }
}
