/** Whether a key may have been used when it was (evidence.md §3.10). */
import { formatTime } from '@pangolin/contracts/units';
import { refuse } from './refusal.ts';
import type { KeyLife } from './trust-file.ts';

/**
 * A key is good at t when start ≤ t ≤ end and t < revokedAt. t is every trusted time there is; without one it is what
 * the log asserts, and then a revoked key is never good: its thief could assert anything.
 * @param trustedTimes milliseconds since 1970, as `assertedAt`.
 * @throws Refusal
 */
export function checkKeyUse(trustedTimes: readonly number[], what: string, key: KeyLife, assertedAt: number): void {
  if (trustedTimes.length === 0 && key.revokedAt !== undefined) {
    refuse(
      `the key of ${what} was revoked at ${formatTime(key.revokedAt)} and no trusted time says that it was used before`,
    );
  }
  for (const at of trustedTimes.length > 0 ? trustedTimes : [assertedAt]) {
    if (at < key.start || (key.end !== undefined && at > key.end)) {
      refuse(`the key of ${what} was not valid at ${formatTime(at)}`);
    }
    if (key.revokedAt !== undefined && at >= key.revokedAt) {
      refuse(`the key of ${what} had been revoked by ${formatTime(at)}`);
    }
  }
}
