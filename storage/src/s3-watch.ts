/**
 * Watching prefixes of a bucket by listing them: often after something changed, then ever less often. Idle, all
 * prefixes together cost six LIST requests a minute, whatever they hold.
 */
import { sha256, type Sha256 } from '@pangolin/contracts/digest';
import type { S3Page } from './s3-list.ts';

export const FASTEST_MS = 500;
const SLOWER = 1.5;
/** Idle time per LIST request of a round. */
export const IDLE_MS_PER_LIST = 10_000;

export interface Timers {
  /** Calls once, after `ms`. Returns the way to call it off. */
  readonly after: (ms: number, call: () => void) => () => void;
}

const realTimers: Timers = {
  after(ms, call) {
    const timer = setTimeout(call, ms);
    return () => clearTimeout(timer);
  },
};

type ListPage = (prefix: string, after: string | undefined) => Promise<S3Page>;

/** How long to wait after `quiet` rounds without a change, of `lists` requests each. */
export function pollDelayMs(quiet: number, lists: number): number {
  return Math.min(FASTEST_MS * SLOWER ** quiet, Math.max(1, lists) * IDLE_MS_PER_LIST);
}

export class S3Watch {
  readonly #prefixes: readonly string[];
  readonly #list: ListPage;
  readonly #onChange: (prefix: string) => void;
  readonly #timers: Timers;
  readonly #seen = new Map<string, Sha256>();
  #quiet = 0;
  #lists = 0;
  #stopped = false;
  #cancel: () => void = () => undefined;
  #round: Promise<void> = Promise.resolve();

  constructor(
    prefixes: readonly string[],
    list: ListPage,
    onChange: (prefix: string) => void,
    timers: Timers = realTimers,
  ) {
    this.#prefixes = prefixes;
    this.#list = list;
    this.#onChange = onChange;
    this.#timers = timers;
  }

  /** What changes after this returns is called back about. */
  async start(): Promise<void> {
    await this.#look();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancel();
    await this.#round;
  }

  async #look(): Promise<void> {
    this.#lists = 0;
    this.#quiet++;
    for (const prefix of this.#prefixes) {
      // A round that fails is a quiet one: the store's own calls report what is wrong with it.
      const now = await this.#snapshot(prefix).catch(() => undefined);
      if (this.#stopped) return;
      if (now === undefined || now === this.#seen.get(prefix)) continue;
      const first = !this.#seen.has(prefix);
      this.#seen.set(prefix, now);
      this.#quiet = 0;
      if (!first) this.#onChange(prefix);
    }
    this.#cancel = this.#timers.after(pollDelayMs(this.#quiet, this.#lists), () => {
      this.#round = this.#look();
    });
  }

  async #snapshot(prefix: string): Promise<Sha256> {
    let digest = '';
    let after: string | undefined;
    do {
      this.#lists++;
      const page = await this.#list(prefix, after);
      digest = sha256(JSON.stringify([digest, page.objects]));
      after = page.next;
    } while (after !== undefined && !this.#stopped);
    return digest;
  }
}
