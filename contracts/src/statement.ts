/** The in-toto Statements v1 that we sign (evidence.md §3.4). Payload bytes are always canonical JSON. */
import { canonicalBytes } from './canonical.ts';
import type { DigestSet, Sha256 } from './digest.ts';

export const STATEMENT_TYPE = 'https://in-toto.io/Statement/v1';
export const NS = 'https://pangolin.dev/attestation';
export const predicateTypes = {
  runSeal: `${NS}/run-seal/v1`,
  runHead: `${NS}/run-head/v1`,
  dispatch: `${NS}/dispatch/v1`,
  provenance: 'https://slsa.dev/provenance/v1',
} as const;
export const BUILD_TYPE = `${NS}/offload-item/v1`;
export const BUILDER_ID = `${NS}/serve@v1`;

export interface Subject {
  readonly name: string;
  readonly digest: DigestSet;
}

export interface Statement<P = unknown> {
  readonly _type: typeof STATEMENT_TYPE;
  readonly subject: readonly Subject[];
  readonly predicateType: string;
  readonly predicate: P;
}

export function statementBytes<P>(predicateType: string, subject: readonly Subject[], predicate: P): Buffer {
  return canonicalBytes({ _type: STATEMENT_TYPE, subject, predicateType, predicate } satisfies Statement<P>);
}

/** The tree over the first `size` lines of a run log. */
export interface RunTree {
  readonly hash: 'rfc6962-sha256';
  readonly size: number;
  readonly root: Sha256;
}

/** Predicate of a run head: how far a run had come while it went on. Its subject is that beginning of the log. */
export interface RunHead {
  readonly runId: string;
  readonly logOrigin: string;
  readonly tree: RunTree;
}

/** Predicate of the run seal: the one statement that closes a run. */
export interface RunSeal {
  readonly runId: string;
  readonly logOrigin: string;
  readonly tree: RunTree;
  readonly status: 'succeeded' | 'failed' | 'cancelled';
  readonly submittedAt: string;
  readonly completedAt: string;
  /** The heads that are in the deployment's log, the shortest first. */
  readonly heads: readonly Pick<RunTree, 'size' | 'root'>[];
  readonly attestations: 'none' | 'signed';
  readonly expects: {
    readonly timestamp: readonly string[];
    readonly witnesses: number;
    readonly anchor: readonly string[];
  };
}
