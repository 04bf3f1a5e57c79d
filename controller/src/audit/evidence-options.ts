/** From `pangolin.yaml` to those who vouch from outside, and to what an auditor has to know of them. */
import type { EvidenceConfig } from '@pangolin/contracts/config';
import type { PangolinError } from '@pangolin/contracts/errors';
import type { TrustDocument } from '@pangolin/contracts/trust';
import { s3LockAnchor } from './anchors/s3-lock.ts';
import type { SealerOptions } from './sealer.ts';
import { rfc3161Authority } from './timestamps/rfc3161.ts';
import { tlogWitness } from './witness.ts';

export interface Surroundings {
  /** Of the deployment's log. */
  readonly origin: string;
  /** Epoch milliseconds. */
  readonly now: () => number;
  /** Told whenever a time stamp or cosignature is missing from a seal because somebody did not answer. */
  readonly onGivenUp: (problem: PangolinError) => void;
}

/** For `createSealer`. Makes no request. @throws PangolinError INVALID for a key that is none of a witness. */
export function evidenceOptions(
  { timestamp = [], witnesses = [], anchors = [] }: EvidenceConfig,
  { origin, now, onGivenUp }: Surroundings,
): Required<Pick<SealerOptions, 'timestamps' | 'witnesses' | 'anchors'>> {
  return {
    timestamps: timestamp.map(({ id, url }) => rfc3161Authority({ id, url, onGivenUp })),
    witnesses: witnesses.map(({ url, vkey }) => tlogWitness({ url, vkey, onGivenUp })),
    anchors: anchors.map(({ type: _, ...anchor }) => s3LockAnchor({ ...anchor, origin, now })),
  };
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
