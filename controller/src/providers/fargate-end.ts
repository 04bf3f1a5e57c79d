/** What ECS says of a task → an observation. Pure; the reasons of an end are one ordered table. */
import type { Task } from '@aws-sdk/client-ecs';
import type { Reason } from '@pangolin/contracts/reasons';
import type { TaskObservation } from './provider.ts';

/** The one container of a task. */
export const CONTAINER = 'worker';
const MESSAGE_MAX = 500;

/** The parts of a stopped task that say why. */
export interface TaskEnd {
  readonly stopCode: string | undefined;
  /** The reasons of the task and of its container. */
  readonly text: string;
  readonly exitCode: number | undefined;
  /** Whether the container ever ran. */
  readonly ran: boolean;
}

type Row = readonly [when: (end: TaskEnd) => boolean, then: Reason | undefined];
const says =
  (pattern: RegExp) =>
  ({ text }: TaskEnd): boolean =>
    pattern.test(text);
const failedToStart =
  (pattern: RegExp) =>
  ({ stopCode, text, ran }: TaskEnd): boolean =>
    (stopCode === 'TaskFailedToStart' || !ran) && pattern.test(text);

/** First match wins. `undefined`: the exit code says it. The class of the reason (contracts/reasons) names the budget. */
const rows: readonly Row[] = [
  // The kernel killed the container; the exit code alone (137) would look like a loss.
  [says(/OutOfMemory/i), 'OOMKilled'],
  // Fargate took spare capacity back, two minutes after its SIGTERM.
  [
    ({ stopCode, text }) => stopCode === 'SpotInterruption' || /spot (task was )?interrupt/i.test(text),
    'SpotInterrupted',
  ],
  // The host below the task is retired or unhealthy.
  [({ stopCode }) => stopCode === 'TerminationNotice' || stopCode === 'InfrastructureHealth', 'Lost'],
  // Stopped by a person or by us (the engine knows which), or by a service that should not own our tasks.
  [({ stopCode }) => stopCode === 'UserInitiated' || stopCode === 'ServiceSchedulerInitiated', 'Lost'],
  // The worker came to its end by itself.
  [({ stopCode, exitCode }) => stopCode === 'EssentialContainerExited' && exitCode !== undefined, undefined],
  // The container went away without an exit code, as when the agent lost it.
  [({ stopCode, ran }) => stopCode === 'EssentialContainerExited' && ran, 'Lost'],
  // No such image, no right to pull it, no way to the registry.
  [failedToStart(/CannotPull|pull image|image manifest|ecr registry auth|ImageNotFound/i), 'ImageUnavailable'],
  // After a successful RunTask: the subnet ran out of addresses, the zone out of machines, an interface never came.
  [failedToStart(/free address|InsufficientFreeAddresses|network interface|\bENI\b/i), 'CapacityUnavailable'],
  [failedToStart(/capacity/i), 'CapacityUnavailable'],
  [failedToStart(/timeout waiting for .* provisioning/i), 'CapacityUnavailable'],
  // CannotStartContainerError, CannotCreateVolumeError, ResourceInitializationError, ContainerRuntimeError, TaskError …
  [({ stopCode }) => stopCode === 'TaskFailedToStart', 'StartFailed'],
  // Stopped without a code.
  [({ exitCode }) => exitCode !== undefined, undefined],
  [({ ran }) => ran, 'Lost'],
  [() => true, 'StartFailed'],
];

export function reasonOf(end: TaskEnd): Reason | undefined {
  return rows.find(([when]) => when(end))![1];
}

/** `containers` is empty when the task failed before it got any. */
export function observationOf(name: string, task: Task): TaskObservation {
  const container = task.containers?.find((each) => each.name === CONTAINER) ?? task.containers?.[0];
  const exitCode = container?.exitCode;
  // A container that is dead has written all it will write; the task's own way down takes up to a minute more.
  const dead = container?.lastStatus === 'STOPPED' && exitCode !== undefined;
  if (task.lastStatus !== 'STOPPED' && !dead) {
    const up = task.startedAt !== undefined || container?.lastStatus === 'RUNNING';
    return { name, state: up ? 'running' : 'starting' };
  }
  const text = [task.stoppedReason, container?.reason].filter((part) => part).join('; ');
  const ran = task.startedAt !== undefined || exitCode !== undefined;
  const reason = reasonOf({ stopCode: task.stopCode, text, exitCode, ran });
  return {
    name,
    state: 'ended',
    ...(exitCode === undefined ? {} : { exitCode }),
    ...(reason === undefined
      ? {}
      : { reason, message: `${task.stopCode ?? 'stopped'}: ${text}`.slice(0, MESSAGE_MAX) }),
  };
}

/** Whether a task waits for capacity or its image longer than it may. */
export function isOverdue(task: Task, now: number, provisioningMs: number): boolean {
  if (task.startedAt !== undefined || task.lastStatus === 'STOPPED' || task.desiredStatus === 'STOPPED') return false;
  return task.createdAt !== undefined && now - task.createdAt.getTime() > provisioningMs;
}
