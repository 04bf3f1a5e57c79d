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
  /** Certificates (PEM) of authorities whose time stamps count: roots, and the intermediates below them. */
  readonly tsaRoots?: readonly string[];
  /** C2SP tlog-policy text: which witnesses, and how many of them, have to have seen the log. */
  readonly witnessPolicy?: string;
  /** Where seals are kept out of the operator's reach; looked at only when asked for. */
  readonly anchors?: readonly TrustedAnchor[];
  /** What a verified bundle has to reach besides. */
  readonly require?: {
    readonly guarantee?: 'external-immutable' | 'witnessed';
    readonly timeTier?: 'tsa-attested';
  };
}

/** A bucket with Object Lock (evidence.md §3.8). */
export interface TrustedAnchor {
  readonly type: 's3-object-lock';
  readonly bucket: string;
  readonly region: string;
  /** URL of an S3-compatible server; AWS without one. */
  readonly endpoint?: string;
  /** Before `anchors/v1/`; empty or ends with `/`. */
  readonly prefix?: string;
  /** How long a seal has to be locked at least, from when it was written. */
  readonly minRetentionDays: number;
}

/** JSON of `dev.sigstore.trustroot.v1.TrustedRoot`, as far as we write it. */
export interface TrustedRoot {
  readonly mediaType: typeof TRUSTED_ROOT_MEDIA_TYPE;
  readonly tlogs: readonly TrustedLog[];
  readonly certificateAuthorities: readonly [];
  readonly ctlogs: readonly [];
  readonly timestampAuthorities: readonly TrustedTimestampAuthority[];
}

export interface TrustedTimestampAuthority {
  readonly subject?: { readonly organization?: string; readonly commonName?: string };
  readonly uri?: string;
  /** DER, base64; the signer's first if it is named, then its issuers. */
  readonly certChain: { readonly certificates: readonly { readonly rawBytes: string }[] };
  readonly validFor: Validity;
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
