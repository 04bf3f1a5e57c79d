/** What the steps of one attempt share. */
import type { Output } from '@pangolin/contracts/output';
import type { Assignment } from './assignment.ts';
import type { PatchProduct } from './capture/patch.ts';
import type { Egress } from './egress.ts';
import type { LogWriter } from './log-writer.ts';
import type { WorkerOptions } from './options.ts';
import type { AttemptPlace } from './attempt-place.ts';
import type { Secrets } from './secrets.ts';
import type { Staged } from './stage/stage.ts';

export interface Attempt {
  readonly assignment: Assignment;
  readonly options: WorkerOptions;
  readonly place: AttemptPlace;
  readonly log: LogWriter;
  /** Aborted with an AttemptFailure when the time is up or the worker is told to stop: no further block runs. */
  readonly halt: AbortSignal;
  /** Aborted when what is left of the grace period is only enough to write output.json. */
  readonly giveUp: AbortSignal;
  readonly staged: Staged;
  readonly egress: Egress;
  readonly secrets: Secrets;
}

/** What captures have fixed so far. */
export interface Products {
  patch?: PatchProduct;
  outputs?: Output['products']['outputs'];
}
