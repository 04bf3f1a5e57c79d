/**
 * Which locks are held by whom. Derived from the items that hold tasks; there is no second place for a lock to leak in.
 * Besides, which of them are kept for an item that has waited too long for them to let others go first.
 */
import { lockKey, type AdmittedLock } from '@pangolin/contracts/admitted-run';

interface Holders {
  exclusive: number | undefined;
  /** Item → how many sharers it put up with. */
  readonly shared: Map<number, number>;
}

/** An item that waits for locks. */
export interface Waiter {
  readonly iid: number;
  readonly queue: string;
  /** Epoch milliseconds. */
  readonly readyAt: number;
}

interface Keeper extends Waiter {
  readonly keys: readonly string[];
}

export class Locks {
  readonly #holders = new Map<string, Holders>();
  /** Lock → the item that it is kept for. */
  readonly #kept = new Map<string, Keeper>();

  clear(): void {
    this.#holders.clear();
    this.#kept.clear();
  }

  get size(): number {
    return this.#holders.size;
  }

  /** Whether any lock is kept for somebody. */
  get isKeeping(): boolean {
    return this.#kept.size > 0;
  }

  /**
   * The first of `locks` that `iid` cannot have now; without it, that somebody cannot. All of them are taken at once or none
   * is, so nobody holds and waits.
   */
  blocking(locks: readonly AdmittedLock[], iid?: number): string | undefined {
    const blocked = locks.find((lock) => !this.#free(lock) || !this.#keptOnlyFor(lockKey(lock), iid));
    return blocked === undefined ? undefined : lockKey(blocked);
  }

  take(iid: number, locks: readonly AdmittedLock[]): void {
    for (const lock of locks) {
      const key = lockKey(lock);
      let holders = this.#holders.get(key);
      if (!holders) this.#holders.set(key, (holders = { exclusive: undefined, shared: new Map() }));
      if (typeof lock === 'string') holders.exclusive = iid;
      else holders.shared.set(iid, lock.limit ?? Infinity);
    }
    this.giveUp(iid, locks);
  }

  release(iid: number, locks: readonly AdmittedLock[]): void {
    for (const lock of locks) {
      const holders = this.#holders.get(lockKey(lock));
      if (!holders) continue;
      if (holders.exclusive === iid) holders.exclusive = undefined;
      holders.shared.delete(iid);
      if (holders.exclusive === undefined && holders.shared.size === 0) this.#holders.delete(lockKey(lock));
    }
  }

  /**
   * Keeps all of `locks` for the waiter until it takes them or gives them up. One that is ready longer goes first, so that no
   * two ever wait for each other; the locks that a later one loses by this are the answer. Undefined when one of them is kept for an earlier one.
   */
  keep(waiter: Waiter, locks: readonly AdmittedLock[]): readonly string[] | undefined {
    const keys = locks.map(lockKey);
    const rivals = new Set(keys.flatMap((key) => this.#kept.get(key) ?? []).filter(({ iid }) => iid !== waiter.iid));
    for (const rival of rivals) if (isBefore(rival, waiter)) return undefined;
    const lost = [...rivals].flatMap((rival) => rival.keys);
    for (const key of lost) this.#kept.delete(key);
    const keeper = { ...waiter, keys };
    for (const key of keys) this.#kept.set(key, keeper);
    return lost.filter((key) => !keys.includes(key));
  }

  /** Nothing is kept for the item any more. */
  giveUp(iid: number, locks: readonly AdmittedLock[]): void {
    for (const key of locks.map(lockKey)) if (this.#kept.get(key)?.iid === iid) this.#kept.delete(key);
  }

  /** The items of a queue keep nothing any more. Answers the locks. */
  giveUpOf(queue: string): string[] {
    const theirs = [...this.#kept].flatMap(([key, keeper]) => (keeper.queue === queue ? [key] : []));
    for (const key of theirs) this.#kept.delete(key);
    return theirs;
  }

  #keptOnlyFor(key: string, iid: number | undefined): boolean {
    const keeper = this.#kept.get(key);
    return keeper === undefined || keeper.iid === iid;
  }

  #free(lock: AdmittedLock): boolean {
    const holders = this.#holders.get(lockKey(lock));
    if (!holders) return true;
    if (typeof lock === 'string' || holders.exclusive !== undefined) return false;
    // The strictest of the sharers decides how many they may be.
    return holders.shared.size < Math.min(lock.limit ?? Infinity, ...holders.shared.values());
  }
}

const isBefore = (a: Waiter, b: Waiter): boolean => (a.readyAt === b.readyAt ? a.iid < b.iid : a.readyAt < b.readyAt);
