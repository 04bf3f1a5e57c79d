import { keyIdOf, pae } from '@pangolin/contracts/dsse';
import { hashedRekordLeaf } from '@pangolin/contracts/tlog';
import { createPublicKey, verify } from 'node:crypto';
import { refuse } from '../refusal.ts';
import { isSigned, signerOf, type SigstoreFile } from '../sigstore-file.ts';
import { isObject } from '../shape.ts';
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

/**
 * True when the file is in itself what its unknown key would have made: then the trust file may be older than the key.
 * Anything else was changed, whoever signed it.
 */
function isOfItsOwnKey({ entry, envelope, keyid, payload, signature, hint }: SigstoreFile): boolean {
  try {
    const spki = Buffer.from(keyIn(JSON.parse(entry!.body.toString('utf8'))), 'base64');
    const key = createPublicKey({ key: spki, format: 'der', type: 'spki' });
    return (
      hint === keyid &&
      keyIdOf(key) === keyid &&
      hashedRekordLeaf(envelope, spki).equals(entry!.body) &&
      verify('sha256', pae(payload), key, signature)
    );
  } catch {
    // Whatever does not parse was not made by a key.
    return false;
  }
}

/** The public key that the log entry names; empty when it names none. */
function keyIn(body: unknown): string {
  let value = body;
  for (const step of ['spec', 'hashedRekordV002', 'signature', 'verifier', 'publicKey', 'rawBytes']) {
    value = isObject(value) ? value[step] : undefined;
  }
  return typeof value === 'string' ? value : '';
}
