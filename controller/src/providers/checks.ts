/** What every provider checks before it acts on a task. */
import { isIPv4 } from 'node:net';
import { isDeepStrictEqual } from 'node:util';
import { PangolinError } from '@pangolin/contracts/errors';
import type { Sandbox } from '@pangolin/contracts/task';
import { isInternal } from '../egress/addresses.ts';
import type { ComputeProvider, SandboxRequest, TaskStart } from './provider.ts';

const NAME = /^[a-z0-9][a-z0-9-]{0,62}$/;

/** Task names become paths and container names, so nothing but what `taskName` makes is let through. */
export function assertTaskName(name: string): void {
  if (!NAME.test(name)) throw new PangolinError('INVALID', `not a task name: ${JSON.stringify(name.slice(0, 80))}`);
}

/**
 * A manifest sealed for one backend must not start on another that enforces something else.
 * @throws PangolinError UNSUPPORTED.
 */
export function assertEnforces(provider: Pick<ComputeProvider, 'name' | 'enforce'>, task: TaskStart): void {
  const { network, cpuMillis, memoryBytes, pids, diskBytes, rootfs, runtime } = task.sandbox;
  const limits = Object.entries({ cpuMillis, memoryBytes, pids, diskBytes }).filter(([, value]) => value !== undefined);
  const enforced = provider.enforce({ network, rootfs, runtime, ...Object.fromEntries(limits) });
  if (isDeepStrictEqual(enforced, task.sandbox)) return;
  throw new PangolinError('UNSUPPORTED', `the ${provider.name} provider does not enforce the sandbox of ${task.name}`, {
    hint: 'Its manifest was sealed for another backend or configuration; retry the item to seal a new one.',
    details: { sandbox: task.sandbox },
  });
}

const exact = ['network', 'rootfs', 'user', 'capabilities', 'seccomp', 'pids', 'diskBytes', 'runtime'] as const;

/** The first field of what was asked that is not enforced as it was asked; amounts of CPU and memory may be rounded. */
export function unmet(asked: SandboxRequest, enforced: Sandbox): string | undefined {
  return exact.find((field) => asked[field] !== undefined && !isDeepStrictEqual(asked[field], enforced[field]));
}

/** A field of a request as the Run spec names it. */
export function specField(field: string): string {
  if (field === 'memoryBytes') return 'resources.memory';
  if (field === 'cpuMillis') return 'resources.cpu';
  if (field === 'diskBytes') return 'sandbox.disk';
  return exact.some((each) => each === field && each !== 'network') ? `sandbox.${field}` : field;
}

/** @param field of the request, or what else the item asks for; the message begins with its name in the Run spec */
export function unsupported(field: string, message: string, hint: string): PangolinError {
  return new PangolinError('UNSUPPORTED', `\`${specField(field)}\`: ${message}`, { hint, details: { field } });
}

/** An allow-list that names an internal address outright, which no proxy would let through. */
export function refuseInternal(network: Sandbox['network'] | undefined, internal: readonly string[]): void {
  if (typeof network !== 'object') return;
  const refused = network.allow.find(
    (entry) =>
      isIPv4(entry.replace(/:\d+$/, '')) && isInternal(entry.replace(/:\d+$/, ''), []) && !internal.includes(entry),
  );
  if (refused === undefined) return;
  throw unsupported(
    'network',
    `${refused} is an internal address`,
    'Name a public host; or have the operator list it, with its port, under `egress.internal` of pangolin.yaml.',
  );
}

/** What the allow-list asks for, refused by every backend that has no egress proxy. */
export function refuseAllowList(network: Sandbox['network'] | undefined, backend: string): void {
  if (typeof network !== 'object') return;
  throw unsupported(
    'network',
    `the ${backend} provider cannot limit the network to a list of hosts`,
    'Ask for `network: none` or `network: open`.',
  );
}
