/** The reconcile loop: admit what was submitted, observe what runs, settle what ended, launch what is ready, publish, seal. */
import { setImmediate } from 'node:timers/promises';
import { CONTROL, INBOX } from '@pangolin/contracts/layout';
import { messageOf } from '@pangolin/contracts/errors';
import { formatTime } from '@pangolin/contracts/units';
import { applySubmissions } from './apply-submissions.ts';
import type { Engine } from './engine.ts';
import { performEffects, renewGrants, sweep } from './effects.ts';
import { launchReady } from './launch.ts';
import { expireDeadlines, observeTasks, settleSeen } from './observe.ts';
import { Pass } from './pass.ts';
import { growRuns } from './patterns.ts';
import { Publisher } from './publish.ts';
import { QueuePublisher } from './publish-queues.ts';
import { decideDueSlots, publishSchedules } from './schedules.ts';
import { stateError } from '../store/sqlite-errors.ts';
import { completeRuns } from './transitions.ts';

/** Seals finished runs and commits to how far others have come, beside the passes and never in their way. */
export interface Sealing {
  /** While runs go on, `advance` is worth a call that often, in ms. */
  readonly headEveryMs: number;
  /** Takes every queued seal as far as it goes. `error`: what failed first; the seals behind it stay pending. */
  advance(): Promise<{ readonly sealed: readonly string[]; readonly pending: number; readonly error?: Error }>;
}

/** The right to do anything here. */
export interface Held {
  /** False: not now. @throws PangolinError CONFLICT when somebody else has it */
  hold(): Promise<boolean>;
}

const RETRY_MS = 1000;
const FAILURE_TOLD_MS = 60_000;
/** Timers take no longer delay. */
const TIMER_MS_MAX = 2 ** 31 - 1;

export class Reconciler {
  readonly #engine: Engine;
  readonly #seals: Sealing;
  readonly #lease: Held;
  readonly #publisher: Publisher;
  readonly #queues: QueuePublisher;
  #sealAt = 0;
  #headsAt = 0;
  #sealing: Promise<void> | undefined;
  /** Why the last call could not do everything; told once. At first, what an earlier controller may have left undone. */
  #sealProblem: string | undefined = 'not called yet';
  #woken = true;
  #wakeUp: (() => void) | undefined;
  #sweepAt = 0;
  /** Of the last pass. */
  #passFailure: { readonly message: string; readonly since: number; readonly told: number } | undefined;

  constructor(engine: Omit<Engine, 'wake'>, sealing: Sealing, lease: Held = { hold: async () => true }) {
    this.#engine = { ...engine, wake: () => this.wake() };
    this.#seals = sealing;
    this.#lease = lease;
    this.#publisher = new Publisher(this.#engine);
    this.#queues = new QueuePublisher(this.#engine);
  }

  get engine(): Engine {
    return this.#engine;
  }

  /** The backend says that this task may have changed. Tasks of no running attempt are no news. */
  hintTask(task: string): void {
    if (!this.#engine.state.hasTask(task)) return;
    this.#engine.memory.dirty.add(task);
    this.wake();
  }

  wake(): void {
    this.#woken = true;
    this.#wakeUp?.();
  }

  /** Nothing is started from now on; what a pass has sealed already, the next controller starts. */
  drain(): void {
    this.#engine.memory.draining = true;
    this.wake();
  }

  /** Takes up what an earlier controller left: every task is looked at, every lock and slot counted anew. */
  recover(): void {
    const { state, memory } = this.#engine;
    state.turns.wakeAllWaiters();
    memory.rebuild(state);
    for (const run of state.openRuns()) memory.touched.add(run.rn);
  }

  /** One pass. Answers in how many ms the next one is due without any event. */
  async reconcile(): Promise<number> {
    const { state, admission, config, memory, now } = this.#engine;
    await admission.scan(this.#engine);
    const seen = await observeTasks(this.#engine);
    const submissions = admission.drain();

    const pass = new Pass(this.#engine, growRuns);
    const body = async (): Promise<void> => {
      this.#publisher.settle();
      await applySubmissions(pass, submissions);
      await settleSeen(pass, seen);
      await expireDeadlines(pass);
      await decideDueSlots(pass);
      completeRuns(pass);
      if (!memory.draining) await launchReady(pass);
      completeRuns(pass);
      this.#engine.memory.saveRunTags(state);
    };
    try {
      await pass.transaction(body);
    } catch (error) {
      admission.putBack(submissions);
      throw error;
    }
    // Crash here: committed but nothing done. Starts, stops, removals and receipts all repeat from the rows.
    performEffects(this.#engine, pass.effects);

    const publishMs = await this.#publisher.publish();
    const schedulesMs = (await publishSchedules(this.#engine)) ? Infinity : RETRY_MS;
    const queuesMs = (await this.#queues.publish()) ? Infinity : RETRY_MS;
    const sealMs = this.#seal();
    const dueMs = (state.nextDue() ?? Infinity) - now();
    const rateMs = this.#engine.memory.queues.nextStartMs(now());
    return Math.max(
      0,
      Math.min(
        config.resyncMs,
        dueMs,
        schedulesMs,
        queuesMs,
        publishMs ?? Infinity,
        sealMs ?? Infinity,
        rateMs ?? Infinity,
      ),
    );
  }

  /** Whether everything that was admitted is terminal, sealed and published, and nothing else was dropped. */
  get idle(): boolean {
    const { admission, state } = this.#engine;
    return (
      admission.idle &&
      this.#publisher.settled &&
      this.#queues.settled &&
      !state.hasOpenRuns() &&
      !state.schedules.hasDueSlots() &&
      state.schedules.changed().length === 0
    );
  }

  /**
   * Reconciles until `stop` says so. A failing pass is retried; it has changed nothing.
   * @throws PangolinError CONFLICT when another controller has taken over
   */
  async run(stop: () => boolean): Promise<void> {
    while (!stop()) {
      this.#woken = false;
      if (!(await this.#lease.hold())) {
        this.#engine.log.warn('the storage does not answer, and the lease has run out: nothing is done');
        await this.#sleep(RETRY_MS);
        continue;
      }
      let waitMs: number;
      try {
        waitMs = await this.reconcile();
        if (this.#engine.now() >= this.#sweepAt) await this.#resync();
        this.#passFailure = undefined;
      } catch (error) {
        this.#tellOfFailure(stateError(error, this.#engine.state.db.name));
        waitMs = RETRY_MS;
      }
      if (!stop()) await this.#sleep(waitMs);
    }
  }

  /** A full disk fails every pass until somebody makes room: said once, and again every minute. */
  #tellOfFailure(error: unknown): void {
    const message = messageOf(error);
    const { log, now } = this.#engine;
    const before = this.#passFailure?.message === message ? this.#passFailure : undefined;
    const { since, told } = before ?? { since: now(), told: -Infinity };
    const due = now() - told >= FAILURE_TOLD_MS;
    this.#passFailure = { message, since, told: due ? now() : told };
    if (!due) return;
    if (before) log.error(`a pass failed, as all do since ${formatTime(since)}: ${message}`);
    else log.error({ err: error }, `a pass failed: ${message}`);
  }

  /** Events are hints and hints get lost: look at everything once in a while. */
  async #resync(): Promise<void> {
    const { state, memory, admission, config, now, store } = this.#engine;
    this.#sweepAt = now() + config.resyncMs;
    const active = state.activeItems();
    for (const item of active) memory.dirty.add(item.task!);
    memory.slotsSubmitted.clear();
    await renewGrants(this.#engine, active);
    // A store that is polled loses no hints, and every listing of it costs.
    if (store.kind === 'folder') for (const prefix of [INBOX, CONTROL]) admission.hint(prefix);
    await sweep(this.#engine);
    await this.#tellOfRetries();
    this.#woken = true;
  }

  /** For monitors: a store that fails or throttles shows before anything waits for it. */
  async #tellOfRetries(): Promise<void> {
    const { store, log } = this.#engine;
    const tokens = await store.retryTokens?.();
    if (tokens === undefined || tokens.left === tokens.max) return;
    log.warn({ retryTokens: tokens.left, retryTokensMax: tokens.max }, 'requests to the store fail');
  }

  /** Starts sealing when there is something to seal, and now and then while runs go on. Answers when to try again. */
  #seal(): number | undefined {
    const { state, log, now } = this.#engine;
    if (this.#sealing) return undefined;
    const waits = state.hasFinishedUnsealed() || this.#sealProblem !== undefined;
    if (!waits && !state.hasOpenRuns()) return undefined;
    const at = waits ? this.#sealAt : this.#headsAt;
    if (now() < at) return at - now();
    this.#sealing = this.#seals
      .advance()
      .then(({ sealed, error }) => {
        for (const run of sealed) log.info({ run }, 'run sealed');
        if (error) this.#sealAt = now() + RETRY_MS;
        if (error && error.message !== this.#sealProblem) {
          log.warn({ err: error }, `sealing is behind: ${error.message}`);
        }
        this.#sealProblem = error?.message;
      })
      .finally(() => {
        this.#sealing = undefined;
        this.#headsAt = now() + this.#seals.headEveryMs;
        this.wake();
      });
    return undefined;
  }

  /** Waits for a seal that is under way. */
  async settle(): Promise<void> {
    await this.#sealing;
  }

  async #sleep(ms: number): Promise<void> {
    // A turn of the event loop in any case: what the last pass set off gets to run.
    if (this.#woken || ms <= 0) return void (await setImmediate());
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, Math.min(ms, TIMER_MS_MAX));
      this.#wakeUp = () => (clearTimeout(timer), resolve());
    });
    this.#wakeUp = undefined;
  }
}
