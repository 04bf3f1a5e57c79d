/** What the controller says about seals that are behind and about those who vouch from outside. */
import type { EvidenceStatus, ServiceStatus } from '@pangolin/contracts/evidence-status';
import { isPangolinError } from '@pangolin/contracts/errors';
import { EVIDENCE_STATUS } from '@pangolin/contracts/layout';
import type { ObjectStore } from '@pangolin/storage/object-store';
import { printable } from '../terminal.ts';

/** Undefined while nobody outside is configured and no seal ever failed. */
export async function readEvidenceStatus(store: ObjectStore): Promise<EvidenceStatus | undefined> {
  try {
    return JSON.parse((await store.get(EVIDENCE_STATUS)).toString('utf8')) as EvidenceStatus;
  } catch (error) {
    if (isPangolinError(error, 'NOT_FOUND') || error instanceof SyntaxError) return undefined;
    throw error;
  }
}

const nouns: Readonly<Record<ServiceStatus['kind'], string>> = {
  timestamp: 'time-stamping authority',
  witness: 'witness',
  anchor: 'anchor',
};

/** One sentence for each that fails, and one for the seals that wait. Of one run only when it is named. */
export function lagOf({ pending, waiting, services }: EvidenceStatus, run?: string): string[] {
  const failing = services
    .filter(({ state }) => state === 'failing')
    .map(
      ({ kind, id, since, error, missed }) =>
        `The ${nouns[kind]} ${id} fails since ${since}, ${missed} times so far: ${printable(error ?? '')}`,
    );
  const mine = waiting.filter((each) => run === undefined || each.run === run);
  const [first] = mine;
  if (!first) return run === undefined ? failing : [];
  const count = run === undefined ? pending : mine.length;
  const why = first.error === undefined ? '' : `: ${printable(first.error)}`;
  const what = count === 1 ? `The seal of ${first.run} waits` : `${count} seals wait, the oldest, of ${first.run},`;
  return [...failing, `${what} for ${nouns[first.waitsFor as ServiceStatus['kind']] ?? first.waitsFor} since ${first.since}${why}`]; // prettier-ignore
}
