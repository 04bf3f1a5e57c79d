/** One process of a block: started clean, watched, stopped in time, and nothing of it left when this returns. */
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { closeSync, constants, fchownSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { Socket } from 'node:net';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { promisify } from 'node:util';
import { AttemptFailure } from './failure.ts';
import type { BlockUser } from './options.ts';
import { kill, sweep, type Swept } from './processes.ts';

export interface ProcessSpec {
  readonly argv: readonly [string, ...string[]];
  readonly cwd: string;
  /** The whole environment. */
  readonly env: Readonly<Record<string, string>>;
  readonly user: BlockUser | undefined;
  /** Of this block alone. */
  readonly timeoutMs: number | undefined;
  readonly idleTimeoutMs: number | undefined;
  /** From SIGTERM to SIGKILL, asked when it is sent. */
  readonly graceMs: () => number;
  /** A directory of the runner's, for the moment in which the output pipes have names. */
  readonly pipeDir: string;
  /** Standard input. Default: nothing. A text can be read again and again; a function gets a pipe to write to. */
  readonly input?: string | ((stdin: Writable) => void);
  /** Aborted when the process has done its work and is to end; that is no failure. */
  readonly finish?: AbortSignal;
  /** Aborted, with an AttemptFailure, when the whole attempt must end. */
  readonly halt: AbortSignal;
  /** Called in order, and never while the caller is still busy with the bytes before. */
  readonly onOutput: (stream: 'stdout' | 'stderr', chunk: Buffer) => void;
}

export interface ProcessEnd {
  /** Absent when it died by a signal or was never started. */
  readonly exitCode?: number;
  readonly signal?: NodeJS.Signals;
  /** Why we stopped it. */
  readonly stopped?: AttemptFailure;
  /** Why it never ran. */
  readonly startError?: Error;
  readonly swept: Swept;
}

const MARK = 'PANGOLIN_MARK';
/** A process that escaped the sweep may hold our pipe open for ever. */
const DRAIN_MS = 2000;

export async function runProcess(spec: ProcessSpec): Promise<ProcessEnd> {
  const mark = randomUUID();
  const [file, ...args] = spec.argv;
  const pipes = await openPipes(spec.pipeDir, spec.user);
  const input = typeof spec.input === 'string' ? openInput(spec.input, spec) : undefined;
  let child: ChildProcess;
  try {
    child = spawn(file, args, {
      cwd: spec.cwd,
      env: spec.user === undefined ? { ...spec.env, [MARK]: mark } : { ...spec.env },
      detached: true,
      stdio: [input ?? (spec.input === undefined ? 'ignore' : 'pipe'), pipes.stdout.writeFd, pipes.stderr.writeFd],
      ...spec.user,
    });
  } catch (error) {
    pipes.stdout.reader.destroy();
    pipes.stderr.reader.destroy();
    return { startError: error as Error, swept: { killed: 0, survivors: [] } };
  } finally {
    closeSync(pipes.stdout.writeFd);
    closeSync(pipes.stderr.writeFd);
    if (input !== undefined) closeSync(input);
  }
  // A process that ends before it has read everything is no error of ours.
  child.stdin?.on('error', () => undefined);
  if (typeof spec.input === 'function') spec.input(child.stdin!);
  preferForOom(child.pid);
  const watch = supervise(child, spec);
  const drained = Promise.all([
    drain(pipes.stdout.reader, (chunk) => (watch.onOutput(), spec.onOutput('stdout', chunk))),
    drain(pipes.stderr.reader, (chunk) => (watch.onOutput(), spec.onOutput('stderr', chunk))),
  ]);
  // Awaited below; a failure before that must not count as unhandled.
  drained.catch(() => undefined);
  const ended = await exitOf(child);
  watch.end();
  const swept = await sweep({ user: spec.user, leader: child.pid, mark: `${MARK}=${mark}` });
  const giveUp = setTimeout(() => (pipes.stdout.reader.destroy(), pipes.stderr.reader.destroy()), DRAIN_MS);
  await drained;
  clearTimeout(giveUp);
  return { ...ended, ...(watch.stopped === undefined ? {} : { stopped: watch.stopped }), swept };
}

/** Timers and the halt signal; the first of them that fires stops the process. */
function supervise(child: ChildProcess, spec: ProcessSpec) {
  const timers: NodeJS.Timeout[] = [];
  const watch = {
    stopped: undefined as AttemptFailure | undefined,
    onOutput: (): void => void idle?.refresh(),
    end: (): void => {
      timers.forEach(clearTimeout);
      spec.halt.removeEventListener('abort', onHalt);
      spec.finish?.removeEventListener('abort', onFinish);
    },
  };
  const end = (): void => {
    const { pid } = child;
    if (pid === undefined) return;
    kill(-pid, 'SIGTERM');
    timers.push(setTimeout(() => kill(-pid, 'SIGKILL'), spec.graceMs()));
  };
  const stop = (failure: AttemptFailure): void => {
    if (watch.stopped !== undefined || child.pid === undefined) return;
    watch.stopped = failure;
    end();
  };
  const after = (ms: number | undefined, failure: () => AttemptFailure): NodeJS.Timeout | undefined => {
    if (ms === undefined) return undefined;
    const timer = setTimeout(() => stop(failure()), Math.min(ms, 2 ** 31 - 1));
    timers.push(timer);
    return timer;
  };
  const onFinish = (): void => end();
  const onHalt = (): void => stop(spec.halt.reason as AttemptFailure);
  after(spec.timeoutMs, () => new AttemptFailure('TimedOut', `it ran longer than ${spec.timeoutMs} ms`));
  const idle = after(
    spec.idleTimeoutMs,
    () => new AttemptFailure('IdleTimedOut', `it printed nothing for ${spec.idleTimeoutMs} ms`),
  );
  spec.halt.addEventListener('abort', onHalt);
  if (spec.halt.aborted) onHalt();
  spec.finish?.addEventListener('abort', onFinish);
  return watch;
}

async function drain(stream: Readable, onChunk: (chunk: Buffer) => void): Promise<void> {
  try {
    for await (const chunk of stream) onChunk(chunk as Buffer);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_STREAM_PREMATURE_CLOSE') throw error;
  }
}

function exitOf(child: ChildProcess): Promise<Pick<ProcessEnd, 'exitCode' | 'signal' | 'startError'>> {
  return new Promise((resolve) => {
    child.once('error', (startError) => child.pid === undefined && resolve({ startError }));
    child.once('exit', (exitCode, signal) => resolve(signal === null ? { exitCode: exitCode ?? 0 } : { signal }));
  });
}

/** A file of the block user that has no name by the time the block runs. */
function openInput(text: string, { pipeDir, user }: ProcessSpec): number {
  const path = join(pipeDir, 'stdin');
  writeFileSync(path, text, { mode: 0o600 });
  const fd = openSync(path, constants.O_RDONLY);
  rmSync(path);
  if (user !== undefined) fchownSync(fd, user.uid, user.gid);
  return fd;
}

interface OutputPipe {
  readonly reader: Readable;
  readonly writeFd: number;
}

/**
 * Node would give the process sockets, and a script that writes to /dev/stderr cannot open those. These are FIFOs of
 * the block user, without a name by the time the block runs.
 */
async function openPipes(dir: string, user: BlockUser | undefined): Promise<Record<'stdout' | 'stderr', OutputPipe>> {
  const [stdout, stderr] = [join(dir, 'stdout'), join(dir, 'stderr')];
  await promisify(execFile)('mkfifo', ['-m', '600', stdout, stderr]);
  return { stdout: openPipe(stdout, user), stderr: openPipe(stderr, user) };
}

function openPipe(path: string, user: BlockUser | undefined): OutputPipe {
  const readFd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const writeFd = openSync(path, constants.O_WRONLY);
  rmSync(path);
  if (user !== undefined) fchownSync(writeFd, user.uid, user.gid);
  return { reader: new Socket({ fd: readFd, readable: true, writable: false }), writeFd };
}

/** When memory runs out, the kernel takes the block and not the runner that has to tell the story. */
function preferForOom(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    writeFileSync(`/proc/${pid}/oom_score_adj`, '1000');
  } catch {
    // Best effort: no /proc, or the process has ended.
  }
}
