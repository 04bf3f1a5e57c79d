/** Everything a block left behind, found in /proc and killed. */
import { spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import type { BlockUser } from './options.ts';

/** How to recognise the processes of a block. */
export interface BlockProcesses {
  /** Separate user: every process of this uid belongs to the block. Exact. */
  readonly user: BlockUser | undefined;
  /** Pid of the first process; its group and session are its own. Same user only. */
  readonly leader: number | undefined;
  /** `NAME=value` in the environment of the block. Same user only; a process that cleared it and left the session escapes. */
  readonly mark: string;
}

export interface Swept {
  readonly killed: number;
  /** Still alive when the time was up. */
  readonly survivors: readonly number[];
}

interface Process {
  readonly pid: number;
  readonly parent: number;
  readonly group: number;
  readonly session: number;
}

const SWEEP_MS = 10_000;
/** After so many rounds a fork bomb is at work, and only one signal to all of them at once wins. */
const PATIENT_ROUNDS = 2;

/** Kills until none is left, for at most ten seconds. */
export async function sweep(target: BlockProcesses): Promise<Swept> {
  const seen = new Set<number>();
  const until = Date.now() + SWEEP_MS;
  for (let round = 0; ; round++) {
    const alive = find(target);
    if (alive.length === 0 || Date.now() > until) return { killed: seen.size, survivors: alive };
    for (const pid of alive) {
      seen.add(pid);
      kill(pid, 'SIGKILL');
    }
    if (target.user !== undefined && round >= PATIENT_ROUNDS) await killAllOf(target.user);
    await delay(Math.min(2 ** round, 50));
  }
}

/** Signals a process, or with a negative number its group; that it is gone already is fine. */
export function kill(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'ESRCH' && code !== 'EPERM') throw error;
  }
}

function find({ user, leader, mark }: BlockProcesses): number[] {
  const all = list();
  if (user !== undefined) return all.filter(({ pid }) => hasUid(pid, user.uid)).map(({ pid }) => pid);
  const found = new Set<number>();
  const wanted = Buffer.from(mark);
  for (const { pid, group, session } of all) {
    if ((leader !== undefined && (group === leader || session === leader)) || hasMark(pid, wanted)) found.add(pid);
  }
  for (let grew = true; grew;) {
    grew = false;
    for (const { pid, parent } of all) {
      if (!found.has(parent) || found.has(pid)) continue;
      found.add(pid);
      grew = true;
    }
  }
  found.delete(process.pid);
  return [...found];
}

/** Live processes; empty where there is no /proc. */
function list(): Process[] {
  let names: string[];
  try {
    names = readdirSync('/proc');
  } catch {
    return [];
  }
  return names.flatMap((name) => {
    if (!/^\d+$/.test(name)) return [];
    // pid (command) state parent group session …; the command may hold anything, also parentheses.
    const stat = read(`/proc/${name}/stat`)?.toString('latin1');
    if (stat === undefined) return [];
    const [state, parent, group, session] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    if (state === 'Z' || state === 'X') return [];
    return [{ pid: Number(name), parent: Number(parent), group: Number(group), session: Number(session) }];
  });
}

/** Real, effective, saved or file system uid. */
function hasUid(pid: number, uid: number): boolean {
  const uids = /^Uid:\t(.*)$/m.exec(read(`/proc/${pid}/status`)?.toString('latin1') ?? '')?.[1];
  return uids !== undefined && uids.split('\t').includes(String(uid));
}

function hasMark(pid: number, mark: Buffer): boolean {
  return pid !== process.pid && (read(`/proc/${pid}/environ`)?.includes(mark) ?? false);
}

function read(path: string): Buffer | undefined {
  try {
    return readFileSync(path);
  } catch {
    return undefined;
  }
}

/** kill(-1) as the user: reaches all of its processes in one call, which no fork can outrun. */
async function killAllOf(user: BlockUser): Promise<void> {
  await new Promise<void>((resolve) => {
    const child = spawn('/bin/sh', ['-c', 'kill -9 -1'], {
      ...user,
      cwd: '/',
      env: {},
      stdio: 'ignore',
      timeout: 1000,
    });
    child.once('error', () => resolve());
    child.once('exit', () => resolve());
  });
}
