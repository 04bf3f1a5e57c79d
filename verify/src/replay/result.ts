/** What the replay of a run log tells. */
import type { DependencyFormat } from '@pangolin/contracts/dependency-document';
import type { Sha256 } from '@pangolin/contracts/digest';
import type { RunEvent } from '@pangolin/contracts/run-log';
import type { DigestIndex, DigestMap } from '../digest-index.ts';
import type { PlannedItem } from '../plan.ts';

export type Of<K extends RunEvent['kind']> = Extract<RunEvent, { kind: K }>;
export type Counts = Of<'run.completed'>['counts'];

/** One attempt, by the lines of the log that tell of it. */
export interface Attempt {
  readonly itemId: string;
  readonly attempt: number;
  readonly firedLine: number;
  reconciledLine?: number;
  /** Of the answer, when it asked and somebody answered. */
  answeredLine?: number;
  /** Digest of the worker's output.json, when there was one. */
  result?: Sha256;
  /** Digest of the egress log of its task, when there was one. */
  egress?: Sha256;
}

/** A product whose name says that it is dependency evidence. */
export interface DependencyProduct {
  readonly attempt: Attempt;
  /** `outputs/<path>`. */
  readonly name: string;
  readonly format: DependencyFormat;
  readonly sha256: Sha256;
}

export interface ReplayResult {
  readonly submitted: Of<'run.submitted'>;
  /** Absent while the run goes on. */
  readonly completed?: Of<'run.completed'>;
  readonly lastAt: string;
  readonly counts: Counts;
  readonly items: number;
  readonly attempts: readonly Attempt[];
  /** How many of them a policy allowed, by the events that fired them. */
  readonly authorized: number;
  /** Payload digest → the attempt that it is of. */
  readonly dispatches: Pick<DigestMap<Attempt>, 'get' | 'size'>;
  readonly provenances: Pick<DigestMap<Attempt>, 'get' | 'size'>;
  /** The items that are known, by id: those of the plan and of every extension that is in the bundle. */
  readonly planned: ReadonlyMap<string, PlannedItem>;
  /** Every other digest that events name: plan, extensions, submission, results, egress logs, products, given inputs; workspaces, and registered things. */
  readonly blobs: Pick<DigestIndex, 'has' | 'size'>;
  readonly dependencies: readonly DependencyProduct[];
  readonly edges: number;
  /** Edges from the submission that nothing in the bundle confirms. */
  readonly unconfirmedEdges: number;
  readonly closureProblem?: string;
}
