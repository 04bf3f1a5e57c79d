/** Writes what changed for readers: spec.json once, status.json and items.ndjson. A projection; SQLite is the truth. */
import { casKey, itemsKey, specKey, statusKey } from '@pangolin/contracts/layout';
import { messageOf } from '@pangolin/contracts/errors';
import type { NeedsInput } from '@pangolin/contracts/needs-input';
import type { Condition, ItemStatus, RunStatus } from '@pangolin/contracts/status';
import { formatTime } from '@pangolin/contracts/units';
import type { ItemRow, Products, RunRow } from '../store/rows.ts';
import { mapBounded } from '@pangolin/contracts/map-bounded';
import { specOf, type Engine } from './engine.ts';

const FAILED_SHOWN_MAX = 50;
/** A run of n items is published at most every n/5 ms while it runs, and at its end: the cost stays a few percent. */
const ITEMS_PER_MS = 5;
const INTERVAL_MIN_MS = 100;
/** Runs that are written at once. */
const PARALLEL = 16;

export class Publisher {
  readonly #engine: Engine;
  readonly #last = new Map<number, number>();
  #published: { readonly rn: number; readonly changed: number }[] = [];

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  /** Inside the transaction: what the last publication covered needs no other one. */
  settle(): void {
    for (const { rn, changed } of this.#published) this.#engine.state.markPublished(rn, changed);
    this.#published = [];
  }

  get settled(): boolean {
    return this.#published.length === 0;
  }

  /** Publishes every changed run that is due. Answers when to come back for those that are not, in ms from now. */
  async publish(): Promise<number | undefined> {
    const waits = await mapBounded(this.#engine.state.changedRuns(), PARALLEL, (run) => this.#publishDue(run));
    const due = waits.filter((wait) => wait !== undefined);
    return due.length === 0 ? undefined : Math.min(...due);
  }

  async #publishDue(run: RunRow): Promise<number | undefined> {
    const { state, log, now } = this.#engine;
    const at = now();
    const total = state.counts(run.rn).reduce((sum, { n }) => sum + n, 0);
    const notBefore = (this.#last.get(run.rn) ?? -Infinity) + Math.max(INTERVAL_MIN_MS, total / ITEMS_PER_MS);
    if (run.finished_at === null && notBefore > at) return notBefore - at;
    try {
      await this.#publishRun(run);
      if (run.sealed_at === null) this.#last.set(run.rn, at);
      else this.#last.delete(run.rn);
      this.#published.push({ rn: run.rn, changed: run.changed });
      return 0;
    } catch (error) {
      log.warn({ run: run.run_id, err: error }, `the status could not be published: ${messageOf(error)}`);
      return 1000;
    }
  }

  async #publishRun(run: RunRow): Promise<void> {
    const { store, state } = this.#engine;
    // Row by row: only the text of a large run is held.
    const status = this.#status(run);
    const items =
      Array.from(state.itemsOf(run.rn), (item) => JSON.stringify(itemStatus(item, status.paused))).join('\n') + '\n';
    if (run.spec_written === 0) await store.copy(casKey(run.plan), specKey(run.run_id));
    await store.put(itemsKey(run.run_id), items);
    // Last: who reads a terminal status finds items that are at least as new.
    await store.put(statusKey(run.run_id), JSON.stringify(status, null, 2) + '\n');
  }

  #status(run: RunRow): RunStatus {
    const { state, memory } = this.#engine;
    const paused = run.paused === 1 ? 'run' : memory.queues.get(run.queue).pausedBy !== null ? 'queue' : undefined;
    const counts = Object.fromEntries(state.counts(run.rn).map(({ phase, n }) => [phase, n]));
    const total = Object.values(counts).reduce((sum, n) => sum + n, 0);
    return {
      schema: 'status/1',
      run: run.run_id,
      phase: run.phase,
      queue: run.queue,
      labels: JSON.parse(run.labels) as Record<string, string>,
      actor: run.actor,
      submittedAt: formatTime(run.submitted_at),
      ...(run.finished_at !== null && { finishedAt: formatTime(run.finished_at) }),
      ...(run.sealed_at !== null && { sealedAt: formatTime(run.sealed_at) }),
      counts: { ...counts, total },
      ...(paused && run.finished_at === null && { paused }),
      conditions: conditionsOf(run),
      failed: state
        .unsuccessful(run.rn, FAILED_SHOWN_MAX)
        .map((item) => ({ id: item.item_id, phase: item.phase, reason: item.reason, message: item.message ?? '' })),
      updatedAt: formatTime(this.#engine.now()),
    };
  }
}

function conditionsOf(run: RunRow): Condition[] {
  const submitted = formatTime(run.submitted_at);
  const finished = run.finished_at === null ? undefined : formatTime(run.finished_at);
  return [
    {
      type: 'Admitted',
      status: 'True',
      reason: 'Accepted',
      message: `submitted by ${run.actor}`,
      lastTransitionTime: submitted,
    },
    finished
      ? {
          type: 'Completed',
          status: 'True',
          reason: 'AllItemsTerminal',
          message: `the run ${run.phase}`,
          lastTransitionTime: finished,
        }
      : {
          type: 'Completed',
          status: 'False',
          reason: run.cancelled === null ? 'ItemsOpen' : 'Cancelling',
          message: `${run.open} items are not terminal`,
          lastTransitionTime: submitted,
        },
    run.sealed_at !== null
      ? {
          type: 'Sealed',
          status: 'True',
          reason: 'CheckpointSigned',
          message: 'the evidence is sealed',
          lastTransitionTime: formatTime(run.sealed_at),
        }
      : {
          type: 'Sealed',
          status: 'False',
          reason: finished ? 'SealPending' : 'RunOpen',
          message: 'the evidence is not sealed yet',
          lastTransitionTime: finished ?? submitted,
        },
  ];
}

function asksOf(item: ItemRow): NonNullable<ItemStatus['asks']> {
  const { question, options, context } = JSON.parse(item.question!) as NeedsInput;
  return {
    question,
    ...(options && { options }),
    ...(context !== undefined && { context }),
    ...(item.due_at !== null && { deadline: formatTime(item.due_at) }),
  };
}

/** `paused`: why what is ready does not begin, where somebody has paused it. */
function itemStatus(item: ItemRow, paused: RunStatus['paused']): ItemStatus {
  const products = item.products ? (JSON.parse(item.products) as Products) : undefined;
  const dependsOn = specOf(item).depends_on;
  return {
    id: item.item_id,
    phase: item.phase,
    ...(paused && item.reason === 'WaitingForSlot'
      ? { reason: 'QueuePaused', message: `the ${paused} is paused` }
      : { reason: item.reason, ...(item.message && { message: item.message }) }),
    attempts: item.attempt,
    ...(dependsOn.length > 0 && { depends_on: dependsOn }),
    ...(item.started_at !== null && { startedAt: formatTime(item.started_at) }),
    ...(item.finished_at !== null && { finishedAt: formatTime(item.finished_at) }),
    ...(item.started_at !== null && item.finished_at !== null && { durationMs: item.finished_at - item.started_at }),
    ...(item.reason === 'WaitingForRetry' && item.due_at !== null && { retryAt: formatTime(item.due_at) }),
    ...(item.question !== null && { asks: asksOf(item) }),
    ...(item.partial === 1 && { partial: true }),
    ...(products?.result && { result: products.result }),
    ...(products?.egress && { egress: products.egress }),
    ...(products?.patch && { patch: products.patch }),
    ...(products && Object.keys(products.outputs).length > 0 && { outputs: products.outputs }),
  };
}
