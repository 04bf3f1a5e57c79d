/** Which locks are held by whom. Derived from the items that hold tasks; there is no second place for a lock to leak in. */
import { lockKey, type AdmittedLock } from '@pangolin/contracts/run';

interface Holders {
  exclusive: number | undefined;
  /** Item → how many sharers it put up with. */
  readonly shared: Map<number, number>;
}

export class Locks {
  readonly #holders = new Map<string, Holders>();

  clear(): void {
    this.#holders.clear();
  }

  get size(): number {
    return this.#holders.size;
  }

  /** The first of `locks` that cannot be had now. All of them are taken at once or none is, so nobody holds and waits. */
  blocking(locks: readonly AdmittedLock[]): string | undefined {
    const blocked = locks.find((lock) => !this.#free(lock));
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

  #free(lock: AdmittedLock): boolean {
    const holders = this.#holders.get(lockKey(lock));
    if (!holders) return true;
    if (typeof lock === 'string' || holders.exclusive !== undefined) return false;
    // The strictest of the sharers decides how many they may be.
    return holders.shared.size < Math.min(lock.limit ?? Infinity, ...holders.shared.values());
  }
}
