import { formatCheckpoint, formatNote, noteKeyHash } from '@pangolin/contracts/note';
import { PAYLOAD_TYPE } from '@pangolin/contracts/dsse';
import { sigstoreBundleBytes } from '@pangolin/contracts/sigstore-bundle';
import { refuse } from '../refusal.ts';
import { NO_TRUST, passed, UNREACHED, UNSEALED, type Check } from './check.ts';

export const rebuild: Check = {
  id: 'rebuild',
  title: 'The seal file holds what was checked and nothing else',
  failure: 'structure',
  run(context) {
    const { sealFile, checkpoint, signer, leaf, trust } = context;
    if (!sealFile) return UNSEALED;
    if (!trust) return NO_TRUST;
    if (!checkpoint?.logKey || !signer || !leaf) return UNREACHED;
    const rebuilt = sigstoreBundleBytes({
      envelope: {
        payload: sealFile.payload.toString('base64'),
        payloadType: PAYLOAD_TYPE,
        signatures: [{ keyid: signer.keyid, sig: sealFile.signature.toString('base64') }],
      },
      log: {
        logId: noteKeyHash(checkpoint.logKey.note),
        index: sealFile.entry!.index,
        treeSize: checkpoint.size,
        root: checkpoint.root,
        hashes: sealFile.entry!.hashes,
        checkpoint: formatNote({ text: formatCheckpoint(checkpoint), signatures: checkpoint.signatures }),
        leaf,
      },
      timestamps: sealFile.timestamps,
    });
    if (!rebuilt.equals(sealFile.bytes)) {
      refuse(
        'the seal file differs from the one that its verified parts make: a field that no signature covers was changed',
      );
    }
    return passed('Byte for byte.');
  },
};
