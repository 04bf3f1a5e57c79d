/** Who tries again when a lock may be free, and for whom locks are kept because it has waited too long for them. */
import { lockKey, type AdmittedLock } from '@pangolin/contracts/admitted-run';
import type { ItemRow } from '../store/rows.ts';
import { specOf } from './engine.ts';
import type { Pass } from './pass.ts';
import { AGEING_MS } from './queues.ts';

/** Before every other one: an item that locks are kept for takes the next slot of its queue when it can have them. */
export const FIRST_RANK = Number.MIN_SAFE_INTEGER;

/** An item that was perhaps woken for one of its locks does not take them now: those behind it get that chance. */
export function passOn({ engine: { state, memory } }: Pass, locks: readonly AdmittedLock[]): void {
  for (const lock of locks) if (memory.locks.blocking([lock]) === undefined) state.turns.wakeWaiters(lockKey(lock));
}

/** The item has ended or is paused, and does not wait for its locks any more. */
export function leaveLocks(pass: Pass, item: ItemRow): void {
  if (item.runnable === 0 && item.blocked_on === null) return;
  const { resourceLocks } = specOf(item);
  pass.engine.memory.locks.giveUp(item.iid, resourceLocks);
  passOn(pass, resourceLocks);
}

/** Items of a queue that starts nothing keep no lock from those of others. */
export function leaveLocksOf(pass: Pass, queue: string): void {
  passOn(pass, pass.engine.memory.locks.giveUpOf(queue));
}

/**
 * The item cannot have its locks now. When it has been ready for AGEING_MS, nobody else takes them before it from now on,
 * unless one of them is kept for an item that is ready longer. Answers whether they are kept.
 */
export function keepLocks(pass: Pass, item: ItemRow, locks: readonly AdmittedLock[]): boolean {
  if (item.ready_at === null || pass.now - item.ready_at < AGEING_MS) return false;
  const { iid, queue, ready_at: readyAt } = item;
  const lost = pass.engine.memory.locks.keep({ iid, queue, readyAt }, locks);
  if (!lost) return false;
  passOn(pass, lost);
  return true;
}
