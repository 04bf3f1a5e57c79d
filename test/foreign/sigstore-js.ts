/** `@sigstore/verify`, npm's own verifier, over one of our bundles. */
import type { KeyObject } from 'node:crypto';
import { bundleFromJSON, type SerializedBundle } from '@sigstore/bundle';
import { TrustedRoot } from '@sigstore/protobuf-specs';
import { toSignedEntity, toTrustMaterial, Verifier } from '@sigstore/verify';

/** @param stamped whether a time stamp is demanded. Answers a function that throws for what does not hold. */
export function sigstoreJs(trustedRoot: unknown, publicKey: KeyObject, stamped: boolean): (bundle: unknown) => void {
  const material = toTrustMaterial(TrustedRoot.fromJSON(trustedRoot), () => ({ publicKey, validFor: () => true }));
  const verifier = new Verifier(material, {
    tlogThreshold: 1,
    ctlogThreshold: 0,
    timestampThreshold: stamped ? 1 : 0,
  });
  return (bundle) => void verifier.verify(toSignedEntity(bundleFromJSON(bundle as SerializedBundle)));
}
