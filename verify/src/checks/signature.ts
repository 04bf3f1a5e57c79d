import { refuse } from '../refusal.ts';
import { isOfItsOwnKey, isSigned, signerOf } from '../sigstore-file.ts';
import { NO_TRUST, passed, UNSEALED, type Check } from './check.ts';

export const signature: Check = {
  id: 'signature',
  title: 'The seal is signed by a key that you trust to close runs',
  failure: 'signature',
  run(context) {
    const { sealFile, trust } = context;
    if (!sealFile) return UNSEALED;
    if (!trust) return NO_TRUST;
    context.signer = trust.signers.get(sealFile.keyid);
    if (!context.signer && !isOfItsOwnKey(sealFile)) {
      refuse('the seal is signed neither with a trusted key nor with the one that it says');
    }
    const key = signerOf('the seal', sealFile, trust, 'seal');
    if (!isSigned(sealFile, key)) refuse('the signature of the seal is not one of its key over its content');
    return passed(`Signed with ${key.keyid}.`);
  },
};
