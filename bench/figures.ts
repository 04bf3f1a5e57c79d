/** What benchmarks share: the middle of many runs, ratios, temporary places. */
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

/** One line of a benchmark: named figures. One that cannot run here answers with `{ skipped: why }`. */
export type Row = Readonly<Record<string, string | number>>;

const root = dirname(dirname(fileURLToPath(import.meta.url)));
export const COMMAND = join(root, 'bin', 'pangolin');

export const round = (value: number): number => Math.round(value * 1000) / 1000;

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** Milliseconds that `work` takes. */
export async function timed(work: () => Promise<unknown> | unknown): Promise<number> {
  const started = performance.now();
  await work();
  return performance.now() - started;
}

export async function inTemporary<T>(work: (dir: string) => Promise<T>): Promise<T> {
  const dir = mkdtempSync(join(tmpdir(), 'pangolin-bench-'));
  try {
    return await work(dir);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

/** Resolves when `ready` says so. @throws Error after `seconds`, naming what was waited for. */
export async function until(what: string, seconds: number, ready: () => boolean, everyMs = 5): Promise<void> {
  const giveUpAt = performance.now() + seconds * 1000;
  while (!ready()) {
    if (performance.now() > giveUpAt) throw new Error(`${what}: not within ${seconds} s`);
    await delay(everyMs);
  }
}

/** The shipped controller on `storage`, for as long as `work` takes. */
export async function withController<T>(storage: string, flags: readonly string[], work: () => Promise<T>): Promise<T> {
  const child = spawn(COMMAND, ['orch', 'serve', '--storage', storage, ...flags], {
    stdio: ['ignore', 'ignore', 'inherit'],
    env: { ...process.env, PANGOLIN_LOG: 'error' },
  });
  try {
    return await Promise.race([work(), died(child)]);
  } finally {
    child.removeAllListeners('exit');
    const ended = child.exitCode === null ? new Promise((resolve) => child.once('exit', resolve)) : undefined;
    child.kill('SIGTERM');
    await ended;
  }
}

async function died(child: ChildProcess): Promise<never> {
  const code = await new Promise((resolve) => child.once('exit', resolve));
  throw new Error(`the controller ended with exit code ${String(code)}`);
}
