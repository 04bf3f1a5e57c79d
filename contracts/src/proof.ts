/**
 * The evidence of one item alone: a canonical JSON document (RFC 8785) of a few kilobytes that leads from each event of
 * the item to the seal of its run, and from the seal to the log of the deployment.
 *
 * It shows that its events are in the sealed log. It cannot show that no later event of the item was left out: only the
 * whole log can.
 */
import type { SigstoreBundle } from './sigstore-bundle.ts';

export const PROOF_SCHEMA = 'pangolin-proof/1';
/** Bytes of one such document; an item with more attempts than fit needs the bundle of its run. */
export const PROOF_BYTES_MAX = 32 * 2 ** 20;

export interface ItemProof {
  readonly schema: typeof PROOF_SCHEMA;
  readonly runId: string;
  readonly itemId: string;
  /** `seal.sigstore.json` of the run, as it is. */
  readonly seal: SigstoreBundle;
  /** Every event of the item, in the order of the log. */
  readonly events: readonly {
    /** Of the line in `events.jsonl`. */
    readonly index: number;
    /** Without its line feed. */
    readonly line: string;
    /** RFC 9162 §2.1.3.1 in the tree of the whole log, base64. */
    readonly path: readonly string[];
  }[];
  /** The signed statements that these events name, in their order; each a Sigstore bundle without log entry. */
  readonly statements: readonly SigstoreBundle[];
}

/** True for bytes that start as such a document does, and no bundle does. */
export function looksLikeProof(start: Uint8Array): boolean {
  return Buffer.from(start.subarray(0, 10)).toString('latin1') === '{"events":';
}
