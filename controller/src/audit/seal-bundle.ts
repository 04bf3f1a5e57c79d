/** From the row of a seal to the file that is anchored and exported. */
import { PAYLOAD_TYPE, type Envelope } from '@pangolin/contracts/dsse';
import { noteKeyHash, type NoteKey } from '@pangolin/contracts/note';
import { sigstoreBundleBytes } from '@pangolin/contracts/sigstore-bundle';
import { hashedRekordLeaf, inclusionProof } from '@pangolin/contracts/tlog';
import type { SealRow } from '../store/evidence.ts';
import type { LogStore } from '../store/log.ts';

/** The same bytes every time: everything in them is stored, or follows from what is. From `witnessed` on. */
export function sealBundle(row: SealRow, log: LogStore, logKey: NoteKey): Buffer {
  const envelope = envelopeOf(row);
  const index = row.log_index!;
  const { size, root, note } = log.checkpoint(row.checkpoint_size!)!;
  return sigstoreBundleBytes({
    envelope,
    log: {
      logId: noteKeyHash(logKey),
      index,
      treeSize: size,
      root,
      hashes: inclusionProof(index, size, log.hashAt),
      checkpoint: note,
      leaf: sealLeaf(row),
    },
    timestamps: Object.values(tokensOf(row)).map((token) => Buffer.from(token, 'base64')),
  });
}

/** What the deployment's log holds of the seal. From `signed` on. */
export function sealLeaf(row: SealRow): Buffer {
  return hashedRekordLeaf(envelopeOf(row), row.public_key!);
}

/** Authority → base64 of its token. */
export function tokensOf({ tokens }: SealRow): Readonly<Record<string, string>> {
  return JSON.parse(tokens ?? '{}') as Record<string, string>;
}

function envelopeOf(row: SealRow): Envelope {
  return {
    payload: row.payload!.toString('base64'),
    payloadType: PAYLOAD_TYPE,
    signatures: [{ keyid: row.keyid!, sig: row.sig!.toString('base64') }],
  };
}
