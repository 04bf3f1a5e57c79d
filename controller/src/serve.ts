/** `pangolin orch serve`: opens everything, adopts what runs and reconciles until told to stop. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { randomBytes } from 'node:crypto';
import pino, { type Logger } from 'pino';
import type { Config } from '@pangolin/contracts/config';
import { PangolinError } from '@pangolin/contracts/errors';
import { CONTROL, INBOX, TRUST } from '@pangolin/contracts/layout';
import { openStore } from '@pangolin/storage/open';
import { fsError } from '@pangolin/storage/fs-errors';
import { probeStore } from '@pangolin/storage/probe';
import type { ObjectStore } from '@pangolin/storage/object-store';
import { openAlive } from './alive.ts';
import { admitDocuments } from './admission/admit-document.ts';
import { openKeys, trustDocument } from './audit/keys.ts';
import { evidenceOptions, trustedSurroundings } from './audit/evidence-options.ts';
import { Lag } from './audit/lag.ts';
import { createSealer } from './audit/sealer.ts';
import { loadConfig } from './config.ts';
import { Admission } from './engine/admission.ts';
import { Memory } from './engine/engine.ts';
import { growing } from './engine/growing.ts';
import { Queues } from './engine/queues.ts';
import { Reconciler } from './engine/reconcile.ts';
import { openTaskFiles } from './engine/open-task-files.ts';
import { CLOSE_MS, DRAIN_MS, untilDrained } from './drain.ts';
import { StorageLease } from './lease.ts';
import { assertStateNotLost } from './lost-state.ts';
import { watchNotifications } from './notifications.ts';
import { openProvider, type Compute } from './providers/open.ts';
import { GRACE_MS, GRACE_MS_MAX, type ComputeProvider } from './providers/provider.ts';
import { createHandover } from './secrets/handover.ts';
import { openSecrets } from './secrets/open.ts';
import { EvidenceStore } from './store/evidence.ts';
import { StateStore } from './store/state.ts';

/** Defaults of a deployment. */
const CONCURRENCY = 8;
/** How long a stopping controller waits for starts under way. */
const SETTLE_MS = 10_000;
const BOOT_MS = 5 * 60_000;
const RESYNC_MS = 30_000;
/** Life of what a task on S3 is granted; newer grants follow while it runs. */
const GRANT_LIFE_S = 3600;

export interface ServeOptions {
  /** A folder. */
  readonly storage: string;
  /** Where run-state and keys live; default `<storage>/controller`. */
  readonly state?: string;
  /** Default: docker when an engine answers, else process with one line of warning. */
  readonly compute?: Compute;
  readonly unsandboxed?: boolean;
  /** Return once everything admitted is terminal and sealed, whatever the runs' outcome. */
  readonly untilIdle?: boolean;
  /** Of the default queue. */
  readonly concurrency?: number;
  /** Tasks of all queues together; no limit by default. */
  readonly tasksMax?: number;
  /** From SIGTERM to SIGKILL of a task that is stopped; what it has done is captured and sent meanwhile. Default 10 s. */
  readonly graceMs?: number;
  /** Default worker image. */
  readonly image?: string;
  /** Configuration file; default `pangolin.yaml` in the state directory, else in the storage folder. */
  readonly config?: string;
  readonly signal?: AbortSignal;
  readonly log?: Logger;
}

/**
 * Resolves when stopped by `signal`, within DRAIN_MS + CLOSE_MS, or idle with `untilIdle`. Tasks keep running: the next
 * controller adopts them.
 * @throws PangolinError CONFLICT when another controller serves this storage, or when its run-state is lost.
 */
export async function serve(options: ServeOptions): Promise<void> {
  const log =
    options.log ??
    pino(
      { base: null, level: process.env.PANGOLIN_LOG ?? 'info', timestamp: pino.stdTimeFunctions.isoTime },
      pino.destination({ dest: 2, sync: true }),
    );
  const graceMs = options.graceMs ?? GRACE_MS;
  if (graceMs < 1000 || graceMs > GRACE_MS_MAX)
    throw new PangolinError('USAGE', `the grace is ${graceMs} ms`, { hint: 'It can be 1s to 1h.' });
  const store = await openStore(options.storage);
  const stateDir = options.state ?? store.localPath('controller');
  if (stateDir === undefined) {
    throw new PangolinError('USAGE', `${store.location} needs --state DIR, or PANGOLIN_STATE`, {
      hint: 'Run-state and keys stay on this machine: a directory that is backed up.',
    });
  }
  makeStateDir(stateDir);
  await assertStateNotLost(stateDir, store);
  const state = new StateStore(join(stateDir, 'state.db'));
  // Last opened, first closed.
  const closing: (() => Promise<void>)[] = [async () => state.close()];
  try {
    const {
      evidence: outside = {},
      egress,
      compute = {},
      secrets,
      git,
      notifications,
    } = await loadConfig(options.config, stateDir, store);
    const evidence = new EvidenceStore(state.db);
    const keys = await openKeys(join(stateDir, 'keys'));
    const deployment = state.constant('deployment', () => randomBytes(8).toString('hex'));
    const provider = await openProvider({
      compute: options.compute,
      stateDir,
      deployment,
      log,
      image: options.image,
      egress,
      unsandboxed: options.unsandboxed,
      fargate: compute.fargate,
    });
    // Before anything depends on it: that the store decides who was first.
    if (store.kind === 's3') await probeStore(store);
    const lease = await StorageLease.take(store, deployment, Date.now);
    closing.unshift(() => lease.release());
    const files = await openTaskFiles(store, provider, { stateDir, deployment, lifeSeconds: GRANT_LIFE_S });
    closing.unshift(files.close);
    const lag = new Lag({ db: evidence, store, now: Date.now });
    const sealer = createSealer({
      db: evidence,
      store,
      keys,
      now: Date.now,
      onSealed: (runId, at) => state.markSealed(runId, at),
      lag,
      ...evidenceOptions(outside, {
        keys,
        now: Date.now,
        lag,
        ...(options.signal && { signal: options.signal }),
        onGivenUp: (problem) => log.warn({ err: problem }, `a seal goes without: ${problem.message}`),
      }),
    });
    await sealer.checkLog((problem) => log.warn({ err: problem }, problem.message));
    await store.put(TRUST, JSON.stringify({ ...trustDocument(keys), ...trustedSurroundings(outside) }, null, 2) + '\n');

    const queues = new Queues(state, { concurrency: options.concurrency ?? CONCURRENCY });
    const context = {
      store,
      queue: (name: string) => (queues.has(name) ? queues.get(name).spec : undefined),
      ...growing(state),
      localBase: process.cwd(),
      allowLocalPaths: store.kind === 'folder',
      allowHosts: git?.allowHosts ?? [],
      gitCacheDir: join(stateDir, 'git'),
    };
    const alive = openAlive(stateDir, Date.now);
    closing.unshift(async () => alive.end());
    const reconciler = new Reconciler(
      {
        state,
        evidence,
        attest: keys.attest,
        logOrigin: keys.origin,
        deployment,
        store,
        provider,
        files: files.taskFiles,
        admission: new Admission(store, admitDocuments(provider, context)),
        secrets: createHandover(openSecrets(secrets, stateDir)),
        config: { tasksMax: options.tasksMax ?? Infinity, graceMs, bootMs: BOOT_MS, resyncMs: RESYNC_MS },
        log,
        now: Date.now,
        memory: new Memory(queues),
      },
      sealer,
      // Asked at every turn of the loop.
      { hold: async () => (alive.beat(), await lease.hold()) },
    );
    const drained = await untilDrained(
      drive(reconciler, store, provider, { ...options, ...(notifications && { notifications }) }),
      options.signal,
      DRAIN_MS,
    );
    if (!drained) log.warn(`stopped after ${DRAIN_MS / 1000} s with work under way; the next controller repeats it`);
  } finally {
    await untilDrained(closeAll(closing), options.signal ?? AbortSignal.abort(), CLOSE_MS);
  }
}

async function closeAll(closing: readonly (() => Promise<void>)[]): Promise<void> {
  for (const close of closing) await close();
}

async function drive(
  reconciler: Reconciler,
  store: ObjectStore,
  provider: ComputeProvider,
  options: ServeOptions & Pick<Config, 'notifications'>,
): Promise<void> {
  const { engine } = reconciler;
  const hint = (prefix: string): void => {
    engine.admission.hint(prefix);
    engine.wake();
  };
  const unwatchStore = await store.watch([INBOX, CONTROL], hint);
  const hintAll = (): void => [INBOX, CONTROL].forEach(hint);
  const unwatchQueue = options.notifications && watchNotifications(options.notifications, hintAll, engine.log);
  const unwatchTasks = await provider.watch((task) => reconciler.hintTask(task));
  const onAbort = (): void => reconciler.drain();
  options.signal?.addEventListener('abort', onAbort);
  try {
    reconciler.recover();
    engine.log.info({ storage: store.location, compute: provider.name, deployment: engine.deployment }, 'serving');
    await reconciler.run(() => options.signal?.aborted === true || (options.untilIdle === true && reconciler.idle));
    await reconciler.settle();
    await settleEffects(engine.memory);
  } finally {
    options.signal?.removeEventListener('abort', onAbort);
    await unwatchTasks();
    await unwatchQueue?.();
    await unwatchStore();
  }
}

/** A start under way is finished first, so that the next controller finds a task and not half of one. */
async function settleEffects(memory: Memory): Promise<void> {
  for (let waited = 0; memory.starting.size > 0 && waited < SETTLE_MS; waited += 50) await delay(50);
}

/** @throws PangolinError DENIED, INVALID … with what to do about it */
function makeStateDir(path: string): void {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw fsError(error, `make the state directory ${path}`);
  }
}
