/** Why a block failed, from how its process ended and what the machine says. */
import { readFileSync, statfsSync } from 'node:fs';
import type { ProcessEnd } from './block-process.ts';
import { AttemptFailure } from './failure.ts';

/** Less than this is a full disk: no file system gives out its last blocks reliably. */
const FREE_BYTES_MIN = 64 * 2 ** 10;
const SIGKILL_EXIT = 128 + 9;

export interface Clues {
  /** Processes of this memory group that the kernel killed while the block ran. */
  readonly oomKills: number;
  /** One of the disks that blocks write to has no room left, or the block said so itself. */
  readonly diskFull: boolean;
}

/** undefined: it succeeded. First match wins. */
export function diagnose(end: ProcessEnd, clues: Clues): AttemptFailure | undefined {
  if (end.stopped !== undefined) return end.stopped;
  if (end.startError !== undefined) {
    return new AttemptFailure('ExitNonZero', `it could not be started: ${end.startError.message}`);
  }
  if (end.exitCode === 0) return undefined;
  const how = end.signal === undefined ? `it exited with ${end.exitCode}` : `it was killed by ${end.signal}`;
  if (clues.oomKills > 0) return new AttemptFailure('OOMKilled', `${how} after the memory limit was reached`);
  if (clues.diskFull) return new AttemptFailure('DiskFull', `${how} while the disk was full`);
  if (end.signal !== undefined) return new AttemptFailure('BlockKilled', how);
  // A shell reports a killed child this way; nothing says that memory was the cause.
  if (end.exitCode === SIGKILL_EXIT)
    return new AttemptFailure('BlockKilled', `${how}: a process was killed by SIGKILL`);
  return new AttemptFailure('ExitNonZero', how);
}

export function isFull(dirs: readonly string[]): boolean {
  return dirs.some((dir) => {
    try {
      const { bavail, bsize, files, ffree } = statfsSync(dir);
      return bavail * bsize < FREE_BYTES_MIN || (files > 0 && ffree === 0);
    } catch {
      return false;
    }
  });
}

/** The counter of the worker's own memory group, of cgroup v2 or v1; 0 where none can be read. */
export function oomKills(): number {
  for (const file of counterFiles()) {
    const count = /^oom_kill (\d+)$/m.exec(read(file))?.[1];
    if (count !== undefined) return Number(count);
  }
  return 0;
}

/** Lines of /proc/self/cgroup: `0::/path` (v2), `9:memory:/path` (v1). In a container the path may not be visible. */
function counterFiles(): string[] {
  const groups = read('/proc/self/cgroup');
  const v2 = /^0::(\/.*)$/m.exec(groups)?.[1];
  const v1 = /^\d+:(?:[^:]*,)?memory(?:,[^:]*)?:(\/.*)$/m.exec(groups)?.[1];
  return [
    ...(v1 === undefined
      ? []
      : [`/sys/fs/cgroup/memory${v1}/memory.oom_control`, '/sys/fs/cgroup/memory/memory.oom_control']),
    ...(v2 === undefined ? [] : [`/sys/fs/cgroup${v2}/memory.events`, '/sys/fs/cgroup/memory.events']),
  ];
}

function read(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return '';
  }
}
