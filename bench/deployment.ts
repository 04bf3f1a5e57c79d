/** A deployment without tasks: evidence, storage and keys on a folder, and finished runs as the engine records them. */
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { canonicalBytes } from '@pangolin/contracts/canonical';
import { sha256 } from '@pangolin/contracts/digest';
import { signEnvelope } from '@pangolin/contracts/dsse';
import { casKey } from '@pangolin/contracts/layout';
import type { AdmittedItem, AdmittedRun } from '@pangolin/contracts/admitted-run';
import { DEFAULTS } from '@pangolin/contracts/run';
import type { RunEventBody } from '@pangolin/contracts/run-log';
import type { DispatchManifest } from '@pangolin/contracts/task';
import { formatTime } from '@pangolin/contracts/units';
import { openKeys, type Keys } from '@pangolin/controller/audit/keys';
import { createSealer, type Sealer } from '@pangolin/controller/audit/sealer';
import { dispatchStatement, provenanceStatement } from '@pangolin/controller/audit/statements';
import { EvidenceStore } from '@pangolin/controller/store/evidence';
import { openFolderStore } from '@pangolin/storage/folder-store';
import type { ObjectStore } from '@pangolin/storage/object-store';

const ENGINE = { name: 'pangolin', version: '0.1.0' };
const PIPELINE = { blocks: [{ kind: 'script' as const, command: 'true' }] };
const PIPELINE_DIGEST = sha256(canonicalBytes(PIPELINE));
/** No two attempts share a transaction for longer than this many events. */
const EVENTS_PER_TRANSACTION = 5000;

export interface Deployment {
  readonly db: Database.Database;
  readonly evidence: EvidenceStore;
  readonly store: ObjectStore;
  readonly keys: Keys;
  readonly sealer: Sealer;
}

export async function openDeployment(dir: string): Promise<Deployment> {
  const db = openDatabase(join(dir, 'state.db'));
  const evidence = new EvidenceStore(db);
  const store = await openFolderStore(join(dir, 'storage'));
  const keys = await openKeys(join(dir, 'keys'));
  return { db, evidence, store, keys, sealer: createSealer({ db: evidence, store, keys, now: Date.now }) };
}

/** Durable as the controller's own. */
export function openDatabase(path: string): Database.Database {
  const db = new Database(path);
  db.pragma('journal_mode = WAL');
  db.pragma('synchronous = FULL');
  return db;
}

/**
 * Records a run that ended well: `items` items without dependencies, one patch each, two events an item and two for
 * the run. With `content` its statements are signed and its blobs stored, so that a full bundle can be exported.
 */
export async function recordRun(deployment: Deployment, runId: string, items: number, content: boolean): Promise<void> {
  const { db, evidence, keys } = deployment;
  const put = async (bytes: Buffer): Promise<{ readonly sha256: string }> => {
    const digest = sha256(bytes);
    if (content) await deployment.store.put(casKey(digest), bytes);
    return { sha256: digest };
  };
  const signed = async (statement: { readonly payload: Buffer; readonly sha256: string }) => {
    if (content) evidence.addStatement(runId, await signEnvelope(keys.attest, statement.payload));
    return { sha256: statement.sha256 };
  };
  let events: RunEventBody[] = [];
  const flush = (): void => {
    const at = Date.now();
    evidence.appendEvents(
      runId,
      events.map((body) => ({ at, actor: 'service:controller', body })),
    );
    events = [];
    db.exec('COMMIT');
  };
  const submission = await put(Buffer.from(`id: ${runId}\n`));
  const plan = await put(canonicalBytes(planOf(runId, items)));
  const nonce = sha256(runId).slice(0, 32);
  const after = evidence.lastCheckpoint();
  const origin = { logOrigin: keys.origin, plan, submission, nonce, ...(after && { after }), engine: ENGINE };
  events.push({ kind: 'run.submitted', schema: 'run-log/1', ...origin });
  db.exec('BEGIN IMMEDIATE');
  for (let at = 0; at < items; at++) {
    const manifest = manifestOf(runId, `item-${at}`);
    const { itemId, attempt } = manifest;
    const dispatch = await signed(dispatchStatement(manifest));
    const outputs = { patch: await put(Buffer.from(`patch of ${runId}/${itemId}\n`)) };
    const result = await put(canonicalBytes(outputOf(manifest, dispatch.sha256, outputs.patch.sha256)));
    const time = formatTime(Date.now());
    const facts = { manifest, dispatch: dispatch.sha256, logOrigin: keys.origin, outputs, result: result.sha256 };
    const provenance = await signed(provenanceStatement({ ...facts, startedOn: time, finishedOn: time }));
    const end = { status: 'done', reason: 'Succeeded', result, outputs, provenance } as const;
    events.push({ kind: 'item.fired', itemId, attempt, dispatch, inputs: {} });
    events.push({ kind: 'item.reconciled', itemId, attempt, ...end });
    if (events.length >= EVENTS_PER_TRANSACTION) {
      flush();
      db.exec('BEGIN IMMEDIATE');
    }
  }
  const counts = { done: items, failed: 0, skipped: 0, cancelled: 0, denied: 0 };
  events.push({ kind: 'run.completed', status: 'succeeded', counts });
  evidence.openSeal(runId);
  flush();
}

function manifestOf(runId: string, itemId: string): DispatchManifest {
  return {
    schema: 'dispatch/1',
    runId,
    itemId,
    attempt: 1,
    engine: ENGINE,
    provider: 'process',
    task: `pangolin-${itemId}`,
    pipeline: { sha256: PIPELINE_DIGEST, spec: PIPELINE },
    inputs: {},
    limits: { timeoutMs: DEFAULTS.timeoutMs, graceMs: 10_000 },
    sandbox: {
      asked: {},
      enforced: { network: 'none', rootfs: 'host', user: 'same', noNewPrivileges: true, runtime: 'process' },
    },
  };
}

function planOf(runId: string, count: number): AdmittedRun {
  const items = Array.from({ length: count }, (_, at): AdmittedItem => ({
    id: `item-${at}`,
    executor: 'dispatch',
    pipeline: { sha256: PIPELINE_DIGEST },
    depends_on: [],
    resourceLocks: [],
    timeoutMs: DEFAULTS.timeoutMs,
    retry: DEFAULTS.retry,
    priority: 0,
  }));
  const pipelines = { [PIPELINE_DIGEST]: PIPELINE };
  return { schema: 'admitted-run/1', id: runId, queue: 'default', labels: {}, spec: '0'.repeat(64), pipelines, items };
}

/** What a worker says of such an attempt, as far as a verifier reads it. */
function outputOf({ runId, itemId, attempt }: DispatchManifest, manifest: string, patch: string) {
  const time = formatTime(Date.now());
  return {
    schema: 'output/1',
    runId,
    itemId,
    attempt,
    manifest,
    status: 'succeeded',
    partial: false,
    startedAt: time,
    finishedAt: time,
    blocks: [{ index: 0, kind: 'script', status: 'succeeded', exitCode: 0 }],
    products: { patch: { sha256: patch, size: 1, files: 1, baseTree: '0'.repeat(40) }, outputs: {} },
    logs: [],
  };
}
