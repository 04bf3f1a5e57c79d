/** What the controller publishes for readers: receipts, the run's status and its items. */
import type { Sha256 } from './digest.ts';
import type { ProductRef } from './output.ts';
import type { Phase, Reason } from './reasons.ts';

/** One problem in a submitted file. `file`, `line` and `column` (from 1) are there whenever the text has a place. */
export interface Problem {
  readonly file?: string;
  readonly line?: number;
  readonly column?: number;
  /** RFC 6901 pointer into the document, `` for the document itself. */
  readonly path: string;
  /** CamelCase, e.g. `UnknownField`, `DuplicateKey`, `Cycle`. */
  readonly code: string;
  readonly message: string;
  readonly hint?: string;
}

/** `receipts/<submission>.json`: every dropped file, good or bad, gets one. */
export interface Receipt {
  readonly schema: 'receipt/1';
  /** File name under inbox/ or control/. */
  readonly submission: string;
  readonly sha256: Sha256;
  readonly at: string;
  readonly verdict: 'accepted' | 'rejected';
  readonly kind: 'Run' | 'Queue' | 'Extension' | 'Control' | 'unknown';
  readonly run?: string;
  /** true: the same spec under the same id was admitted before; nothing changed. */
  readonly duplicate?: boolean;
  readonly actor: string;
  readonly errors: readonly Problem[];
}

export type RunPhase = 'running' | 'succeeded' | 'failed' | 'cancelled';

export interface Condition {
  readonly type: 'Admitted' | 'Completed' | 'Sealed';
  readonly status: 'True' | 'False';
  readonly reason: string;
  readonly message: string;
  readonly lastTransitionTime: string;
}

/** `runs/<run>/status.json`. */
export interface RunStatus {
  readonly schema: 'status/1';
  readonly run: string;
  readonly phase: RunPhase;
  readonly queue: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly actor: string;
  readonly submittedAt: string;
  readonly finishedAt?: string;
  readonly sealedAt?: string;
  /** Every phase that has items, and `total`. */
  readonly counts: Readonly<Partial<Record<Phase, number>> & { total: number }>;
  readonly conditions: readonly Condition[];
  /** The first 50 items that did not succeed. */
  readonly failed: readonly {
    readonly id: string;
    readonly phase: Phase;
    readonly reason: Reason;
    readonly message: string;
  }[];
  readonly updatedAt: string;
}

/** One line of `runs/<run>/items.ndjson`, in the order of the spec. */
export interface ItemStatus {
  readonly id: string;
  readonly phase: Phase;
  readonly reason: Reason;
  readonly message?: string;
  /** How many attempts were started. */
  readonly attempts: number;
  readonly depends_on?: readonly string[];
  readonly startedAt?: string;
  readonly finishedAt?: string;
  readonly durationMs?: number;
  /** When the next attempt is due, while it waits for a retry. */
  readonly retryAt?: string;
  readonly partial?: boolean;
  readonly patch?: ProductRef;
  readonly outputs?: Readonly<Record<string, ProductRef>>;
}
