/** Whether what somebody asks for is still on its way from the inbox. */
import type { ObjectStore } from '@pangolin/storage/object-store';
import { seemsServed } from './receipts.ts';
import { findStatus, inboxHolds, readStatus } from './runs.ts';
import { Pace } from './wait.ts';

/** A run is published within moments of its file's leaving the inbox. */
const PUBLISHED_MS = 2000;
/** For so long a file may wait in the inbox of a controller that is busy. */
const ADMITTED_MS = 30_000;

/**
 * Returns when `run` is published. A file may have been dropped a moment ago: while a controller serves and the inbox holds
 * something, that is waited for. @throws PangolinError NOT_FOUND
 */
export async function awaitRun(store: ObjectStore, run: string): Promise<void> {
  const served = await seemsServed(store);
  const pace = new Pace(store);
  const end = Date.now() + (served ? ADMITTED_MS : 0);
  let busyAt = Date.now();
  while ((await findStatus(store, run)) === undefined) {
    if (await inboxHolds(store)) busyAt = Date.now();
    const leftMs = Math.min(end, busyAt + PUBLISHED_MS) - Date.now();
    if (leftMs <= 0) return void (await readStatus(store, run));
    await pace.pause(leftMs);
  }
}
