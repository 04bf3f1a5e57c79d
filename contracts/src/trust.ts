/**
 * `trust.json`: whom an auditor trusts (evidence.md §3.10). A deployment publishes its own keys in this form; what
 * counts is the copy that the auditor got and keeps elsewhere, never one that came with a bundle.
 */

export const TRUST_SCHEMA = 'pangolin-trust/1';
export const TRUSTED_ROOT_MEDIA_TYPE = 'application/vnd.dev.sigstore.trustedroot+json;version=0.1';

/** `seal` closes runs, `attest` signs dispatch and provenance statements. One key has one role. */
export type SignerRole = 'seal' | 'attest';

/** RFC 3339; open-ended without `end`. */
export interface Validity {
  readonly start: string;
  readonly end?: string;
}

export interface TrustedSigner {
  /** `keyIdOf(publicKey)`; a reader recomputes it. */
  readonly keyid: string;
  /** SubjectPublicKeyInfo, DER, base64. */
  readonly publicKey: string;
  readonly alg: 'ecdsa-p256-sha256';
  readonly roles: readonly SignerRole[];
  readonly validFor: Validity;
  readonly revokedAt?: string;
}

/** Closed: a reader refuses other fields. */
export interface TrustDocument {
  readonly schema: typeof TRUST_SCHEMA;
  /** Name of the deployment's log: a bare hostname, `logOrigin` of its seals. */
  readonly origin: string;
  readonly signers: readonly TrustedSigner[];
  /** The log's key is here and nowhere else, in the form that cosign and sigstore-js take as it is. */
  readonly trustedRoot: TrustedRoot;
}

/** JSON of `dev.sigstore.trustroot.v1.TrustedRoot`, as far as we write it. */
export interface TrustedRoot {
  readonly mediaType: typeof TRUSTED_ROOT_MEDIA_TYPE;
  readonly tlogs: readonly TrustedLog[];
  readonly certificateAuthorities: readonly [];
  readonly ctlogs: readonly [];
  readonly timestampAuthorities: readonly [];
}

export interface TrustedLog {
  /** `https://<origin>`: clients take the hostname as the note's key name. Nothing is fetched from it. */
  readonly baseUrl: string;
  readonly hashAlgorithm: 'SHA2_256';
  readonly publicKey: {
    /** SubjectPublicKeyInfo of the Ed25519 key, DER, base64. */
    readonly rawBytes: string;
    readonly keyDetails: 'PKIX_ED25519';
    readonly validFor: Validity;
  };
  /** Base64 of `noteKeyHash` (32 bytes), twice: old clients read the first, new ones the second. */
  readonly logId: { readonly keyId: string };
  readonly checkpointKeyId: { readonly keyId: string };
}
