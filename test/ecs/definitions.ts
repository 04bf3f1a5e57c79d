/** Task definitions, with the rules that Fargate has for them. */
import type { RegisterTaskDefinitionCommandInput, TaskDefinition } from '@aws-sdk/client-ecs';
import { AwsError } from '../aws/json-server.ts';

export const REGION = 'eu-central-1';
export const ACCOUNT = '123456789012';
export const arnOf = (rest: string): string => `arn:aws:ecs:${REGION}:${ACCOUNT}:${rest}`;

const memoryOf: Readonly<Record<string, readonly number[]>> = {
  '256': [512, 1024, 2048],
  '512': range(1024, 4096, 1024),
  '1024': range(2048, 8192, 1024),
  '2048': range(4096, 16_384, 1024),
  '4096': range(8192, 30_720, 1024),
  '8192': range(16_384, 61_440, 4096),
  '16384': range(32_768, 122_880, 8192),
};

function range(from: number, to: number, step: number): number[] {
  return Array.from({ length: (to - from) / step + 1 }, (_, n) => from + n * step);
}

const refuse = (message: string): never => {
  throw new AwsError('ClientException', message);
};

export class Definitions {
  readonly #families = new Map<string, TaskDefinition[]>();

  register(input: RegisterTaskDefinitionCommandInput): TaskDefinition {
    check(input);
    const revisions = this.#families.get(input.family!) ?? [];
    this.#families.set(input.family!, revisions);
    const revision = revisions.length + 1;
    const { tags: _, ...content } = input;
    const definition: TaskDefinition = {
      ...content,
      taskDefinitionArn: arnOf(`task-definition/${input.family}:${revision}`),
      revision,
      status: 'ACTIVE',
      compatibilities: ['EC2', 'FARGATE'],
      placementConstraints: [],
      // The service fills in what it was not told.
      containerDefinitions: input.containerDefinitions!.map((each) => ({
        environment: [],
        portMappings: [],
        volumesFrom: [],
        systemControls: [],
        ...each,
      })),
    };
    revisions.push(definition);
    return definition;
  }

  /** By family (then its newest active revision), family:revision or ARN. */
  find(name: string): TaskDefinition {
    const [family = '', revision] = name.replace(/^.*task-definition\//, '').split(':');
    const all = this.#families.get(family) ?? [];
    const found =
      revision === undefined ? all.filter(({ status }) => status === 'ACTIVE').at(-1) : all[Number(revision) - 1];
    return found ?? refuse('Unable to describe task definition.');
  }

  deregisterAll(): void {
    for (const all of this.#families.values()) for (const each of all) each.status = 'INACTIVE';
  }

  get families(): readonly string[] {
    return [...this.#families.keys()];
  }
}

function check(input: RegisterTaskDefinitionCommandInput): void {
  const { family, cpu, memory, containerDefinitions = [], volumes = [] } = input;
  if (!/^[A-Za-z0-9_-]{1,255}$/.test(family ?? '')) refuse('Family contains invalid characters.');
  if (!input.requiresCompatibilities?.includes('FARGATE')) refuse('this cluster runs Fargate tasks only');
  if (input.networkMode !== 'awsvpc') refuse("Fargate only supports network mode 'awsvpc'.");
  if (!memoryOf[cpu ?? '']?.includes(Number(memory)))
    refuse(`No Fargate configuration exists for given values: ${cpu} CPU, ${memory} memory.`);
  const { sizeInGiB } = input.ephemeralStorage ?? {};
  if (sizeInGiB !== undefined && (sizeInGiB < 21 || sizeInGiB > 200))
    refuse('Ephemeral storage must be between 21 and 200 GiB.');
  for (const each of containerDefinitions) {
    if (!each.name || !each.image) refuse('Container.name and Container.image must be set.');
    if (each.privileged) refuse('Fargate does not support privileged containers.');
    if (each.dockerSecurityOptions?.length)
      refuse('Fargate compatible task definitions do not support dockerSecurityOptions.');
    if (each.linuxParameters?.tmpfs?.length) refuse('Fargate compatible task definitions do not support tmpfs.');
    if (each.linuxParameters?.capabilities?.add?.some((name) => name !== 'SYS_PTRACE'))
      refuse('Fargate supports adding SYS_PTRACE only.');
    if ((each.stopTimeout ?? 0) > 120) refuse('stopTimeout can be 120 seconds at most.');
    if ((each.cpu ?? 0) > Number(cpu) || (each.memory ?? 0) > Number(memory))
      refuse('A container cannot have more than its task.');
    const unknown = each.mountPoints?.find(({ sourceVolume }) => !volumes.some(({ name }) => name === sourceVolume));
    if (unknown) refuse(`Unknown volume '${unknown.sourceVolume}'.`);
    if ((/\.dkr\.ecr\./.test(each.image!) || each.logConfiguration?.logDriver === 'awslogs') && !input.executionRoleArn)
      refuse('Fargate requires task definition to have execution role ARN to support ECR images and awslogs.');
  }
  if (!containerDefinitions.some(({ essential }) => essential !== false))
    refuse('A task needs an essential container.');
}
