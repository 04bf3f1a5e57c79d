/** One deployment on a temporary folder, with runs as the engine would record them. */
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { canonical, canonicalBytes } from '@pangolin/contracts/canonical';
import { sha256 } from '@pangolin/contracts/digest';
import { signEnvelope } from '@pangolin/contracts/dsse';
import { PangolinError } from '@pangolin/contracts/errors';
import { casKey } from '@pangolin/contracts/layout';
import type { Output } from '@pangolin/contracts/output';
import type { AdmittedRun } from '@pangolin/contracts/admitted-run';
import type { RunEventBody } from '@pangolin/contracts/run-log';
import type { DispatchManifest, InputRef } from '@pangolin/contracts/task';
import { formatTime } from '@pangolin/contracts/units';
import { openKeys, type Keys } from '@pangolin/controller/audit/keys';
import { createSealer, type Sealer, type SealerOptions } from '@pangolin/controller/audit/sealer';
import { dispatchStatement, provenanceStatement } from '@pangolin/controller/audit/statements';
import { EvidenceStore } from '@pangolin/controller/store/evidence';
import { openFolderStore } from '@pangolin/storage/folder-store';
import type { ObjectStore } from '@pangolin/storage/object-store';

export const START = Date.UTC(2026, 10, 23, 12);

export interface World {
  readonly dir: string;
  readonly db: Database.Database;
  readonly evidence: EvidenceStore;
  readonly store: ObjectStore;
  readonly keys: Keys;
  sealer(options?: Partial<SealerOptions>): Sealer;
  /** The same database and storage as a new process would see them. */
  reopen(): Promise<World>;
  [Symbol.asyncDispose](): Promise<void>;
}

export async function openWorld(dir = mkdtempSync(join(tmpdir(), 'pangolin-audit-'))): Promise<World> {
  const db = new Database(join(dir, 'state.db'));
  db.pragma('journal_mode = WAL');
  db.pragma('synchronous = FULL');
  const evidence = new EvidenceStore(db);
  const store = await openFolderStore(join(dir, 'storage'));
  const keys = await openKeys(keysDir(dir));
  return {
    dir,
    db,
    evidence,
    store,
    keys,
    sealer: (options = {}) => createSealer({ db: evidence, store, keys, now: () => START + 60_000, ...options }),
    reopen: () => {
      db.close();
      return openWorld(dir);
    },
    [Symbol.asyncDispose]: async () => {
      if (db.open) db.close();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

/** Keys that are older than the runs, whatever the clock of this machine says. */
function keysDir(dir: string): string {
  const keys = join(dir, 'keys');
  const file = join(keys, 'deployment.json');
  mkdirSync(keys, { recursive: true });
  if (!existsSync(file)) {
    const origin = `pangolin-${randomBytes(4).toString('hex')}.local`;
    writeFileSync(file, canonical({ schema: 'pangolin-keys/1', origin, createdAt: formatTime(START - 1000) }));
  }
  return keys;
}

const pipeline = { blocks: [{ kind: 'script' as const, command: 'true' }] };

export function manifestOf(runId: string, itemId: string, inputs: Record<string, InputRef> = {}): DispatchManifest {
  return {
    schema: 'dispatch/1',
    runId,
    itemId,
    attempt: 1,
    engine: { name: 'pangolin', version: '0.1.0' },
    provider: 'process',
    task: `pangolin-${itemId}`,
    pipeline: { sha256: sha256(canonicalBytes(pipeline)), spec: pipeline },
    image: { ref: 'worker:1', id: `sha256:${'1'.repeat(64)}` },
    inputs,
    limits: { timeoutMs: 60_000, graceMs: 10_000 },
    sandbox: {
      asked: {},
      enforced: {
        network: 'none',
        rootfs: 'read-only',
        user: 'separate',
        noNewPrivileges: true,
        runtime: 'runc',
      },
    },
  };
}

function planOf(runId: string, items: number): AdmittedRun {
  const sha = sha256(canonicalBytes(pipeline));
  return {
    schema: 'admitted-run/1',
    id: runId,
    queue: 'default',
    labels: {},
    spec: '0'.repeat(64),
    pipelines: { [sha]: pipeline },
    items: Array.from({ length: items }, (_, at) => ({
      id: `item-${at}`,
      executor: 'dispatch',
      pipeline: { sha256: sha },
      ...(at > 0 && { needs: { before: { from: `item-${at - 1}`, select: { kind: 'patch' } } } }),
      depends_on: at > 0 ? [`item-${at - 1}`] : [],
      resourceLocks: [],
      timeoutMs: 60_000,
      retry: { maxAttempts: 1, initialMs: 1000, factor: 2, maxMs: 300_000, jitter: true },
      priority: 0,
    })),
  };
}

function outputOf({ runId, itemId }: DispatchManifest, manifest: string, patch: string): Output {
  return {
    schema: 'output/1',
    runId,
    itemId,
    attempt: 1,
    manifest,
    status: 'succeeded',
    partial: false,
    startedAt: formatTime(START),
    finishedAt: formatTime(START),
    blocks: [{ index: 0, kind: 'script', status: 'succeeded', exitCode: 0 }],
    products: { patch: { sha256: patch, size: 3, files: 1, baseTree: '0'.repeat(40) }, outputs: {} },
    logs: [],
  };
}

/**
 * Records a finished run: a chain of `items`, each with one patch, each consuming the patch before it. Blobs are in
 * cas/, statements signed, the seal queued.
 */
export async function recordRun(world: World, runId: string, items = 2): Promise<void> {
  (await beginRun(world, runId, items, Infinity))();
}

/** Records the first events of such a run; what is answered records the rest. An event has a millisecond of its own. */
export async function beginRun(world: World, runId: string, items: number, count: number): Promise<() => void> {
  const put = async (bytes: Buffer): Promise<{ sha256: string }> => {
    const digest = sha256(bytes);
    await world.store.put(casKey(digest), bytes);
    return { sha256: digest };
  };
  const plan = await put(canonicalBytes(planOf(runId, items)));
  const submission = await put(Buffer.from(`id: ${runId}\n`));
  const after = world.evidence.lastCheckpoint();
  const events: RunEventBody[] = [
    {
      kind: 'run.submitted',
      schema: 'run-log/1',
      logOrigin: world.keys.origin,
      plan,
      submission,
      nonce: sha256(runId).slice(0, 32),
      ...(after && { after }),
      engine: { name: 'pangolin', version: '0.1.0' },
    },
  ];
  world.db.exec('BEGIN IMMEDIATE');
  let inputs: Record<string, InputRef> = {};
  for (let at = 0; at < items; at++) {
    const itemId = `item-${at}`;
    const manifest = manifestOf(runId, itemId, inputs);
    const dispatch = dispatchStatement(manifest);
    world.evidence.addStatement(runId, await signEnvelope(world.keys.attest, dispatch.payload));
    events.push({ kind: 'item.fired', itemId, attempt: 1, dispatch: { sha256: dispatch.sha256 }, inputs });
    // The first product is not UTF-8.
    const patch = await put(at === 0 ? Buffer.of(0xff, 0xfe, at) : Buffer.from(`patch of ${runId}/${itemId}\n`));
    const result = await put(canonicalBytes(outputOf(manifest, dispatch.sha256, patch.sha256)));
    const provenance = provenanceStatement({
      manifest,
      dispatch: dispatch.sha256,
      logOrigin: world.keys.origin,
      outputs: { patch },
      result: result.sha256,
      startedOn: formatTime(START),
      finishedOn: formatTime(START + events.length),
    });
    world.evidence.addStatement(runId, await signEnvelope(world.keys.attest, provenance.payload));
    events.push({
      kind: 'item.reconciled',
      itemId,
      attempt: 1,
      status: 'done',
      reason: 'Succeeded',
      result,
      outputs: { patch },
      provenance: { sha256: provenance.sha256 },
    });
    inputs = { before: { ...patch, from: { itemId, output: 'patch' } } };
  }
  const counts = { done: items, failed: 0, skipped: 0, cancelled: 0, denied: 0 };
  events.push({ kind: 'run.completed', status: 'succeeded', counts });
  world.db.exec('COMMIT');
  const all = events.map((body, at) => ({ at: START + at, actor: 'service:controller', body }));
  const append = world.db.transaction((part: typeof all, isLast: boolean) => {
    if (isLast) world.evidence.openSeal(runId);
    world.evidence.appendEvents(runId, part);
  });
  if (count < all.length) append(all.slice(0, count), false);
  return () => append(count < all.length ? all.slice(count) : all, true);
}

export type Fault = 'did not happen' | 'happened but reported failure';

/** Counts writes, and fails the one numbered `failing` (from 1). */
export function faultyStore(
  store: ObjectStore,
  failing: number,
  fault: Fault,
): ObjectStore & { readonly writes: () => number } {
  let writes = 0;
  const put: ObjectStore['put'] = async (key, body, options) => {
    if (++writes !== failing) return store.put(key, body, options);
    if (fault === 'happened but reported failure') await store.put(key, body, options);
    throw new PangolinError('UNAVAILABLE', `the write of ${key} failed`);
  };
  return new Proxy(store, {
    get(target, name) {
      if (name === 'put') return put;
      if (name === 'writes') return () => writes;
      const value: unknown = Reflect.get(target, name);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  }) as ObjectStore & { readonly writes: () => number };
}
