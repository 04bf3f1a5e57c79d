/** What one controller is made of, and the little it remembers between passes. */
import type { Logger } from 'pino';
import type { Signer } from '@pangolin/contracts/dsse';
import type { ObjectStore } from '@pangolin/storage/object-store';
import type { ComputeProvider } from '../providers/provider.ts';
import type { EvidenceStore } from '../store/evidence.ts';
import type { ItemRow, RunRow } from '../store/rows.ts';
import type { StateStore } from '../store/state.ts';
import type { AdmittedPattern } from '@pangolin/contracts/pattern';
import type { AdmittedItem } from '@pangolin/contracts/admitted-run';
import type { Reason } from '@pangolin/contracts/reasons';
import type { Shape } from '@pangolin/contracts/shape';
import type { Admission } from './admission.ts';
import type { Handover } from '../secrets/handover.ts';
import { Locks } from './locks.ts';
import type { Queues } from './queues.ts';
import type { GivenValues, TaskFiles } from './task-files.ts';

export const ENGINE = { name: 'pangolin', version: '0.1.0' } as const;
export const ACTOR = 'service:controller';

export interface EngineConfig {
  /** Tasks of all queues together. */
  readonly tasksMax: number;
  /** SIGTERM to SIGKILL. */
  readonly graceMs: number;
  /** From the start of a task to its boot record. */
  readonly bootMs: number;
  /** The level-triggered look at everything behind the events. */
  readonly resyncMs: number;
}

export interface Engine {
  readonly state: StateStore;
  readonly evidence: EvidenceStore;
  readonly attest: Signer;
  readonly logOrigin: string;
  /** Part of every task's name, so that two deployments on one backend leave each other alone. */
  readonly deployment: string;
  readonly store: ObjectStore;
  readonly provider: ComputeProvider;
  readonly files: TaskFiles;
  readonly admission: Admission;
  readonly secrets: Handover;
  readonly config: EngineConfig;
  readonly log: Logger;
  readonly now: () => number;
  /** Asks for another pass; many calls make one. */
  readonly wake: () => void;
  readonly memory: Memory;
}

/** Derived from the rows and rebuilt from them at any time; losing it loses nothing. */
export class Memory {
  readonly queues: Queues;
  readonly locks = new Locks();
  /** Run → the last place that one of its items took in the queue; written back when the run grows. */
  readonly runTags = new Map<number, number>();
  /** Tasks whose state may have changed. */
  readonly dirty = new Set<string>();
  /** The controller is told to stop: nothing new is started. */
  draining = false;
  /** Tasks whose start is under way: what the backend says of them is not news. */
  readonly starting = new Set<string>();
  /** Tasks that this controller itself has started: one that is still on its way is not somebody's unfinished start. */
  readonly started = new Set<string>();
  /** Tasks that this controller has told to stop. */
  readonly stopped = new Set<string>();
  /** Files of due slots that this controller has dropped. */
  readonly slotsSubmitted = new Set<string>();
  /** Starts that the backend refused. */
  readonly startErrors = new Map<string, { readonly reason: Reason; readonly message: string }>();
  /** The patterns of the runs that have one, as they were read. */
  readonly patterns = new Map<number, AdmittedPattern>();
  /** Shapes by digest, as they were read. */
  readonly shapes = new Map<string, Shape>();
  /** Runs with items that may all be terminal now. */
  readonly touched = new Set<number>();

  constructor(queues: Queues) {
    this.queues = queues;
  }

  runTag(run: RunRow): number {
    return this.runTags.get(run.rn) ?? run.tag;
  }

  /** Inside the transaction that moved them. */
  saveRunTags(state: StateStore): void {
    for (const [rn, tag] of this.runTags) state.turns.setRunTag(rn, tag);
    this.runTags.clear();
  }

  take(item: ItemRow, spec: AdmittedItem): void {
    this.locks.take(item.iid, spec.resourceLocks);
    this.queues.started(item.queue, item.tag);
  }

  release(item: ItemRow, spec: AdmittedItem): void {
    this.locks.release(item.iid, spec.resourceLocks);
    this.queues.get(item.queue).active -= 1;
  }

  rebuild(state: StateStore): void {
    // Who waits only because a lock was kept for somebody would not be told that it is not any more.
    if (this.locks.isKeeping) state.turns.wakeAllWaiters();
    this.locks.clear();
    this.queues.reload();
    this.queues.resetActive();
    this.runTags.clear();
    this.patterns.clear();
    for (const item of state.activeItems()) {
      this.locks.take(item.iid, specOf(item).resourceLocks);
      this.queues.get(item.queue).active += 1;
      this.dirty.add(item.task!);
    }
  }
}

export function specOf(item: ItemRow): AdmittedItem {
  return JSON.parse(item.spec) as AdmittedItem;
}

/** What the item's task gets besides the manifest, which has the digests of it. */
export const givenTo = (item: ItemRow): GivenValues => ({
  params: specOf(item).params,
  answer: item.answer === null ? undefined : (JSON.parse(item.answer) as Record<string, unknown>),
});
