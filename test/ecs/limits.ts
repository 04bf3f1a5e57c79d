/** The limits of the ECS API as the service counts them: a bucket that fills up by itself. Written apart from ours on purpose. */
import { AwsError } from '../aws/json-server.ts';

class Refilled {
  #tokens: number;
  #at: number | undefined;
  readonly #burst: number;
  readonly #perSecond: number;
  constructor(burst: number, perSecond: number) {
    this.#tokens = burst;
    this.#burst = burst;
    this.#perSecond = perSecond;
  }
  take(now: number): boolean {
    this.#tokens = Math.min(this.#burst, this.#tokens + ((now - (this.#at ?? now)) / 1000) * this.#perSecond);
    this.#at = now;
    // What a clock in whole milliseconds loses.
    if (this.#tokens < 1 - 1e-6) return false;
    this.#tokens--;
    return true;
  }
}

/** ECS API request throttling, and the launch rates of Fargate. */
export class ServiceLimits {
  readonly #buckets = new Map([
    ['modify', new Refilled(100, 40)],
    ['read', new Refilled(100, 20)],
    ['run', new Refilled(20, 20)],
    ['FARGATE', new Refilled(100, 20)],
    ['FARGATE_SPOT', new Refilled(100, 20)],
    ['definition-modify', new Refilled(20, 1)],
    ['definition-read', new Refilled(50, 20)],
  ]);
  readonly #now: () => number;
  refused = 0;

  constructor(now: () => number) {
    this.#now = now;
  }

  /** @throws AwsError ThrottlingException */
  take(...names: readonly string[]): void {
    for (const name of names) {
      if (this.#buckets.get(name)!.take(this.#now())) continue;
      this.refused++;
      throw new AwsError('ThrottlingException', 'Rate exceeded');
    }
  }
}
