/** A token bucket in which calls queue up in order. Pure: time comes in, the time to wait goes out. */
export class TokenBucket {
  readonly #intervalMs: number;
  readonly #burst: number;
  /** When the bucket will be full again. */
  #fullAt = -Infinity;

  constructor({ burst, perSecond }: { readonly burst: number; readonly perSecond: number }) {
    this.#burst = burst;
    this.#intervalMs = 1000 / perSecond;
  }

  /** Takes a token, from the future if need be. @returns milliseconds until it is there: 0 when it is there now */
  take(now: number): number {
    const full = Math.max(this.#fullAt, now);
    this.#fullAt = full + this.#intervalMs;
    return Math.max(0, full - (this.#burst - 1) * this.#intervalMs - now);
  }

  /** The other side ran out of tokens before we did: from now on there are none for `ms`. */
  drain(now: number, ms: number): void {
    this.#fullAt = Math.max(this.#fullAt, now + ms + (this.#burst - 1) * this.#intervalMs);
  }
}
