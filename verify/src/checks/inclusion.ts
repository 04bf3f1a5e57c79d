import { leafHash, verifyInclusion } from '@pangolin/contracts/merkle';
import { hashedRekordLeaf } from '@pangolin/contracts/tlog';
import { refuse } from '../refusal.ts';
import { NO_TRUST, passed, UNREACHED, UNSEALED, type Check } from './check.ts';

export const inclusion: Check = {
  id: 'inclusion',
  title: 'The seal is an entry of that log',
  failure: 'inclusion',
  run(context) {
    const { sealFile, checkpoint, signer, trust } = context;
    if (!sealFile) return UNSEALED;
    if (!trust) return NO_TRUST;
    if (!checkpoint || !signer) return UNREACHED;
    // Made from the envelope and the trusted key; the copy in the file is not looked at here.
    context.leaf = hashedRekordLeaf(sealFile.envelope, signer.spki);
    const { index, hashes } = sealFile.entry!;
    if (!verifyInclusion(index, checkpoint.size, leafHash(context.leaf), hashes, checkpoint.root)) {
      refuse('the proof does not lead from the seal to the root of the checkpoint');
    }
    return passed(`Entry ${index} of ${checkpoint.size}.`);
  },
};
