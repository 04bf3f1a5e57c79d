/**
 * The evidence bundle of one run (evidence.md §3.12): a closed set of files, the same in a directory, a ustar archive
 * and one JSON document. There is no index and no report in it; everything is evidence.
 *
 * ```
 * events.jsonl                               the run log
 * seal.sigstore.json                         the seal (sigstore-bundle.ts)
 * dispatch/<sha256>.json                     payload bytes of a dispatch statement, named by their digest
 * provenance/<sha256>.json                   payload bytes of a provenance statement, likewise
 * attestations/<sha256>.sigstore.json        the signed envelope of that payload as a Sigstore bundle without log entry
 * blobs/<sha256>                             plan, submission, worker results, products, and what the plan pins of the registry
 * history/<sha256>                           the cosigned checkpoint that the run was opened after (`after.note` of run.submitted)
 * history/<sha256>.proof                     that the log of the seal continues it (consistency.ts)
 * ```
 * Lean bundles are the first two files. A file that neither an event nor the plan or a dispatch names must not be there.
 */

export const bundleFile = {
  events: 'events.jsonl',
  seal: 'seal.sigstore.json',
  dispatch: (sha256: string): string => `dispatch/${sha256}.json`,
  provenance: (sha256: string): string => `provenance/${sha256}.json`,
  attestation: (sha256: string): string => `attestations/${sha256}.sigstore.json`,
  blob: (sha256: string): string => `blobs/${sha256}`,
  history: (sha256: string): string => `history/${sha256}`,
  historyProof: (sha256: string): string => `history/${sha256}.proof`,
} as const;

/** Every name a bundle may hold. */
export const BUNDLE_NAME =
  /^(?:events\.jsonl|seal\.sigstore\.json|(?:dispatch|provenance)\/[0-9a-f]{64}\.json|attestations\/[0-9a-f]{64}\.sigstore\.json|blobs\/[0-9a-f]{64}|history\/[0-9a-f]{64}(?:\.proof)?)$/;

/**
 * The JSON document: canonical JSON (RFC 8785) of this and nothing after it. A file is a string exactly when its
 * bytes are UTF-8 (a byte order mark stays in the text), else `{"base64": …}`: there is one encoding for one bundle.
 */
export interface BundleDocument {
  readonly files: Readonly<Record<string, string | { readonly base64: string }>>;
}

/** Bytes of the files in a JSON document, all together; larger bundles are directories or archives. */
export const BUNDLE_DOCUMENT_BYTES_MAX = 128 * 2 ** 20;
/** Products above this are not exported; a verifier counts them as withheld. */
export const BUNDLE_BLOB_BYTES_MAX = 64 * 2 ** 20;
