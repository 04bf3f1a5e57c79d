/**
 * One controller serves a storage: `controller/lease.json`, replaced by compare-and-swap and renewed by every look at
 * everything. On one machine the exclusive run-state keeps a second one out besides; this holds between machines.
 */
import { hostname } from 'node:os';
import { isPangolinError, PangolinError } from '@pangolin/contracts/errors';
import { LEASE } from '@pangolin/contracts/layout';
import { isLeased, type Lease } from '@pangolin/contracts/lease';
import { formatTime } from '@pangolin/contracts/units';
import type { ObjectStore } from '@pangolin/storage/object-store';

/** Longer than any pass; a controller on another machine may take over after it. */
export const LEASE_TTL_MS = 90_000;
/** Times that it is tried against controllers that start at the same moment. */
const TAKES_MAX = 5;

interface Version {
  readonly lease: Lease | undefined;
  readonly etag: string | undefined;
}

export class StorageLease {
  readonly #store: ObjectStore;
  readonly #now: () => number;
  #lease: Lease;
  #etag: string;

  private constructor(store: ObjectStore, now: () => number, lease: Lease, etag: string) {
    this.#store = store;
    this.#now = now;
    this.#lease = lease;
    this.#etag = etag;
  }

  get epoch(): number {
    return this.#lease.epoch;
  }

  /**
   * A lease of the same deployment is taken over at once: its run-state, which is open here, has no other user.
   * @throws PangolinError CONFLICT while another deployment holds it
   */
  static async take(store: ObjectStore, deployment: string, now: () => number): Promise<StorageLease> {
    for (let takes = 1; ; takes++) {
      const { lease: last, etag } = await read(store);
      if (last && last.deployment !== deployment && isLeased(last, now())) throw heldBy(last);
      const at = formatTime(now());
      const lease: Lease = {
        schema: 'lease/1',
        epoch: (last?.epoch ?? 0) + 1,
        deployment,
        host: hostname(),
        pid: process.pid,
        since: at,
        renewedAt: at,
        ttlMs: LEASE_TTL_MS,
      };
      try {
        const put = await store.put(LEASE, text(lease), etag === undefined ? { ifAbsent: true } : { ifMatch: etag });
        return new StorageLease(store, now, lease, put.etag);
      } catch (error) {
        if (!isPangolinError(error, 'PRECONDITION') || takes >= TAKES_MAX) throw error;
      }
    }
  }

  /**
   * Renews it when a third of its time has passed.
   * @returns false when it has run out and the storage does not answer: then nothing may be done
   * @throws PangolinError CONFLICT when another controller has taken over
   */
  async hold(): Promise<boolean> {
    const now = this.#now();
    const age = now - Date.parse(this.#lease.renewedAt);
    // A clock that was set back renews it too.
    if (age >= 0 && age < LEASE_TTL_MS / 3) return true;
    try {
      await this.#replace({ ...this.#lease, renewedAt: formatTime(now) });
      return true;
    } catch (error) {
      if (!isPangolinError(error) || !error.retryable) throw error;
      return age >= 0 && age < LEASE_TTL_MS;
    }
  }

  /** Lets another controller in at once. Best effort: the lease runs out anyway. */
  async release(): Promise<void> {
    await this.#replace({ ...this.#lease, released: true }).catch(() => undefined);
  }

  async #replace(lease: Lease): Promise<void> {
    try {
      this.#etag = (await this.#store.put(LEASE, text(lease), { ifMatch: this.#etag })).etag;
    } catch (error) {
      if (!isPangolinError(error, 'PRECONDITION')) throw error;
      const { lease: current } = await read(this.#store);
      throw current && current.epoch !== lease.epoch ? heldBy(current) : error;
    }
    this.#lease = lease;
  }
}

const text = (lease: Lease): string => `${JSON.stringify(lease)}\n`;

async function read(store: ObjectStore): Promise<Version> {
  const head = await store.head(LEASE);
  if (head === undefined) return { lease: undefined, etag: undefined };
  const bytes = await store.get(LEASE, { maxBytes: 65_536 });
  try {
    // What is there now may be newer than the etag; then the swap fails.
    return { lease: JSON.parse(bytes.toString('utf8')) as Lease, etag: head.etag };
  } catch {
    return { lease: undefined, etag: head.etag };
  }
}

function heldBy({ host, pid, since, renewedAt }: Lease): PangolinError {
  return new PangolinError('CONFLICT', `another controller serves this storage: process ${pid} of ${host}`, {
    hint: 'Stop it first. One that died is replaced when its lease has run out, a minute and a half later.',
    details: { since, renewedAt },
  });
}
