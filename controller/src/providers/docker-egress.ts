/** The egress proxy of a task as a container beside it: pure. It has a network and no privilege, the task the reverse. */
import { networkInterfaces } from 'node:os';
import { join, dirname } from 'node:path';
import type { ContainerCreateOptions } from 'dockerode';
import type { EgressConfig } from '@pangolin/contracts/config';
import {
  EGRESS_POLICY_VARIABLE,
  EGRESS_SOCKET,
  EGRESS_SOCKET_VARIABLE,
  type EgressPolicy,
} from '@pangolin/contracts/egress';
import { LABEL } from './docker-container.ts';
import type { TaskStart } from './provider.ts';

/** The owner of the socket's directory when the controller is root. Nobody in any image. */
export const EGRESS_UID = 65_532;
const MEMORY_BYTES = 128 * 2 ** 20;
const PIDS = 32;
const DIRECTORY = '/run/pangolin';
const PROGRAM = '/opt/pangolin/egress.mjs';
/** A proxy that was killed comes back; its socket keeps its name. */
const RESTARTS_MAX = 20;

export const egressName = (task: string): string => `${task}-egress`;

/** Where the socket lies, inside the task's input directory. */
export const egressDirectory = (inDir: string): string => dirname(join(inDir, EGRESS_SOCKET));

export function egressOptions(
  task: TaskStart,
  allow: readonly string[],
  given: { readonly deployment: string; readonly image: string; readonly config: EgressConfig; readonly user: string },
): ContainerCreateOptions {
  const policy: EgressPolicy = { allow, internal: given.config.internal ?? [], host: hostAddresses() };
  return {
    name: egressName(task.name),
    Image: given.image,
    User: given.user,
    Entrypoint: ['node', PROGRAM],
    WorkingDir: '/',
    Env: [`${EGRESS_POLICY_VARIABLE}=${JSON.stringify(policy)}`, `${EGRESS_SOCKET_VARIABLE}=${DIRECTORY}/proxy.sock`],
    Labels: { [LABEL.deployment]: given.deployment, [LABEL.egress]: task.name },
    StopTimeout: 2,
    HostConfig: {
      ReadonlyRootfs: true,
      Mounts: [{ Type: 'bind', Source: egressDirectory(task.inDir), Target: DIRECTORY, ReadOnly: false }],
      CapDrop: ['ALL'],
      SecurityOpt: ['no-new-privileges:true'],
      PidsLimit: PIDS,
      Memory: MEMORY_BYTES,
      MemorySwap: MEMORY_BYTES,
      NetworkMode: given.config.network ?? 'bridge',
      RestartPolicy: { Name: 'on-failure', MaximumRetryCount: RESTARTS_MAX },
      AutoRemove: false,
      // The egress log. It bounds itself, and no line of it may be rotated away.
      LogConfig: { Type: 'json-file', Config: {} },
    },
  };
}

function hostAddresses(): string[] {
  return Object.values(networkInterfaces()).flatMap((addresses) => (addresses ?? []).map(({ address }) => address));
}

/** Standard output of the engine's stream: stream(1) zeros(3) length(4) bytes, again and again. */
export function stdoutOf(stream: Buffer): Buffer {
  const parts: Buffer[] = [];
  for (let at = 0; at + 8 <= stream.length;) {
    const length = stream.readUInt32BE(at + 4);
    if (stream[at] === 1) parts.push(stream.subarray(at + 8, at + 8 + length));
    at += 8 + length;
  }
  return Buffer.concat(parts);
}
