/** What a task is to ECS: its definition, and the request that runs it. Pure. */
import type { RegisterTaskDefinitionCommandInput, RunTaskCommandInput } from '@aws-sdk/client-ecs';
import { canonicalBytes } from '@pangolin/contracts/canonical';
import type { FargateConfig } from '@pangolin/contracts/config';
import { sha256 } from '@pangolin/contracts/digest';
import { PangolinError } from '@pangolin/contracts/errors';
import type { Sandbox } from '@pangolin/contracts/task';
import { refuseAllowList, unsupported } from './checks.ts';
import { OVERRIDE_CHARACTERS_MAX, STOP_TIMEOUT_MAX_S, type Capacity } from './ecs-limits.ts';
import { CONTAINER } from './fargate-end.ts';
import { limitsOf, sizeFor } from './fargate-size.ts';
import type { SandboxRequest, TaskStart } from './provider.ts';

export const TAG = {
  deployment: 'pangolin:deployment',
  run: 'pangolin:run',
  item: 'pangolin:item',
  attempt: 'pangolin:attempt',
  task: 'pangolin:task',
} as const;

/** All that Docker gives by default, but what the runner needs to give blocks another uid and to end what they leave. */
const CAPABILITIES_DROPPED = [
  'AUDIT_WRITE',
  'FOWNER',
  'FSETID',
  'MKNOD',
  'NET_BIND_SERVICE',
  'NET_RAW',
  'SETFCAP',
  'SETPCAP',
  'SYS_CHROOT',
];
/** Storage of the task that is writable, beside its read-only root. */
const VOLUMES = { work: '/work', tmp: '/tmp' } as const;
const DIGEST = /@sha256:([0-9a-f]{64})$/;

/** @throws PangolinError UNSUPPORTED for what Fargate cannot enforce. */
export function enforcedSandbox(request: SandboxRequest): Sandbox {
  refuseAllowList(request.network, 'fargate');
  if (request.network === 'none') {
    throw unsupported(
      'network',
      'a Fargate task always has a network: its worker reaches the storage through it',
      'Ask for `network: open`, and bound it with the security groups of the deployment; or use --compute docker.',
    );
  }
  if (request.image !== undefined) digestOf(request.image);
  return {
    network: 'open',
    rootfs: 'read-only',
    user: 'separate',
    // Fargate takes no security options, and bounds processes by the size of the task only.
    noNewPrivileges: false,
    ...limitsOf(sizeFor(request)),
    runtime: 'fargate',
  };
}

/** @throws PangolinError UNSUPPORTED: what a tag names can change under a run. */
export function digestOf(image: string): string {
  const digest = DIGEST.exec(image)?.[1];
  if (digest !== undefined) return digest;
  throw unsupported(
    'image',
    `the image ${image} is not named by its digest`,
    'Name it as REPOSITORY@sha256:…; `docker push` prints the digest.',
  );
}

/** The same for every task of an image and a size; its family is named after its content. */
export function definitionOf(
  task: TaskStart,
  config: FargateConfig,
  image: string,
): RegisterTaskDefinitionCommandInput {
  const stopTimeout = Math.max(2, Math.ceil(task.graceMs / 1000));
  if (stopTimeout > STOP_TIMEOUT_MAX_S) {
    throw unsupported(
      'grace',
      `Fargate gives a task at most ${STOP_TIMEOUT_MAX_S} s after SIGTERM`,
      'Shorten `orch serve --grace`.',
    );
  }
  const size = sizeFor(task.sandbox);
  const [cpu, memory] = [String(size.cpuUnits), String(size.memoryMiB)];
  const content: Omit<RegisterTaskDefinitionCommandInput, 'family'> = {
    requiresCompatibilities: ['FARGATE'],
    networkMode: 'awsvpc',
    cpu,
    memory,
    runtimePlatform: { operatingSystemFamily: 'LINUX', cpuArchitecture: config.architecture ?? 'X86_64' },
    ...(config.executionRoleArn === undefined ? {} : { executionRoleArn: config.executionRoleArn }),
    ...(config.ephemeralStorageGiB === undefined
      ? {}
      : { ephemeralStorage: { sizeInGiB: config.ephemeralStorageGiB } }),
    volumes: Object.keys(VOLUMES).map((name) => ({ name })),
    containerDefinitions: [
      {
        name: CONTAINER,
        image,
        essential: true,
        user: 'root',
        readonlyRootFilesystem: true,
        cpu: size.cpuUnits,
        memory: size.memoryMiB,
        stopTimeout,
        linuxParameters: { capabilities: { drop: CAPABILITIES_DROPPED } },
        mountPoints: Object.entries(VOLUMES).map(([sourceVolume, containerPath]) => ({ sourceVolume, containerPath })),
        ...(config.logGroup === undefined ? {} : { logConfiguration: logsTo(config.logGroup, config.region) }),
      },
    ],
  };
  const fingerprint = sha256(canonicalBytes(content)).slice(0, 8);
  return { family: `pangolin-${digestOf(image).slice(0, 12)}-${cpu}-${memory}-${fingerprint}`, ...content };
}

/** For a worker that cannot reach the storage: everything else it has to say goes there. */
function logsTo(group: string, region: string) {
  return {
    logDriver: 'awslogs' as const,
    options: { 'awslogs-group': group, 'awslogs-region': region, 'awslogs-stream-prefix': 'pangolin' },
  };
}

/** Capacity to try for an attempt, in order: each attempt leaves out one more, down to the last. */
export function capacitiesFor(attempt: number, configured: readonly Capacity[] = ['on-demand']): readonly Capacity[] {
  return configured.slice(Math.min(attempt, configured.length) - 1);
}

export const startedBy = (deployment: string): string => `pangolin-${deployment}`;

/** @throws PangolinError TOO_LARGE when what the task must be told does not fit into a request. */
export function runInput(
  task: TaskStart,
  { config, deployment, definitionArn, capacity }: RunContext,
): RunTaskCommandInput {
  const environment = Object.entries(environmentOf(task)).map(([name, value]) => ({ name, value }));
  const overrides = { containerOverrides: [{ name: CONTAINER, environment }] };
  const length = JSON.stringify(overrides).length;
  if (length > OVERRIDE_CHARACTERS_MAX) {
    throw new PangolinError(
      'TOO_LARGE',
      `the environment of ${task.name} takes ${length} characters, and ECS takes ${OVERRIDE_CHARACTERS_MAX}`,
      { hint: 'Signed addresses are long with a long session token or key; use a shorter storage prefix.' },
    );
  }
  return {
    cluster: config.cluster,
    taskDefinition: definitionArn,
    count: 1,
    // The same request again is answered with the same task.
    clientToken: sha256(JSON.stringify([task.name, capacity])),
    startedBy: startedBy(deployment),
    capacityProviderStrategy: [{ capacityProvider: capacity === 'spot' ? 'FARGATE_SPOT' : 'FARGATE', weight: 1 }],
    ...(config.platformVersion === undefined ? {} : { platformVersion: config.platformVersion }),
    networkConfiguration: {
      awsvpcConfiguration: {
        subnets: [...config.subnets],
        securityGroups: [...config.securityGroups],
        assignPublicIp: config.assignPublicIp === true ? 'ENABLED' : 'DISABLED',
      },
    },
    tags: [
      { key: TAG.deployment, value: deployment },
      { key: TAG.run, value: tagValue(task.ref.runId) },
      { key: TAG.item, value: tagValue(task.ref.itemId) },
      { key: TAG.attempt, value: String(task.ref.attempt) },
      { key: TAG.task, value: task.name },
    ],
    overrides,
  };
}

export interface RunContext {
  readonly config: FargateConfig;
  readonly deployment: string;
  readonly definitionArn: string;
  readonly capacity: Capacity;
}

/** Ids for people; tags know no `~`. */
const tagValue = (id: string): string => id.replaceAll('~', '_');

function environmentOf(task: TaskStart): Record<string, string> {
  return {
    PANGOLIN_WORK: VOLUMES.work,
    PANGOLIN_MANIFEST_SHA256: task.manifestSha256,
    PANGOLIN_GRACE_MS: String(task.graceMs),
    // The address goes with the digest of what is behind it, and the manifest with its own.
    ...(task.taskGrant && { PANGOLIN_TASK_URL: task.taskGrant.url, PANGOLIN_TASK_SHA256: task.taskGrant.sha256 }),
  };
}
