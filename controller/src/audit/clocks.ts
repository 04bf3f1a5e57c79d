/** A time from outside that is far from ours would spoil the seal for good: no key was valid then. */
import { PangolinError } from '@pangolin/contracts/errors';
import { formatTime } from '@pangolin/contracts/units';

/** How far the clock of somebody who vouches may be from ours. */
const CLOCKS_APART_MS_MAX = 10 * 60_000;

/** @param at, now epoch milliseconds. @throws PangolinError INVALID */
export function assertNear(at: number, now: number): void {
  if (Math.abs(at - now) <= CLOCKS_APART_MS_MAX) return;
  const theirs = Math.abs(at) <= 8.64e15 ? formatTime(at) : 'no date at all';
  throw new PangolinError('INVALID', `its clock says ${theirs} and ours ${formatTime(now)}; one of them is wrong`);
}
