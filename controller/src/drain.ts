/** How a controller that is told to stop ends in time, whatever the storage and the backend do. */
import { setTimeout as delay } from 'node:timers/promises';

/** For the pass, the starts and the seal that are under way. What they do not finish, the next controller does. */
export const DRAIN_MS = 20_000;
/** For giving up the lease and closing, after that. Together less than the 30 s after which stopping becomes killing. */
export const CLOSE_MS = 5_000;

/** Waits for `work`, but no longer than `ms` once `signal` is aborted. @returns false when it was given up */
export async function untilDrained(work: Promise<void>, signal: AbortSignal | undefined, ms: number): Promise<boolean> {
  if (signal === undefined) return await work.then(() => true);
  const over = new AbortController();
  const patience = async (): Promise<boolean> => {
    await aborted(signal, over.signal);
    // Ends with the work, so that nobody waits for the rest of it.
    await delay(ms, undefined, { signal: over.signal }).catch(() => undefined);
    return false;
  };
  try {
    return await Promise.race([work.then(() => true), patience()]);
  } finally {
    over.abort();
  }
}

async function aborted(...signals: readonly AbortSignal[]): Promise<void> {
  const any = AbortSignal.any([...signals]);
  if (any.aborted) return;
  await new Promise<void>((resolve) => any.addEventListener('abort', () => resolve(), { once: true }));
}
