/**
 * Who may vouch for a seal from outside the deployment. All are optional, and none may block work: each has its own
 * deadline, and time stamps and cosignatures are undefined when it has given up; the seal then goes without. What is
 * thrown is tried again.
 */
import type { NoteSignature } from '@pangolin/contracts/note';

/** RFC 3161: says that the signature existed at a time. */
export interface TimestampAuthority {
  /** Named in the seal, so that a missing token shows. */
  readonly id: string;
  /** The TimeStampResp (DER) over SHA-256 of `signature`, in the normal form of evidence.md §3.9. */
  stamp(signature: Buffer): Promise<Buffer | undefined>;
}

/** C2SP tlog-witness: cosigns checkpoints of a log that it has only ever seen growing. */
export interface Witness {
  /** The name of its key, which is the one on its signature lines. */
  readonly name: string;
  /**
   * `oldSize` is what it has seen as far as is known here (0: nothing). `proofFrom` makes the proof that leads from a
   * tree of that size to the one of `note`, empty for 0; undefined for a size that is larger.
   */
  cosign(request: {
    readonly oldSize: number;
    readonly proofFrom: (oldSize: number) => readonly Buffer[] | undefined;
    readonly note: string;
  }): Promise<NoteSignature | undefined>;
  /**
   * The size that it says it has seen when that is more than `size`, or `size` itself when it has seen another log of
   * that size; else undefined. One try. @throws PangolinError when it gives no answer that can be used.
   */
  ahead(size: number, note: string): Promise<number | undefined>;
}

/** Keeps seals and checkpoints where the operator cannot change them. */
export interface Anchor {
  readonly id: string;
  /** Idempotent. @throws PangolinError CONFLICT when another seal of this run is there. */
  put(runId: string, seal: Buffer): Promise<void>;
  /** Idempotent. @throws PangolinError CONFLICT when another checkpoint of this size is there. */
  putCheckpoint(size: number, note: string): Promise<void>;
  /** The notes that are kept of checkpoints larger than `size`, genuine or not. One try. */
  checkpointsAfter(size: number): Promise<readonly string[]>;
}
