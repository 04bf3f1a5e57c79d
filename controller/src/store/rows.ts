/** The rows of the run-state, as they are read and written. */
import type { ProductRef } from '@pangolin/contracts/output';
import type { Phase, Reason } from '@pangolin/contracts/reasons';
import type { AdmittedRun, When } from '@pangolin/contracts/admitted-run';
import type { RunPhase } from '@pangolin/contracts/status';

export interface Products {
  readonly patch?: ProductRef;
  /** Path relative to outputs/ → its bytes. */
  readonly outputs: Readonly<Record<string, ProductRef>>;
  /** Digest of the output.json that names them, which is in cas/. */
  readonly result?: string;
  /** Digest of the log of its egress proxy, likewise. */
  readonly egress?: string;
}

export interface RunRow {
  readonly rn: number;
  readonly run_id: string;
  readonly queue: string;
  readonly spec: string;
  readonly plan: string;
  readonly labels: string;
  readonly actor: string;
  readonly submission: string;
  readonly phase: RunPhase;
  readonly cancelled: string | null;
  readonly open: number;
  readonly submitted_at: number;
  readonly finished_at: number | null;
  readonly sealed_at: number | null;
  readonly paused: number;
  readonly open_ended: number;
  readonly exits: number;
  readonly timeout_ms: number | null;
  readonly due_at: number | null;
  readonly tag: number;
  readonly spec_written: number;
  readonly changed: number;
  readonly patterned: number;
  readonly retry_of: string | null;
}

export interface ItemRow {
  readonly iid: number;
  readonly rn: number;
  readonly item_id: string;
  readonly queue: string;
  readonly spec: string;
  readonly phase: Phase;
  readonly reason: Reason;
  readonly message: string | null;
  readonly priority: number;
  readonly tag: number;
  readonly rank: number;
  readonly ready_at: number | null;
  readonly on_exit: number;
  readonly attempt: number;
  readonly charged: number;
  readonly infra: number;
  readonly parks: number;
  readonly runnable: number;
  readonly blocked_on: string | null;
  readonly due_at: number | null;
  readonly left_ms: number | null;
  readonly stop: Reason | null;
  readonly task: string | null;
  readonly dispatch: string | null;
  readonly statement: number | null;
  readonly started_at: number | null;
  readonly finished_at: number | null;
  readonly partial: number;
  readonly red: number;
  readonly products: string | null;
  readonly question: string | null;
  readonly answer: string | null;
}

export type Rule = 'done' | When;

export interface Edge {
  readonly src: number;
  readonly dst: number;
  readonly grp: string;
  readonly rule: Rule | 'any';
}

/** Columns that a transition may write. Absent ones stay as they are. */
export type ItemChange = Partial<
  Omit<ItemRow, 'iid' | 'rn' | 'item_id' | 'queue' | 'spec' | 'priority'> & {
    readonly products: string | null;
  }
>;

export interface NewRun {
  readonly run: AdmittedRun;
  readonly plan: string;
  readonly actor: string;
  readonly submission: string;
  readonly at: number;
  /** End of its timeout, or what is left of it while its queue is paused. */
  readonly due: { readonly due_at: number | null; readonly left_ms: number | null };
  /** Where its items begin in the queue. */
  readonly tag: number;
  readonly retryOf?: string;
}
