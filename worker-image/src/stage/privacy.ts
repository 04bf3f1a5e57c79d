/** What the block user may reach of the runner's directories, by their modes. */
import { chmod, realpath, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { AttemptFailure } from '../failure.ts';
import type { BlockUser } from '../options.ts';

/** Lets the block user pass through `dir` (not list it). Best effort: a volume may belong to somebody else. */
export async function openToOthers(dir: string, user: BlockUser): Promise<void> {
  if (!(await may(dir, 1, user))) await chmod(dir, ((await stat(dir)).mode & 0o7777) | 0o011).catch(() => undefined);
}

/** What would be wrong if the block user got into a directory: nothing much, forged evidence, or grants in its hands. */
export type Closed = 'read' | 'write' | 'grants';

/**
 * Closes `dir` to everybody but its owner, unless a directory above does so already.
 * @throws AttemptFailure StageFailed when the block user could still change what is in it, or read grants there
 */
export async function closeToOthers(dir: string, closed: Closed, user: BlockUser): Promise<void> {
  if (!(await reachable(dir, user))) return;
  // A read-only mount cannot be changed.
  await chmod(dir, 0o700).catch(() => undefined);
  if (closed === 'read' || !(await reachable(dir, user))) return;
  if (closed === 'write' && !(await may(dir, 2, user))) return;
  const what = closed === 'grants' ? 'read the grants of the task' : 'write into the attempt directory';
  throw new AttemptFailure('StageFailed', `the block user could ${what}; close it`);
}

/** Could the user enter `dir`, going by the modes from the root down? */
async function reachable(dir: string, user: BlockUser): Promise<boolean> {
  for (let at = await realpath(dir); ; at = dirname(at)) {
    if (!(await may(at, 1, user))) return false;
    if (at === dirname(at)) return true;
  }
}

/** @param bit 4 read, 2 write, 1 enter */
async function may(dir: string, bit: 1 | 2 | 4, { uid, gid }: BlockUser): Promise<boolean> {
  const { mode, uid: owner, gid: group } = await stat(dir);
  const shift = owner === uid ? 6 : group === gid ? 3 : 0;
  return ((mode >> shift) & bit) !== 0;
}
