/** Who runs on this machine, and how to end a family of processes for good. */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

/** A process told apart from a later one with the same number. */
export interface ProcessId {
  readonly pid: number;
  /** Clock ticks since boot on Linux, the start time that `ps` prints elsewhere. */
  readonly start: string;
}

interface Row extends ProcessId {
  readonly parent: number;
  readonly session: number;
}

const KILL_ROUNDS = 250;
const ROUND_MS = 20;
const linux = process.platform === 'linux';

/**
 * The three lines that the supervisor script writes about a shell: its pid, its /proc stat line (or what `ps -o lstart=`
 * prints), the boot id (or `-`), then `end`. Undefined when incomplete or of an earlier boot.
 */
export function parseIdentity(text: string): ProcessId | undefined {
  const [pid, start, boot, end] = text.split('\n');
  if (end !== 'end' || !pid || !/^\d+$/.test(pid) || start === undefined || boot !== bootId()) return undefined;
  return { pid: Number(pid), start: linux ? (parseStat(start)?.start ?? '') : start.trim() };
}

/** Zombies do not count: they have ended, whoever has yet to reap them. */
export function isAlive(id: ProcessId): boolean {
  return rowOf(id.pid)?.start === id.start;
}

/** Whether the session that this process led can only be its own: its number was not given to another meanwhile. */
export function ownsSession(id: ProcessId): boolean {
  const row = rowOf(id.pid);
  return row === undefined || row.start === id.start;
}

/** False when it is gone already. */
export function signal(id: ProcessId, name: NodeJS.Signals): boolean {
  if (!isAlive(id)) return false;
  try {
    return process.kill(id.pid, name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
    throw error;
  }
}

/** A network namespace that only the family lives in. Its number alone may be another's by now. */
export interface NetworkNamespace {
  /** As `readlink /proc/self/ns/net` prints it. */
  readonly id: string;
  /** A loopback address that no other namespace has. */
  readonly mark: string;
}

export interface Family {
  readonly members: readonly ProcessId[];
  /** A session that belongs to the family as a whole. */
  readonly session?: number;
  readonly networkNamespace?: NetworkNamespace;
  /** Beginnings of environment variables, `NAME=value`, that nobody but the family was given. */
  readonly variables?: readonly string[];
  /** Not killed: it ends by itself once the others have. */
  readonly spare?: ProcessId;
}

/**
 * SIGKILL to the members, all their descendants, whoever shares a session with one of them, lives in their network namespace or
 * was given one of their variables, again until none is left: no single mark survives every way of leaving a family. Returns false when some still live after five seconds (uninterruptible sleep).
 */
export async function killFamily(family: Family): Promise<boolean> {
  const known = new Map(family.members.map((member) => [member.pid, member.start]));
  const sessions = new Set(family.session === undefined ? [] : [family.session]);
  for (let round = 0; round < KILL_ROUNDS; round++) {
    const alive = relatives(processTable(), known, sessions, family).filter((row) => row.pid !== family.spare?.pid);
    if (alive.length === 0) return true;
    for (const row of alive) signal(row, 'SIGKILL');
    await sleep(ROUND_MS);
  }
  return false;
}

/** Adds to `known` and `sessions` what it finds, so that orphans of a process killed in one round are found in the next. */
function relatives(
  table: readonly Row[],
  known: Map<number, string>,
  sessions: Set<number>,
  { networkNamespace, variables = [] }: Family,
): Row[] {
  const own = new Set([0, 1, process.pid, process.ppid]);
  const ownSession = table.find((row) => row.pid === process.pid)?.session;
  const found = new Map<number, Row>();
  for (let grown = true; grown;) {
    grown = false;
    for (const row of table) {
      if (own.has(row.pid) || found.has(row.pid)) continue;
      const related =
        known.get(row.pid) === row.start ||
        found.has(row.parent) ||
        sessions.has(row.session) ||
        (networkNamespace !== undefined && livesIn(row.pid, networkNamespace)) ||
        variables.some((variable) => wasGiven(row.pid, variable));
      if (!related) continue;
      found.set(row.pid, row);
      known.set(row.pid, row.start);
      if (row.session > 1 && row.session !== ownSession) sessions.add(row.session);
      grown = true;
    }
  }
  return [...found.values()];
}

function livesIn(pid: number, { id, mark }: NetworkNamespace): boolean {
  try {
    if (readlinkSync(`/proc/${pid}/ns/net`) !== id) return false;
    return readFileSync(`/proc/${pid}/net/fib_trie`, 'latin1').includes(`|-- ${mark}\n`);
  } catch {
    // It has ended meanwhile, or is somebody else's.
    return false;
  }
}

function wasGiven(pid: number, variable: string): boolean {
  try {
    return `\0${readFileSync(`/proc/${pid}/environ`, 'latin1')}`.includes(`\0${variable}`);
  } catch {
    // It has ended meanwhile, or is somebody else's.
    return false;
  }
}

let cachedBootId: string | undefined;
function bootId(): string {
  try {
    cachedBootId ??= linux ? readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim() : '-';
  } catch {
    cachedBootId = '-';
  }
  return cachedBootId;
}

/** `pid (comm) state ppid pgrp session …`, the start time 22nd; comm may hold blanks and parentheses. */
function parseStat(line: string): Row | undefined {
  const fields = line.slice(line.lastIndexOf(')') + 2).split(' ');
  const [state, parent, , session] = fields;
  const start = fields[19];
  if (start === undefined || state === 'Z' || state === 'X') return undefined;
  return { pid: Number.parseInt(line, 10), start, parent: Number(parent), session: Number(session) };
}

function rowOf(pid: number): Row | undefined {
  if (!linux) return psTable(['-p', String(pid)])[0];
  try {
    return parseStat(readFileSync(`/proc/${pid}/stat`, 'latin1'));
  } catch {
    return undefined;
  }
}

function processTable(): readonly Row[] {
  if (!linux) return psTable(['-A']);
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => rowOf(Number(name)) ?? []);
}

/** Process groups stand in for sessions, which not every `ps` can print. */
function psTable(selection: readonly string[]): Row[] {
  let text: string;
  try {
    text = execFileSync('ps', [...selection, '-o', 'pid=,ppid=,pgid=,stat=,lstart='], { encoding: 'utf8' });
  } catch {
    return [];
  }
  return text.split('\n').flatMap((line) => {
    const match = /^\s*(\d+)\s+(\d+)\s+(\d+)\s+(\S+)\s+(.+)$/.exec(line);
    if (!match || match[4]?.startsWith('Z')) return [];
    return { pid: Number(match[1]), parent: Number(match[2]), session: Number(match[3]), start: match[5]!.trim() };
  });
}
