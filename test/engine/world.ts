/**
 * A controller in a bottle: the real engine, state and evidence over a simulated backend and clock, so that a property
 * test can run thousands of histories. The real backends have tests of their own (test/providers, test/spine).
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pino from 'pino';
import { canonicalBytes } from '@pangolin/contracts/canonical';
import { sha256 } from '@pangolin/contracts/digest';
import { PangolinError } from '@pangolin/contracts/errors';
import type { Reason } from '@pangolin/contracts/reasons';
import type { AdmittedItem, AdmittedRun } from '@pangolin/contracts/admitted-run';
import { DEFAULTS } from '@pangolin/contracts/run';
import type { RunEvent } from '@pangolin/contracts/run-log';
import type { Sandbox } from '@pangolin/contracts/task';
import type { ObjectStore } from '@pangolin/storage/object-store';
import { admitDocuments } from '@pangolin/controller/admission/admit-document';
import { openKeys, type Keys } from '@pangolin/controller/audit/keys';
import { Admission, type Admit } from '@pangolin/controller/engine/admission';
import { Memory } from '@pangolin/controller/engine/engine';
import { growing } from '@pangolin/controller/engine/growing';
import { Queues } from '@pangolin/controller/engine/queues';
import { Reconciler } from '@pangolin/controller/engine/reconcile';
import type { Collection, TaskFiles } from '@pangolin/controller/engine/task-files';
import type { ComputeProvider, TaskObservation, TaskStart } from '@pangolin/controller/providers/provider';
import { createEnvSecrets } from '@pangolin/controller/secrets/env-store';
import { createHandover } from '@pangolin/controller/secrets/handover';
import { EvidenceStore } from '@pangolin/controller/store/evidence';
import type { ItemRow } from '@pangolin/controller/store/rows';
import { StateStore } from '@pangolin/controller/store/state';
import { createMemoryStore } from '../fakes/memory-store.ts';

/** One pair of keys for all worlds: making some costs more than most histories. */
let keys: Promise<Keys> | undefined;
const KEYS_DIR = mkdtempSync(join(tmpdir(), 'pangolin-keys-'));
process.on('exit', () => rmSync(KEYS_DIR, { recursive: true, force: true }));

const PIPELINE = { blocks: [{ kind: 'script' as const, command: 'true' }] };
const PIPELINE_DIGEST = sha256(canonicalBytes(PIPELINE));

/** How one attempt goes, as the backend and the worker have it. */
export type Fate =
  | { readonly kind: 'done'; readonly outputs?: readonly string[]; readonly red?: boolean }
  | { readonly kind: 'fails'; readonly reason: Reason }
  /** Stops with a question. */
  | { readonly kind: 'asks' }
  /** Ends without a sentinel, or is removed behind our back. */
  | { readonly kind: 'killed' }
  | { readonly kind: 'vanishes' }
  /** The start is refused; `applied`: it was refused and happened all the same. */
  | { readonly kind: 'refused'; readonly applied: boolean };

interface SimTask {
  readonly start: TaskStart;
  state: 'running' | 'ended' | 'gone';
  stopped: boolean;
  removed: boolean;
}

/** A backend whose tasks end when the test says so. */
export class SimBackend implements ComputeProvider {
  readonly name = 'noop';
  readonly tasks = new Map<string, SimTask>();
  /** Every time a task really came into being, by name: more than once is a doubled attempt. */
  readonly births: string[] = [];
  readonly #fateOf: (start: TaskStart) => Fate;

  constructor(fateOf: (start: TaskStart) => Fate) {
    this.#fateOf = fateOf;
  }
  fate(start: TaskStart): Fate {
    return this.#fateOf(start);
  }
  enforce(): Sandbox {
    return { network: 'none', rootfs: 'host', user: 'same', noNewPrivileges: false, runtime: 'sim' };
  }
  async resolveImage(): Promise<undefined> {}
  async start(start: TaskStart): Promise<void> {
    const fate = this.#fateOf(start);
    if (!this.tasks.has(start.name) && !(fate.kind === 'refused' && !fate.applied)) {
      this.births.push(start.name);
      this.tasks.set(start.name, { start, state: 'running', stopped: false, removed: false });
    }
    if (fate.kind === 'refused')
      throw new PangolinError('UNAVAILABLE', 'refused', { details: { reason: 'StartFailed' } });
  }
  async observe(names: readonly string[]): Promise<TaskObservation[]> {
    return names.map((name) => {
      const task = this.tasks.get(name);
      if (!task || task.removed || task.state === 'gone') return { name, state: 'gone' };
      return task.state === 'running'
        ? { name, state: 'running' }
        : { name, state: 'ended', exitCode: this.fate(task.start).kind === 'killed' ? 137 : 0 };
    });
  }
  async list(): Promise<string[]> {
    return [...this.tasks].filter(([, task]) => !task.removed && task.state !== 'gone').map(([name]) => name);
  }
  async stop(name: string): Promise<void> {
    const task = this.tasks.get(name);
    if (task?.state === 'running') {
      task.stopped = true;
      task.state = 'ended';
    }
  }
  async remove(name: string): Promise<void> {
    const task = this.tasks.get(name);
    if (task) task.removed = true;
  }
  async watch(): Promise<() => Promise<void>> {
    return async () => {};
  }
  get running(): SimTask[] {
    return [...this.tasks.values()].filter((task) => task.state === 'running' && !task.removed);
  }
  /** Lets one running task reach the end of its fate. */
  finish(task: SimTask): void {
    task.state = this.fate(task.start).kind === 'vanishes' ? 'gone' : 'ended';
  }
}

/** The worker's files, as the fate of an attempt has them. */
function simFiles(backend: SimBackend): TaskFiles {
  const byRef = (ref: { runId: string; itemId: string; attempt: number }): SimTask | undefined =>
    [...backend.tasks.values()].find(
      ({ start }) =>
        start.ref.runId === ref.runId && start.ref.itemId === ref.itemId && start.ref.attempt === ref.attempt,
    );
  return {
    layOut: async () => ({ inDir: '/in', outDir: '/out' }),
    booted: async (ref) => byRef(ref) !== undefined,
    list: async () => [],
    discard: async () => {},
    collect: async (ref): Promise<Collection> => {
      const task = byRef(ref);
      const none: Collection = { products: { outputs: {} }, partial: false, output: undefined, invalid: undefined };
      if (!task) return none;
      const fate = backend.fate(task.start);
      if (fate.kind === 'killed' || fate.kind === 'vanishes') return none;
      const asks = fate.kind === 'asks' && !task.stopped;
      const failed = task.stopped || fate.kind === 'fails';
      const outputs =
        fate.kind === 'done' && !failed
          ? Object.fromEntries((fate.outputs ?? []).map((path) => [path, { sha256: sha256(path), size: 1 }]))
          : {};
      const reason: Reason | undefined = task.stopped ? 'Cancelled' : fate.kind === 'fails' ? fate.reason : undefined;
      const output = {
        status: failed ? 'failed' : asks ? 'needs_input' : 'succeeded',
        ...(asks && { needsInput: { question: 'why?' } }),
        ...(reason && { reason }),
        partial: task.stopped,
      } as NonNullable<Collection['output']>;
      const patch = { sha256: sha256(JSON.stringify(ref)), size: 1 };
      const products = { ...(!failed && !asks && { patch }), outputs };
      const question = asks ? { question: { question: 'why?' } } : {};
      const result = sha256(JSON.stringify([ref, asks]));
      const red = fate.kind === 'done' && fate.red === true && !failed;
      return { products, partial: failed || asks, output, invalid: undefined, result, red, ...question };
    },
  };
}

export class World {
  readonly dir = mkdtempSync(join(tmpdir(), 'pangolin-engine-'));
  readonly store: ObjectStore;
  readonly backend: SimBackend;
  state!: StateStore;
  evidence!: EvidenceStore;
  keys!: Keys;
  reconciler!: Reconciler;
  clock = Date.parse('2026-01-01T00:00:00Z');
  /** Of the default queue. */
  concurrency = 3;
  /** Of all queues together. */
  tasksMax = Infinity;
  log = pino({ level: process.env.PANGOLIN_TEST_LOG ?? 'silent' });

  constructor(backend: SimBackend | ((start: TaskStart) => Fate), store: ObjectStore = createMemoryStore()) {
    this.store = store;
    this.backend = backend instanceof SimBackend ? backend : new SimBackend(backend);
  }

  async open(): Promise<this> {
    this.keys = await (keys ??= openKeys(join(KEYS_DIR, 'keys')));
    this.state = new StateStore(join(this.dir, 'state.db'));
    // A restart here closes the file: nothing is lost that no disk was asked to keep. Real kills are in test/spine.
    this.state.db.pragma('synchronous = OFF');
    this.evidence = new EvidenceStore(this.state.db);
    const queues = new Queues(this.state, { concurrency: this.concurrency });
    const context = {
      store: this.store,
      queue: (name: string) => (queues.has(name) ? queues.get(name).spec : undefined),
      localBase: this.dir,
      allowLocalPaths: false,
      allowHosts: [],
      gitCacheDir: join(this.dir, 'git'),
      ...growing(this.state),
    };
    const admitDocument = admitDocuments(this.backend, context);
    // Runs come admitted already; everything else comes as people write it.
    const admit: Admit = async (bytes, file) => {
      const value = JSON.parse(bytes.toString()) as AdmittedRun | { readonly kind: string };
      if ('kind' in value) return await admitDocument(bytes, file);
      return { ok: true, document: { kind: 'Run', run: value } };
    };
    this.reconciler = new Reconciler(
      {
        state: this.state,
        evidence: this.evidence,
        attest: this.keys.attest,
        logOrigin: this.keys.origin,
        deployment: 'test',
        store: this.store,
        provider: this.backend,
        files: simFiles(this.backend),
        admission: new Admission(this.store, admit),
        secrets: createHandover(createEnvSecrets('NONE_', {})),
        config: { tasksMax: this.tasksMax, graceMs: 1000, bootMs: 60_000, resyncMs: 30_000 },
        log: this.log,
        now: () => this.clock,
        memory: new Memory(queues),
      },
      { headEveryMs: Infinity, advance: async () => ({ sealed: [], pending: 0 }) },
    );
    this.reconciler.recover();
    return this;
  }

  /** Forgets everything that is not on disk, as a kill -9 does. */
  async restart(): Promise<void> {
    this.state.close();
    await this.open();
  }

  async submit(run: AdmittedRun): Promise<void> {
    await this.store.put(`inbox/${run.id}-00000000~human%3Atest.json`, JSON.stringify(run));
    this.reconciler.engine.admission.hint('inbox/');
  }

  /** One pass, and what it set off. */
  async pass(): Promise<void> {
    for (const item of this.state.activeItems()) this.reconciler.engine.memory.dirty.add(item.task!);
    await this.reconciler.reconcile();
    // Effects are started and not awaited; every one of the simulated ones is over after a turn of the event loop.
    await new Promise((resolve) => setImmediate(resolve));
  }

  items(runId: string): ItemRow[] {
    return [...this.state.itemsOf(this.state.run(runId)!.rn)];
  }

  events(runId: string): RunEvent[] {
    return (
      this.state.db.prepare('SELECT line FROM run_event WHERE run_id = ? ORDER BY seq').all(runId) as {
        line: Buffer | string;
      }[]
    ).map(({ line }) => JSON.parse(line.toString()) as RunEvent);
  }

  close(): void {
    this.state.close();
    rmSync(this.dir, { recursive: true, force: true });
  }
}

export function admittedItem(id: string, more: Partial<AdmittedItem> = {}): AdmittedItem {
  return {
    id,
    executor: 'dispatch',
    pipeline: { sha256: PIPELINE_DIGEST },
    depends_on: [],
    resourceLocks: [],
    timeoutMs: 60_000,
    retry: { ...DEFAULTS.retry, initialMs: 10, jitter: false },
    priority: 0,
    ...more,
  };
}

export function admittedRun(id: string, items: readonly AdmittedItem[], more: Partial<AdmittedRun> = {}): AdmittedRun {
  return {
    schema: 'admitted-run/1',
    id,
    queue: 'default',
    labels: {},
    spec: sha256(id),
    pipelines: { [PIPELINE_DIGEST]: PIPELINE },
    items,
    ...more,
  };
}
