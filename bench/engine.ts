/**
 * Item transitions a second with a backend that does nothing: admission, signed manifests, run log, locks and publishing
 * are the real ones, on a real folder, with a durable commit a pass. The floor is one durable SQLite commit a pass and
 * nothing else, as many as the engine made.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import pino from 'pino';
import { canonicalBytes } from '@pangolin/contracts/canonical';
import { sha256 } from '@pangolin/contracts/digest';
import type { AdmittedItem, AdmittedRun } from '@pangolin/contracts/admitted-run';
import { DEFAULTS } from '@pangolin/contracts/run';
import { openKeys } from '@pangolin/controller/audit/keys';
import { Admission } from '@pangolin/controller/engine/admission';
import { Memory } from '@pangolin/controller/engine/engine';
import { Queues } from '@pangolin/controller/engine/queues';
import { Reconciler } from '@pangolin/controller/engine/reconcile';
import type { TaskFiles } from '@pangolin/controller/engine/task-files';
import { createNoopProvider } from '@pangolin/controller/providers/noop';
import { createEnvSecrets } from '@pangolin/controller/secrets/env-store';
import { createHandover } from '@pangolin/controller/secrets/handover';
import { EvidenceStore } from '@pangolin/controller/store/evidence';
import { StateStore } from '@pangolin/controller/store/state';
import { openFolderStore } from '@pangolin/storage/folder-store';
import type { Row } from './figures.ts';

/** pending → ready → starting → done; a no-op task is never seen running. */
const TRANSITIONS_PER_ITEM = 3;
const CONCURRENCY = 256;
const RSS_EVERY_MS = 20;
const SIZES = { wide: [1_000, 10_000], deep: [1_000, 10_000], 'map-reduce': [1_000, 10_000, 100_000] } as const;
type Shape = keyof typeof SIZES;
const PIPELINE = { blocks: [{ kind: 'script' as const, command: 'true' }] };
const PIPELINE_DIGEST = sha256(canonicalBytes(PIPELINE));

export async function engine(): Promise<Row[]> {
  const rows: Row[] = [];
  for (const shape of Object.keys(SIZES) as Shape[]) {
    for (const items of SIZES[shape]) rows.push(await measure(shape, items));
  }
  return rows;
}

async function measure(shape: Shape, items: number): Promise<Row> {
  const dir = mkdtempSync(join(tmpdir(), 'pangolin-bench-'));
  const state = new StateStore(join(dir, 'state.db'));
  try {
    const { seconds, passes, peakBytes } = await complete(dir, state, planOf(shape, items), items);
    const floor = commitsSeconds(join(dir, 'floor.db'), passes);
    return {
      shape,
      items,
      seconds: round(seconds),
      itemsPerSecond: Math.round(items / seconds),
      transitionsPerSecond: Math.round((items * TRANSITIONS_PER_ITEM) / seconds),
      passes,
      peakMiB: Math.round(peakBytes / 2 ** 20),
      floorSeconds: round(floor),
      ratioToFloor: round(seconds / floor),
    };
  } finally {
    state.close();
    rmSync(dir, { recursive: true, force: true });
  }
}

async function complete(
  dir: string,
  state: StateStore,
  run: AdmittedRun,
  count: number,
): Promise<{ seconds: number; passes: number; peakBytes: number }> {
  const store = await openFolderStore(join(dir, 'storage'));
  const keys = await openKeys(join(dir, 'keys'));
  const provider = createNoopProvider();
  const reconciler = new Reconciler(
    {
      state,
      evidence: new EvidenceStore(state.db),
      attest: keys.attest,
      logOrigin: keys.origin,
      deployment: 'bench',
      store,
      provider,
      files: noFiles,
      admission: new Admission(store, async () => ({ ok: true, document: { kind: 'Run', run } })),
      secrets: createHandover(createEnvSecrets('NONE_', {})),
      config: { tasksMax: Infinity, graceMs: 1000, bootMs: 60_000, resyncMs: 60_000 },
      log: pino({ level: 'silent' }),
      now: Date.now,
      memory: new Memory(new Queues(state, { concurrency: CONCURRENCY })),
    },
    { headEveryMs: Infinity, advance: async () => ({ sealed: [], pending: 0 }) },
  );
  const unwatch = await provider.watch((task) => reconciler.hintTask(task));
  await store.put('inbox/bench-run-0~service%3Abench.json', '{}');
  const started = performance.now();
  let looks = 0;
  let peakBytes = 0;
  let sampledAt = -Infinity;
  await reconciler.run(() => {
    looks++;
    // Reading it costs as much as a small pass.
    if (performance.now() - sampledAt >= RSS_EVERY_MS) {
      sampledAt = performance.now();
      peakBytes = Math.max(peakBytes, process.memoryUsage.rss());
    }
    return state.run(run.id)?.finished_at != null;
  });
  const seconds = (performance.now() - started) / 1000;
  await unwatch();
  // Asked before and after each pass.
  const { phase } = state.run(run.id)!;
  if (phase !== 'succeeded' || state.itemCount(1) !== count)
    throw new Error(`the run ${phase} with ${state.itemCount(1)} items`);
  return { seconds, passes: looks >> 1, peakBytes };
}

/** The worker has nothing to say: every attempt is whole, and has the products that its params ask for. */
const noFiles: TaskFiles = {
  layOut: async () => ({ inDir: '', outDir: '' }),
  booted: async () => true,
  list: async () => [],
  discard: async () => {},
  collect: async ({ itemId }) => {
    const outputs = Object.fromEntries(productsOf(itemId).map((path) => [path, PRODUCT]));
    const result = { products: { outputs }, partial: false, invalid: undefined, output: succeeded };
    return Object.keys(outputs).length > 0 ? { ...result, result: PRODUCT.sha256 } : result;
  },
};
const succeeded = { status: 'succeeded', partial: false } as NonNullable<
  Awaited<ReturnType<TaskFiles['collect']>>['output']
>;

const PRODUCT = { sha256: sha256('product'), size: 7 };

/** `split-<n>`, a splitter, has n parts, and each of its map items one output. */
function productsOf(itemId: string): string[] {
  const [, parts, map] = /^split-\d+-(\d+)(\.\d+)?$/.exec(itemId) ?? [];
  if (map !== undefined) return ['out'];
  return Array.from({ length: Number(parts ?? 0) }, (_, part) => `part-${part}`);
}

const template = {
  executor: 'dispatch',
  pipeline: { sha256: PIPELINE_DIGEST },
  resourceLocks: [],
  timeoutMs: DEFAULTS.timeoutMs,
  retry: DEFAULTS.retry,
  priority: 0,
} as const;

/** Of all the items that a splitter stands for: itself, its map items and its reduce item. */
const SPLIT_MAX = 10_000;

function itemsOf(shape: Shape, count: number): AdmittedItem[] {
  if (shape !== 'map-reduce') {
    return Array.from({ length: count }, (_, index) => ({
      ...template,
      id: `item-${index}`,
      depends_on: shape === 'deep' && index > 0 ? [`item-${index - 1}`] : [],
    }));
  }
  const items: AdmittedItem[] = [];
  for (let left = count; left > 0; left -= Math.min(left, SPLIT_MAX))
    items.push({
      ...template,
      id: `split-${items.length}-${Math.min(left, SPLIT_MAX) - 2}`,
      depends_on: [],
      role: 'split',
    });
  return items;
}

function planOf(shape: Shape, count: number): AdmittedRun {
  const split = { map: template, product: { kind: 'output', path: 'out' }, reduce: template } as const;
  return {
    schema: 'admitted-run/1',
    id: 'bench',
    queue: 'default',
    labels: {},
    spec: sha256(shape),
    pipelines: { [PIPELINE_DIGEST]: PIPELINE },
    items: itemsOf(shape, count),
    ...(shape === 'map-reduce' && { pattern: { kind: 'map-reduce', splits: { split } } }),
  };
}

function commitsSeconds(path: string, commits: number): number {
  const db = new Database(path);
  db.pragma('journal_mode = WAL');
  db.pragma('synchronous = FULL');
  db.exec('CREATE TABLE t (n INTEGER)');
  const insert = db.prepare('INSERT INTO t VALUES (?)');
  const started = performance.now();
  for (let n = 0; n < commits; n++) insert.run(n);
  const seconds = (performance.now() - started) / 1000;
  db.close();
  return seconds;
}

const round = (value: number): number => Math.round(value * 1000) / 1000;
