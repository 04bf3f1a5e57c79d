/** Whether others have seen more of this log than the database knows: then going on would fork it (evidence.md §3.11). */
import { messageOf, PangolinError } from '@pangolin/contracts/errors';
import type { EvidenceStore } from '../store/evidence.ts';
import type { Keys } from './keys.ts';
import type { Anchor, Witness } from './outside.ts';
import { rivalsOf } from './rivals.ts';

export interface BehindOptions {
  readonly db: EvidenceStore;
  readonly keys: Keys;
  readonly witnesses?: readonly Witness[];
  readonly anchors?: readonly Anchor[];
}

const HINT =
  'The database was restored from an older backup, or the log was forked. Serve with the newest database; if there is none, `pangolin key new-origin` begins a new log.';

/**
 * @param onUnknown told of each that cannot be asked; that keeps nobody from starting.
 * @throws PangolinError CONFLICT
 */
export async function assertNotBehind(
  { db, keys, witnesses = [], anchors = [] }: BehindOptions,
  onUnknown: (problem: PangolinError) => void,
): Promise<void> {
  const last = db.log.lastCheckpoint();
  const size = last?.size ?? 0;
  const rivals = rivalsOf(keys);
  const unknown = (who: string, cause: unknown): undefined =>
    void onUnknown(
      new PangolinError('UNAVAILABLE', `${who} does not say how much of the log it has: ${messageOf(cause)}`, {
        cause,
      }),
    );
  const looks = [
    ...anchors.map(async (anchor) => {
      const who = `the anchor ${anchor.id}`;
      const notes = await anchor.checkpointsAfter(size).catch((cause: unknown) => unknown(who, cause));
      // Anybody may have put something there; what our own key signed is no lie.
      const sizes = (notes ?? []).flatMap((note) => rivals.checkpointOf(note)?.size ?? []);
      return sizes.length > 0 ? { who, has: Math.max(...sizes), hint: HINT } : undefined;
    }),
    // Before the first checkpoint there is nothing to ask a witness with.
    ...(last ? witnesses : []).map(async (witness) => {
      const who = `the witness ${witness.name}`;
      const has = await witness.ahead(size, last!.note).catch((cause: unknown) => unknown(who, cause));
      const hint = `${HINT} A witness can lie, and nothing of this is signed: if you know better, take it out of pangolin.yaml.`;
      return has === undefined ? undefined : { who, has, hint };
    }),
  ];
  for (const behind of await Promise.all(looks)) {
    if (!behind) continue;
    const what = behind.has === size ? `another log of ${size} entries` : `${behind.has} entries of this log`;
    throw new PangolinError('CONFLICT', `${behind.who} has seen ${what}, the database has ${size}`, {
      hint: behind.hint,
    });
  }
}
