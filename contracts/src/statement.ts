/** The in-toto Statements v1 that we sign (evidence.md §3.4). Payload bytes are always canonical JSON. */
import { canonicalBytes } from './canonical.ts';
import type { DigestSet, Sha256 } from './digest.ts';

export const STATEMENT_TYPE = 'https://in-toto.io/Statement/v1';
export const NS = 'https://pangolin.dev/attestation';
export const predicateTypes = {
  runSeal: `${NS}/run-seal/v1`,
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

/** Predicate of the run seal: the one statement that closes a run. */
export interface RunSeal {
  readonly runId: string;
  readonly logOrigin: string;
  readonly tree: { readonly hash: 'rfc6962-sha256'; readonly size: number; readonly root: Sha256 };
  readonly status: 'succeeded' | 'failed' | 'cancelled';
  readonly submittedAt: string;
  readonly completedAt: string;
  readonly heads: readonly { readonly size: number; readonly root: Sha256 }[];
  readonly attestations: 'none' | 'signed';
  readonly expects: {
    readonly timestamp: readonly string[];
    readonly witnesses: number;
    readonly anchor: readonly string[];
  };
}
