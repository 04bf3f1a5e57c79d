/** From `pangolin.yaml` to those who vouch from outside, and to what an auditor has to know of them. */
import type { EvidenceConfig } from '@pangolin/contracts/config';
import { PangolinError } from '@pangolin/contracts/errors';
import type { ServiceKind } from '@pangolin/contracts/evidence-status';
import { parseVkey } from '@pangolin/contracts/note';
import type { TrustDocument } from '@pangolin/contracts/trust';
import { parseDuration } from '@pangolin/contracts/units';
import { s3LockAnchor } from './anchors/s3-lock.ts';
import type { Keys } from './keys.ts';
import type { Lag } from './lag.ts';
import { rivalsOf } from './rivals.ts';
import type { Patience } from './patience.ts';
import type { SealerOptions } from './sealer.ts';
import { rfc3161Authority } from './timestamps/rfc3161.ts';
import { tlogWitness } from './witness.ts';

export interface Surroundings {
  readonly keys: Keys;
  /** Epoch milliseconds. */
  readonly now: () => number;
  /** Shows who does not answer. */
  readonly lag: Lag;
  /** Ends what is under way: the controller stops. */
  readonly signal?: AbortSignal;
  /** Told whenever a time stamp or cosignature is missing from a seal because somebody did not answer. */
  readonly onGivenUp: (problem: PangolinError) => void;
}

/** For `createSealer`. Makes no request. @throws PangolinError INVALID for a key that is none of a witness, and for a time below a second. */
export function evidenceOptions(
  { timestamp = [], witnesses = [], anchors = [], headEvery }: EvidenceConfig,
  { keys, now, lag, signal, onGivenUp }: Surroundings,
): Required<Pick<SealerOptions, 'timestamps' | 'witnesses' | 'anchors'>> & Pick<SealerOptions, 'headEveryMs'> {
  const stop = signal && { signal };
  const patience = (kind: ServiceKind, id: string, timeout: string | undefined): Patience => {
    const { answered, failed } = lag.service(kind, id);
    const limit = timeout === undefined ? {} : { timeoutMs: aSecondOrMore(`the timeout of ${id}`, timeout) };
    return { ...stop, ...limit, onAnswered: answered, onGivenUp: (problem) => (failed(problem), onGivenUp(problem)) };
  };
  for (const { id } of anchors) lag.service('anchor', id);
  return {
    ...(headEvery !== undefined && { headEveryMs: aSecondOrMore('evidence.headEvery', headEvery) }),
    timestamps: timestamp.map(({ id, url, timeout }) =>
      rfc3161Authority({ id, url, now, ...patience('timestamp', id, timeout) }),
    ),
    witnesses: witnesses.map(({ url, vkey, timeout }) =>
      tlogWitness({ url, vkey, now, ...patience('witness', parseVkey(vkey).name, timeout) }),
    ),
    anchors: anchors.map(({ type: _, ...anchor }) =>
      s3LockAnchor({ ...anchor, ...stop, origin: keys.origin, rivals: rivalsOf(keys), now }),
    ),
  };
}

/** A head is a signature, an entry of the log and a file that is written again; nobody answers in less. */
const INTERVAL_MIN_MS = 1000;

function aSecondOrMore(what: string, text: string): number {
  const ms = parseDuration(text);
  if (ms >= INTERVAL_MIN_MS) return ms;
  throw new PangolinError('INVALID', `${what} in pangolin.yaml is ${text}, which is too short`, {
    hint: 'Write 1s or more, or leave it out for the default.',
  });
}

/**
 * What the trust document says of them. As many witnesses as are more than half have to have seen the log; whoever
 * keeps the document may ask for more or fewer. Time-stamping authorities are not here: whom to trust with time is not
 * for a deployment to say.
 */
export function trustedSurroundings({
  witnesses = [],
  anchors = [],
}: EvidenceConfig): Pick<TrustDocument, 'witnessPolicy' | 'anchors'> {
  return {
    ...(witnesses.length > 0 && {
      witnessPolicy: [
        ...witnesses.map(({ name, vkey, url }) => `witness ${name} ${vkey} ${url}`),
        `group most-of-them ${Math.floor(witnesses.length / 2) + 1} ${witnesses.map(({ name }) => name).join(' ')}`,
        'quorum most-of-them',
        '',
      ].join('\n'),
    }),
    ...(anchors.length > 0 && {
      anchors: anchors.map(({ id: _, retentionDays, ...anchor }) => ({ ...anchor, minRetentionDays: retentionDays })),
    }),
  };
}
