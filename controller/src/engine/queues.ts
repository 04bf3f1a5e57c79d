/** The named queues: how many of their items run at once, how fast they start, and in which order. */
import { DEFAULTS } from '@pangolin/contracts/run';
import type { AdmittedQueue } from '@pangolin/contracts/queue';
import type { StateStore } from '../store/state.ts';

/** A point of priority is worth this many places in the queue. */
export const PLACES_PER_PRIORITY = 1000;
/**
 * Turns and priorities alone would let an item wait for ever behind others that keep coming. So of AGED_EVERY starts of a queue one
 * is the item that has been ready longest, once that is AGEING_MS: with n items that became ready before it, an item begins within
 * (n + 1) * AGED_EVERY starts from then on. A share and not an order, so that an old backlog does not hold up what is urgent.
 */
export const AGED_EVERY = 4;
export const AGEING_MS = 10 * 60_000;

/** What a queue is ordered by, the lowest first. */
export const rankOf = (tag: number, priority: number): number => tag - priority * PLACES_PER_PRIORITY;

interface Queue {
  readonly spec: AdmittedQueue;
  /** Who paused it; null while it goes on. */
  readonly pausedBy: string | null;
  active: number;
  /** The furthest place that was dispatched: where a new run begins, so that it waits for no older run to drain. */
  tag: number;
  /** Starts since the last one that was due to age, as far as they count. */
  sinceAged: number;
  /** When it started an item last, counted in starts of all queues. */
  startedLast: number;
  /** Starts that may happen now, and when that was counted. */
  tokens: number;
  countedAt: number;
}

export class Queues {
  readonly #state: StateStore;
  readonly #fallback: AdmittedQueue;
  readonly #queues = new Map<string, Queue>();
  #starts = 0;
  /** Counts reloads. */
  revision = 0;

  /** `fallback` is the default queue, until somebody declares one of its name. */
  constructor(state: StateStore, fallback: AdmittedQueue) {
    this.#state = state;
    this.#fallback = fallback;
    this.reload();
  }

  /** Reads the declarations again, those of this transaction included. What is counted of each queue stays. */
  reload(): void {
    this.revision += 1;
    const rows = this.#state.turns.queues();
    if (!rows.some(({ name }) => name === DEFAULTS.queue))
      rows.push({ name: DEFAULTS.queue, spec: null, paused_by: null });
    const declared = new Set(rows.map(({ name }) => name));
    for (const name of this.names()) if (!declared.has(name)) this.#queues.delete(name);
    for (const { name, spec, paused_by: pausedBy } of rows) {
      const admitted = spec === null ? this.#fallback : (JSON.parse(spec) as AdmittedQueue);
      const known = this.#queues.get(name) ?? {
        active: 0,
        tag: this.#state.turns.furthestTag(name),
        sinceAged: 0,
        startedLast: 0,
        tokens: Infinity,
        countedAt: 0,
      };
      const tokens = Math.min(known.tokens, admitted.rateLimit?.starts ?? Infinity);
      this.#queues.set(name, { ...known, tokens, spec: admitted, pausedBy });
    }
  }

  has(name: string): boolean {
    return this.#queues.has(name);
  }

  get(name: string): Queue {
    return this.#queues.get(name)!;
  }

  names(): string[] {
    return [...this.#queues.keys()];
  }

  /** `names`, the queue first that has the least at work, and of those the one that has waited longest. */
  inTurn(names: readonly string[]): string[] {
    const before = (a: Queue, b: Queue): number => a.active - b.active || a.startedLast - b.startedLast;
    return names.toSorted((a, b) => before(this.get(a), this.get(b)));
  }

  get active(): number {
    return [...this.#queues.values()].reduce((sum, { active }) => sum + active, 0);
  }

  resetActive(): void {
    for (const queue of this.#queues.values()) queue.active = 0;
  }

  /** How many items may start now. */
  free(name: string, now: number): number {
    const queue = this.get(name);
    if (queue.pausedBy !== null) return 0;
    return Math.min(queue.spec.concurrency - queue.active, Math.floor(this.#tokens(queue, now)));
  }

  /** When a queue that only its rate holds back may start the next item, in ms from now. */
  nextStartMs(now: number): number | undefined {
    const waits = [...this.#queues.values()].map((queue) => {
      const { rateLimit, concurrency } = queue.spec;
      if (!rateLimit || queue.pausedBy !== null || queue.active >= concurrency) return Infinity;
      const missing = 1 - this.#tokens(queue, now);
      return missing <= 0 ? Infinity : Math.ceil((missing * rateLimit.perMs) / rateLimit.starts);
    });
    const next = Math.min(Infinity, ...waits);
    return next === Infinity ? undefined : next;
  }

  started(name: string, tag: number): void {
    const queue = this.get(name);
    queue.active += 1;
    queue.tag = Math.max(queue.tag, tag);
    queue.sinceAged = Math.min(queue.sinceAged, AGED_EVERY - 1) + 1;
    queue.startedLast = ++this.#starts;
    queue.tokens -= 1;
  }

  /** How many of the next `count` starts belong to the items that are ready longest. */
  agedPlaces(name: string, count: number): number {
    return Math.floor((this.get(name).sinceAged + count) / AGED_EVERY);
  }

  /** What has just started was one of these. */
  agedStarted(name: string): void {
    const queue = this.get(name);
    queue.sinceAged = Math.max(0, queue.sinceAged - AGED_EVERY);
  }

  #tokens(queue: Queue, now: number): number {
    const { rateLimit } = queue.spec;
    if (!rateLimit) return Infinity;
    const gained =
      queue.countedAt === 0 ? rateLimit.starts : ((now - queue.countedAt) * rateLimit.starts) / rateLimit.perMs;
    queue.tokens = Math.min(rateLimit.starts, Math.max(0, queue.tokens === Infinity ? 0 : queue.tokens) + gained);
    queue.countedAt = now;
    return queue.tokens;
  }
}
