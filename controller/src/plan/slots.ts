/** Which slots of a schedule become runs. Pure: the clock comes in, decisions go out. */
import type { Slots } from '@pangolin/contracts/cron';
import { SLOTS_MAX, type AdmittedSchedule } from '@pangolin/contracts/schedule';

/** A slot that is noticed later than this was missed: nothing served then. */
export const LATE_MS = 60_000;
const WINDOW_MS = 3_600_000;

/**
 * The newest slots after `after` and not after `now`, at most SLOTS_MAX, the oldest first. The window grows backwards,
 * so that a year without a controller costs no more than what is kept of it.
 */
export function missedSlots(slots: Slots, after: number, now: number): number[] {
  for (let window = WINDOW_MS; ; window *= 8) {
    const from = Math.max(after, now - window);
    const found: number[] = [];
    for (let slot = slots.next(from); slot !== undefined && slot <= now; slot = slots.next(slot)) found.push(slot);
    if (from === after || found.length >= SLOTS_MAX) return found.slice(-SLOTS_MAX);
  }
}

export interface Due {
  /** Undecided slots, the oldest first. */
  readonly slots: readonly number[];
  readonly now: number;
  readonly policy: Pick<AdmittedSchedule, 'catchUp' | 'overlap'>;
  /** Runs of the schedule that have not ended. */
  readonly open: readonly string[];
}

export interface SlotDecision {
  readonly slot: number;
  /** Why it is skipped; absent when it becomes a run. */
  readonly skipped?: string;
}

/** One decision per slot, in their order. With `overlap: replace` the open runs are to be cancelled when any slot becomes a run. */
export function decideSlots({ slots, now, policy, open }: Due): SlotDecision[] {
  const newest = slots.at(-1);
  let running = open[0];
  return slots.map((slot) => {
    if (policy.catchUp === 'none' && now - slot > LATE_MS) return skip(slot, 'nothing served when it was due');
    if (policy.catchUp === 'coalesce' && slot !== newest) return skip(slot, 'a later slot was due as well');
    if (policy.overlap === 'replace' && slot !== newest) return skip(slot, 'a later slot replaces it');
    if (policy.overlap === 'skip' && running !== undefined) return skip(slot, `${running} had not ended`);
    running ??= 'an earlier slot';
    return { slot };
  });
}

const skip = (slot: number, skipped: string): SlotDecision => ({ slot, skipped });
