/**
 * What an idle controller costs: requests to its store, and CPU time beside a Node that sleeps at the same time. The
 * controller has one finished run behind it. PANGOLIN_BENCH_IDLE_S sets the seconds (default 60).
 */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import pino from 'pino';
import { inboxKey, sealKey } from '@pangolin/contracts/layout';
import { serve } from '@pangolin/controller/serve';
import type { ObjectStore } from '@pangolin/storage/object-store';
import { openStore } from '@pangolin/storage/open';
import { inTemporary, round, type Row } from './figures.ts';

const SECONDS = Number(process.env.PANGOLIN_BENCH_IDLE_S ?? 60);
/** After the seal, for what is still being published. */
const QUIET_MS = 3000;
const calls = ['get', 'getStream', 'head', 'put', 'list', 'delete', 'copy'] as const;

export async function idle(): Promise<Row[]> {
  return [await inTemporary((dir) => measure(join(dir, 'storage')))];
}

async function measure(storage: string): Promise<Row> {
  const store = await openStore(storage);
  const counter = countCalls(store);
  const stop = new AbortController();
  const log = pino({ level: 'silent' });
  const serving = serve({ storage, compute: 'process', signal: stop.signal, log });
  try {
    await finishOneRun(store, serving);
    await delay(QUIET_MS);
    const before = { counts: { ...counter.counts }, cpu: process.cpuUsage() };
    const sleeper = sleepingNode(SECONDS * 1000);
    await delay(SECONDS * 1000);
    const { user, system } = process.cpuUsage(before.cpu);
    const counts = Object.entries(counter.counts).map(
      ([name, count]) => [name, count - (before.counts[name] ?? 0)] as const,
    );
    const cpuSeconds = (user + system) / 1e6;
    const floor = await sleeper;
    return {
      store: store.kind,
      seconds: SECONDS,
      requests: counts.reduce((sum, [, count]) => sum + count, 0),
      ...Object.fromEntries(counts.filter(([, count]) => count > 0)),
      cpuSeconds: round(cpuSeconds),
      floorCpuSeconds: round(floor),
      cpuPercent: round((100 * cpuSeconds) / SECONDS),
      ratioToFloor: round(cpuSeconds / floor),
    };
  } finally {
    stop.abort();
    await serving;
    counter.restore();
  }
}

async function finishOneRun(store: ObjectStore, serving: Promise<void>): Promise<void> {
  const item = { id: 'a', pipeline: { blocks: [{ kind: 'script', command: 'true' }] } };
  await store.put(inboxKey('done.json'), JSON.stringify({ id: 'done', items: [item] }));
  for (let tries = 0; !(await store.head(sealKey('done'))); tries++) {
    if (tries === 600) throw new Error('the first run is not sealed within a minute');
    await Promise.race([delay(100), serving]);
  }
}

interface Counter {
  readonly counts: Record<string, number>;
  readonly restore: () => void;
}

/** Counts the calls of every store of this kind in this process: `serve` opens one of its own. */
function countCalls(store: ObjectStore): Counter {
  const prototype = Object.getPrototypeOf(store) as Record<string, (...args: unknown[]) => unknown>;
  const counts: Record<string, number> = {};
  const original = calls.map((name) => [name, prototype[name]!] as const);
  for (const [name, method] of original) {
    prototype[name] = function counted(this: unknown, ...args: unknown[]) {
      counts[name] = (counts[name] ?? 0) + 1;
      return method.apply(this, args);
    };
  }
  return { counts, restore: () => original.forEach(([name, method]) => (prototype[name] = method)) };
}

/** CPU seconds of a Node that sleeps for so long. */
async function sleepingNode(ms: number): Promise<number> {
  const script = `const c = process.cpuUsage(); setTimeout(() => { const { user, system } = process.cpuUsage(c); console.log((user + system) / 1e6) }, ${ms})`;
  const { stdout } = await promisify(execFile)(process.execPath, ['-e', script]);
  return Number(stdout);
}
