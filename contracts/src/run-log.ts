/** The events of a run (evidence.md §3.2): one canonical JSON line each, the lines are the leaves of the run's tree. */
import type { DigestSet } from './digest.ts';
import type { InputRef } from './task.ts';
import type { Cancellation, Reason } from './reasons.ts';

export const RUN_LOG_SCHEMA = 'run-log/1';

/** What a policy said of an attempt before it was fired: by whom it was asked for, and on whose behalf. Only where one was evaluated. */
export interface Authorization<Verdict extends 'allow' | 'deny'> {
  readonly verdict: Verdict;
  /** As `actor`. */
  readonly principal: string;
  /** The policy, pinned by its digest. */
  readonly policy: DigestSet;
  readonly onBehalfOf?: string;
}

/**
 * Every event without its envelope. Two fields go beyond evidence.md: `item.reconciled` carries the `reason`
 * and says `partial`, and `counts` has `cancelled`; an auditor asks for both first.
 */
export type RunEventBody =
  | {
      readonly kind: 'run.submitted';
      readonly schema: typeof RUN_LOG_SCHEMA;
      readonly logOrigin: string;
      /** Digest of `spec.json`, the admitted run. */
      readonly plan: DigestSet;
      /** Digest of the submitted file. */
      readonly submission?: DigestSet;
      readonly nonce: string;
      /** The newest checkpoint of the log at that time. `note`: digest of it as a signed note, when witnesses had cosigned it: the run is younger than their times. */
      readonly after?: { readonly size: number; readonly root: string; readonly note?: DigestSet };
      readonly engine: { readonly name: string; readonly version: string; readonly image?: string };
    }
  | {
      readonly kind: 'item.fired';
      readonly itemId: string;
      readonly attempt: number;
      /** Payload digest of the dispatch statement. */
      readonly dispatch: DigestSet;
      /** Of the last `item.answered`, if any. */
      readonly answer?: DigestSet;
      readonly inputs: Readonly<Record<string, InputRef>>;
      readonly authz?: Authorization<'allow'>;
    }
  | {
      /** The end of an attempt: exactly one for every `item.fired`. */
      readonly kind: 'item.reconciled';
      readonly itemId: string;
      readonly attempt: number;
      /** `waiting`: its blocks ask something; `result` holds the question. */
      readonly status: 'done' | 'failed' | 'cancelled' | 'waiting';
      readonly reason: Reason;
      /** Digest of the worker's output.json, when there is one. */
      readonly result?: DigestSet;
      /** `patch` and `outputs/<path>` → digest. Empty unless products were accepted. */
      readonly outputs: Readonly<Record<string, DigestSet>>;
      readonly partial?: true;
      /** Digest of the egress log of a task with an allow-list: what the controller's side saw of its network. */
      readonly egress?: DigestSet;
      /** Payload digest of the SLSA provenance statement; there iff `outputs` is not empty. */
      readonly provenance?: DigestSet;
    }
  /** Attempt `attempt` failed and another one will follow. */
  | { readonly kind: 'item.retried'; readonly itemId: string; readonly attempt: number; readonly reason: Reason }
  /** A person answered the question of attempt `attempt`, or the deadline lets the item go on without; another attempt follows. */
  | {
      readonly kind: 'item.answered';
      readonly itemId: string;
      readonly attempt: number;
      /** Of the Answer document. */
      readonly answer: DigestSet;
      readonly reason: 'Answered' | 'InputTimedOut';
    }
  /** The item ends without (another) attempt; `attempt` is how many were fired. */
  | { readonly kind: 'item.skipped'; readonly itemId: string; readonly attempt: number; readonly reason: Reason }
  | {
      readonly kind: 'item.denied';
      readonly itemId: string;
      readonly attempt: number;
      readonly reason: Reason;
      readonly authz?: Authorization<'deny'>;
    }
  /** A person, or the deadline, decided an approval: the item's outcome. `done` when approved, `failed` when rejected. */
  | {
      readonly kind: 'item.decided';
      readonly itemId: string;
      readonly decision: 'approved' | 'rejected';
      readonly reason: Reason;
      readonly comment?: string;
    }
  /** `cause`: the item whose end made the run grow; absent when an operator extended it. `items`: digest of the Extension. */
  | { readonly kind: 'run.extended'; readonly cause?: string; readonly items: DigestSet }
  /**
   * No attempt is fired until the run is resumed or cancelled. With `queue` it is this queue of the run that is paused, or was when
   * the run was admitted: none is fired until that is resumed. The two pauses are independent.
   */
  | { readonly kind: 'run.paused'; readonly queue?: string }
  | { readonly kind: 'run.resumed'; readonly queue?: string }
  /** An open-ended run takes no more extensions. */
  | { readonly kind: 'run.closed' }
  /** What is open ends as `cancelled`, with this reason where nobody had cancelled it before; but for onExit items. */
  | { readonly kind: 'run.cancelled'; readonly reason: Cancellation; readonly comment?: string }
  | {
      readonly kind: 'run.completed';
      readonly status: 'succeeded' | 'failed' | 'cancelled';
      readonly counts: {
        readonly done: number;
        readonly failed: number;
        readonly skipped: number;
        readonly cancelled: number;
        readonly denied: number;
      };
    };

/** What every line adds: `seq` from 0 without gaps, `at` never going back. */
export interface RunEventEnvelope {
  readonly runId: string;
  readonly seq: number;
  readonly at: string;
  /** `human:`, `agent:`, `service:` or `pattern:<queue>`. */
  readonly actor: string;
}

export type RunEvent = RunEventBody & RunEventEnvelope;
