/**
 * How long anybody outside is waited for: a few tries with growing pauses, and after giving up none at all for a while.
 * Seals come in batches; without that rest each of them would wait for one that is down.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { isPangolinError, messageOf, PangolinError } from '@pangolin/contracts/errors';

export interface Patience {
  /** Of one try, in ms. Default 10 s. */
  readonly timeoutMs?: number;
  /** Tries, the first included. Default 3. */
  readonly tries?: number;
  /** Pause before the second try in ms; doubles. Default 1 s. */
  readonly pauseMs?: number;
  /** Nobody is asked for so long after a try that gave up, in ms. Default 60 s. */
  readonly restMs?: number;
  /** Told once whenever it gives up: the seal goes on without, and somebody has to see that. */
  readonly onGivenUp?: (problem: PangolinError) => void;
}

export class Patient {
  readonly timeoutMs: number;
  readonly #what: string;
  readonly #patience: Patience;
  #restsUntil = 0;

  /** @param what who is asked, for people. */
  constructor(what: string, patience: Patience) {
    this.#what = what;
    this.#patience = patience;
    this.timeoutMs = patience.timeoutMs ?? 10_000;
  }

  /** Undefined when it gave up, or rests. What is not UNAVAILABLE is not tried again; CONFLICT and INTEGRITY are thrown. */
  async ask<T>(attempt: () => Promise<T>): Promise<T | undefined> {
    const { tries = 3, pauseMs = 1000, restMs = 60_000, onGivenUp } = this.#patience;
    if (performance.now() < this.#restsUntil) return undefined;
    for (let count = 1; ; count++) {
      try {
        return await attempt();
      } catch (cause) {
        if (isPangolinError(cause, 'CONFLICT') || isPangolinError(cause, 'INTEGRITY')) throw cause;
        const again = isPangolinError(cause, 'UNAVAILABLE');
        if (again && count < tries) {
          await delay(pauseMs * 2 ** (count - 1));
          continue;
        }
        if (again) this.#restsUntil = performance.now() + restMs;
        onGivenUp?.(new PangolinError('UNAVAILABLE', `${this.#what}: ${messageOf(cause)}`, { cause }));
        return undefined;
      }
    }
  }
}
