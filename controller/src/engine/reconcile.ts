/** The reconcile loop: admit what was submitted, observe what runs, settle what ended, launch what is ready, publish, seal. */
import { setTimeout as delay } from 'node:timers/promises';
import { CONTROL, INBOX } from '@pangolin/contracts/layout';
import { messageOf } from '@pangolin/contracts/errors';
import { applySubmissions } from './admission.ts';
import type { Engine } from './engine.ts';
import { performEffects, sweep } from './effects.ts';
import { launchReady } from './launch.ts';
import { expireDeadlines, observeTasks, settleSeen } from './observe.ts';
import { Pass } from './pass.ts';
import { Publisher } from './publish.ts';
import { completeRuns } from './transitions.ts';

/** Seals finished runs; answers the ids of those that are sealed now and how many are not yet. */
export interface Sealing {
  advance(): Promise<{ readonly sealed: readonly string[]; readonly pending: number }>;
}

const RETRY_MS = 1000;

export class Reconciler {
  readonly #engine: Engine;
  readonly #sealing: Sealing;
  readonly #publisher: Publisher;
  #sealed: string[] = [];
  #sealPending = true;
  #woken = true;
  #wakeUp: (() => void) | undefined;
  #sweepAt = 0;

  constructor(engine: Omit<Engine, 'wake'>, sealing: Sealing) {
    this.#engine = { ...engine, wake: () => this.wake() };
    this.#sealing = sealing;
    this.#publisher = new Publisher(this.#engine);
  }

  get engine(): Engine {
    return this.#engine;
  }

  wake(): void {
    this.#woken = true;
    this.#wakeUp?.();
  }

  /** Takes up what an earlier controller left: every task is looked at, every lock and slot counted anew. */
  recover(): void {
    const { state, memory } = this.#engine;
    state.wakeAllWaiters();
    memory.rebuild(state);
    for (const run of state.openRuns()) memory.touched.add(run.rn);
  }

  /** One pass. Answers in how many ms the next one is due without any event. */
  async reconcile(): Promise<number> {
    const { state, admission, config, now } = this.#engine;
    await admission.scan(this.#engine);
    const submissions = admission.drain();
    const seen = await observeTasks(this.#engine);

    const pass = new Pass(this.#engine);
    await pass.transaction(async () => {
      this.#publisher.settle();
      for (const runId of this.#sealed) state.markSealed(runId, pass.now);
      await applySubmissions(pass, submissions);
      await settleSeen(pass, seen);
      await expireDeadlines(pass);
      await launchReady(pass);
      completeRuns(pass);
    });
    this.#sealed = [];
    // Crash here: committed but nothing done. Starts, stops, removals and receipts all repeat from the rows.
    performEffects(this.#engine, pass.effects);
    if (state.hasFinishedUnsealed()) this.#sealPending = true;

    const publishMs = await this.#publisher.publish();
    const sealMs = await this.#seal();
    const dueMs = (state.nextDue() ?? Infinity) - now();
    return Math.max(0, Math.min(config.resyncMs, dueMs, publishMs ?? Infinity, sealMs ?? Infinity));
  }

  /** Whether everything that was admitted is terminal, sealed and published, and nothing else was dropped. */
  get idle(): boolean {
    return this.#engine.admission.idle && this.#publisher.settled && this.#sealed.length === 0 && !this.#engine.state.hasOpenRuns();
  }

  /** Reconciles until `stop` says so. A failing pass is retried; it has changed nothing. */
  async run(stop: () => boolean): Promise<void> {
    while (!stop()) {
      this.#woken = false;
      let waitMs: number;
      try {
        waitMs = await this.reconcile();
        if (this.#engine.now() >= this.#sweepAt) await this.#resync();
      } catch (error) {
        this.#engine.log.error({ err: error }, `a pass failed: ${messageOf(error)}`);
        waitMs = RETRY_MS;
      }
      if (!stop()) await this.#sleep(waitMs);
    }
  }

  /** Events are hints and hints get lost: look at everything once in a while. */
  async #resync(): Promise<void> {
    const { state, memory, admission, config, now } = this.#engine;
    this.#sweepAt = now() + config.resyncMs;
    for (const item of state.activeItems()) memory.dirty.add(item.task!);
    admission.hint(INBOX);
    admission.hint(CONTROL);
    await sweep(this.#engine);
    this.#woken = true;
  }

  async #seal(): Promise<number | undefined> {
    if (!this.#sealPending) return undefined;
    const { sealed, pending } = await this.#sealing.advance();
    this.#sealed.push(...sealed);
    this.#sealPending = pending > 0;
    if (sealed.length > 0) return 0;
    return pending > 0 ? RETRY_MS : undefined;
  }

  async #sleep(ms: number): Promise<void> {
    if (this.#woken || ms <= 0) return void (await delay(0));
    const abort = new AbortController();
    this.#wakeUp = () => abort.abort();
    await delay(Math.min(ms, 2 ** 31 - 1), undefined, { signal: abort.signal }).catch(() => undefined);
    this.#wakeUp = undefined;
  }
}
