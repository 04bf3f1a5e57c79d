/** Dropping a file for the controller, and its answer. */
import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import { LEASE } from '@pangolin/contracts/layout';
import { isLeased, type Lease } from '@pangolin/contracts/lease';
import type { Receipt } from '@pangolin/contracts/status';
import { formatTime } from '@pangolin/contracts/units';
import type { ObjectStore } from '@pangolin/storage/object-store';
import { findReceipt } from './runs.ts';
import { waitFor } from './wait.ts';

/** A controller answers within a second; these are for one that is busy, and for one that is not there. */
const SERVED_MS = 30_000;
const UNSERVED_MS = 2_000;

/** Sorts by time; never the same twice. */
export function uniqueName(): string {
  return `${formatTime(Date.now()).replaceAll(/[-:]/g, '')}-${randomBytes(6).toString('hex')}`;
}

/** The receipt of the dropped file, or undefined when none came in `timeoutMs` (default: longer where a controller seems to serve). */
export async function awaitReceipt(
  store: ObjectStore,
  name: string,
  timeoutMs: number | undefined,
): Promise<Receipt | undefined> {
  const forMs = timeoutMs ?? ((await seemsServed(store)) ? SERVED_MS : UNSERVED_MS);
  return await waitFor(store, forMs, () => findReceipt(store, name));
}

/** Of `submit`, in ms: who waits for the end of the run may have started the controller a moment ago. */
export function receiptTimeout(given: number | undefined, wait: boolean, endMs = Infinity): number | undefined {
  return given ?? (wait ? Math.min(SERVED_MS, endMs) : undefined);
}

/** What the receipt means to a script (design §10). */
export function receiptExitCode(receipt: Receipt): number {
  if (receipt.verdict === 'accepted') return 0;
  return Math.max(...receipt.errors.map(({ code }) => exitCodes[code] ?? 2), 2);
}

/** Codes of problems that say more than "invalid input". */
const exitCodes: Readonly<Record<string, number>> = {
  NotFound: 3,
  Conflict: 4,
  Finished: 4,
  NotFinished: 4,
  NothingToRetry: 4,
  NotRetryable: 4,
  NotWaiting: 4,
  NotAnOption: 2,
  NotOpenEnded: 4,
};

/** `controller/lease.json`: who has served last. */
export async function readLease(store: ObjectStore): Promise<Lease | undefined> {
  try {
    return JSON.parse((await store.get(LEASE, { maxBytes: 65_536 })).toString('utf8')) as Lease;
  } catch {
    // Missing or unreadable: either way nobody is known to serve, and that is all that callers ask.
    return undefined;
  }
}

/** Whether the lease holds. That a controller of this machine was killed is seen before its lease runs out. */
export async function seemsServed(store: ObjectStore): Promise<boolean> {
  const lease = await readLease(store);
  if (!lease || !isLeased(lease, Date.now())) return false;
  return lease.host !== hostname() || isAlive(lease.pid);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
