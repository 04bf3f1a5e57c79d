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
  /** Ends every wait: the controller stops, and the next one asks again. */
  readonly signal?: AbortSignal;
  /** Told whenever it gives up: the seal goes on without, and somebody has to see that. */
  readonly onGivenUp?: (problem: PangolinError) => void;
  /** Told whenever it had an answer that can be used. */
  readonly onAnswered?: () => void;
}

export class Patient {
  readonly #what: string;
  readonly #patience: Patience;
  #restsUntil = 0;

  /** @param what who is asked, for people. */
  constructor(what: string, patience: Patience) {
    this.#what = what;
    this.#patience = patience;
  }

  /** Ends one try: its deadline, or that the controller stops. */
  deadline(): AbortSignal {
    const { timeoutMs = 10_000, signal } = this.#patience;
    const timeout = AbortSignal.timeout(timeoutMs);
    return signal ? AbortSignal.any([signal, timeout]) : timeout;
  }

  /**
   * Undefined when it gave up, or rests. What is not UNAVAILABLE is not tried again.
   * @throws PangolinError UNAVAILABLE when the controller stops: then nothing goes without.
   */
  async ask<T>(attempt: () => Promise<T>): Promise<T | undefined> {
    const { tries = 3, pauseMs = 1000, restMs = 60_000, signal, onGivenUp, onAnswered } = this.#patience;
    if (performance.now() < this.#restsUntil) return undefined;
    for (let count = 1; ; count++) {
      try {
        const answer = await attempt();
        onAnswered?.();
        return answer;
      } catch (cause) {
        if (signal?.aborted === true) throw new PangolinError('UNAVAILABLE', 'the controller stops', { cause });
        const again = isPangolinError(cause, 'UNAVAILABLE');
        if (again && count < tries) {
          await delay(pauseMs * 2 ** (count - 1), undefined, signal && { signal }).catch(() => undefined);
          continue;
        }
        if (again) this.#restsUntil = performance.now() + restMs;
        onGivenUp?.(
          new PangolinError('UNAVAILABLE', `${this.#what}: ${messageOf(cause)}`, { cause, ...hintOf(cause) }),
        );
        return undefined;
      }
    }
  }
}

const hintOf = (error: unknown): { readonly hint?: string } =>
  isPangolinError(error) && error.hint !== undefined ? { hint: error.hint } : {};
