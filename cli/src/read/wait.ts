/** Waiting for what a controller writes. Fast after a change, slower while nothing happens. */
import { setTimeout as sleep } from 'node:timers/promises';
import { isPangolinError } from '@pangolin/contracts/errors';
import type { ObjectStore } from '@pangolin/storage/object-store';

export const delay = async (ms: number): Promise<void> => {
  await sleep(ms);
};

const paces = {
  folder: { firstMs: 25, maxMs: 400 },
  s3: { firstMs: 500, maxMs: 5000 },
} as const;

/** Pauses between looks at a store. `changed` makes the next pause short again. */
export class Pace {
  readonly #pace: { readonly firstMs: number; readonly maxMs: number };
  #nextMs: number;

  constructor(store: ObjectStore) {
    this.#pace = paces[store.kind];
    this.#nextMs = this.#pace.firstMs;
  }

  changed(): void {
    this.#nextMs = this.#pace.firstMs;
  }

  async pause(atMostMs: number = Number.POSITIVE_INFINITY): Promise<void> {
    const ms = Math.min(this.#nextMs, atMostMs);
    this.#nextMs = Math.min(this.#nextMs * 1.5, this.#pace.maxMs);
    await delay(ms);
  }
}

/**
 * What `look` finds, or undefined when it found nothing within `forMs`. It is asked once in any case. To whoever may read and not
 * list, as a submitter, S3 says of what is not there yet that it is forbidden; so that is no more than nothing.
 */
export async function waitFor<T>(
  store: ObjectStore,
  forMs: number,
  look: () => Promise<T | undefined>,
): Promise<T | undefined> {
  const pace = new Pace(store);
  const end = Date.now() + forMs;
  for (;;) {
    const found = await look().catch(unlessForbidden);
    const leftMs = end - Date.now();
    if (found !== undefined || leftMs <= 0) return found;
    await pace.pause(leftMs);
  }
}

function unlessForbidden(error: unknown): undefined {
  if (!isPangolinError(error, 'DENIED')) throw error;
}
