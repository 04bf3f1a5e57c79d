/**
 * Sigstore bundles v0.3 around one DSSE envelope (evidence.md §3.7), so that cosign, sigstore-go and sigstore-js can
 * check what we sign. The file is the canonical JSON of `sigstoreBundle(parts)`, nothing else: a verifier that has
 * checked the parts builds the file again and compares bytes.
 */
import { canonicalBytes } from './canonical.ts';
import type { Envelope } from './dsse.ts';

export const BUNDLE_MEDIA_TYPE = 'application/vnd.dev.sigstore.bundle.v0.3+json';

/** Where a log holds the signature of the envelope. */
export interface LogProof {
  /** All 32 bytes of `noteKeyHash` of the log's key. */
  readonly logId: Buffer;
  readonly index: number;
  readonly treeSize: number;
  readonly root: Buffer;
  readonly hashes: readonly Buffer[];
  /** The signed note of a checkpoint of exactly this size and root. */
  readonly checkpoint: string;
  /** `hashedRekordLeaf` of the envelope. */
  readonly leaf: Buffer;
}

export interface BundleParts {
  readonly envelope: Envelope;
  readonly log?: LogProof;
  /** RFC 3161 TimeStampResp (time-stamp.ts) over the raw signature bytes; written in the order of their bytes. */
  readonly timestamps?: readonly Buffer[];
}

/** The JSON form. 64-bit integers are decimal strings and bytes are base64, as protobuf's JSON mapping has it. */
export interface SigstoreBundle {
  readonly mediaType: typeof BUNDLE_MEDIA_TYPE;
  readonly dsseEnvelope: Envelope;
  readonly verificationMaterial: {
    readonly publicKey: { readonly hint: string };
    /** None for an attestation, one for a seal. */
    readonly tlogEntries: readonly TlogEntry[];
    readonly timestampVerificationData?: {
      readonly rfc3161Timestamps: readonly { readonly signedTimestamp: string }[];
    };
  };
}

export interface TlogEntry {
  readonly logIndex: string;
  readonly logId: { readonly keyId: string };
  readonly kindVersion: { readonly kind: 'hashedrekord'; readonly version: '0.0.2' };
  readonly inclusionProof: {
    readonly logIndex: string;
    readonly rootHash: string;
    readonly treeSize: string;
    readonly hashes: readonly string[];
    readonly checkpoint: { readonly envelope: string };
  };
  readonly canonicalizedBody: string;
}

export function sigstoreBundle({ envelope, log, timestamps = [] }: BundleParts): SigstoreBundle {
  return {
    mediaType: BUNDLE_MEDIA_TYPE,
    dsseEnvelope: envelope,
    verificationMaterial: {
      publicKey: { hint: envelope.signatures[0].keyid },
      tlogEntries: log ? [tlogEntry(log)] : [],
      ...(timestamps.length > 0 && {
        timestampVerificationData: {
          rfc3161Timestamps: [...timestamps]
            .sort(Buffer.compare)
            .map((token) => ({ signedTimestamp: token.toString('base64') })),
        },
      }),
    },
  };
}

function tlogEntry(log: LogProof): TlogEntry {
  return {
    logIndex: String(log.index),
    logId: { keyId: log.logId.toString('base64') },
    kindVersion: { kind: 'hashedrekord', version: '0.0.2' },
    inclusionProof: {
      logIndex: String(log.index),
      rootHash: log.root.toString('base64'),
      treeSize: String(log.treeSize),
      hashes: log.hashes.map((hash) => hash.toString('base64')),
      checkpoint: { envelope: log.checkpoint },
    },
    canonicalizedBody: log.leaf.toString('base64'),
  };
}

export function sigstoreBundleBytes(parts: BundleParts): Buffer {
  return canonicalBytes(sigstoreBundle(parts));
}
