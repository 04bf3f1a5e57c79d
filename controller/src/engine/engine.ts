/** What one controller is made of, and the little it remembers between passes. */
import type { Logger } from 'pino';
import type { Signer } from '@pangolin/contracts/dsse';
import type { ObjectStore } from '@pangolin/storage/object-store';
import type { ComputeProvider } from '../providers/provider.ts';
import type { EvidenceStore } from '../store/evidence.ts';
import type { ItemRow, StateStore } from '../store/state.ts';
import type { AdmittedItem } from '@pangolin/contracts/run';
import type { Reason } from '@pangolin/contracts/reasons';
import type { Admission } from './admission.ts';
import type { TaskFiles } from './task-files.ts';

export const ENGINE = { name: 'pangolin', version: '0.1.0' } as const;
export const ACTOR = 'service:controller';

export interface EngineConfig {
  /** Named queues → how many of their items may hold a task at once. */
  readonly queues: ReadonlyMap<string, number>;
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
  readonly config: EngineConfig;
  readonly log: Logger;
  readonly now: () => number;
  /** Asks for another pass; many calls make one. */
  readonly wake: () => void;
  readonly memory: Memory;
}

/** Derived from the rows and rebuilt from them at any time; losing it loses nothing. */
export class Memory {
  /** Lock → the item that holds it. */
  readonly held = new Map<string, number>();
  /** Queue → items that hold a task. */
  readonly active = new Map<string, number>();
  /** Tasks whose state may have changed. */
  readonly dirty = new Set<string>();
  /** Tasks whose start is under way: what the backend says of them is not news. */
  readonly starting = new Set<string>();
  /** Starts that the backend refused. */
  readonly startErrors = new Map<string, { readonly reason: Reason; readonly message: string }>();
  /** Runs with items that may all be terminal now. */
  readonly touched = new Set<number>();

  take(item: ItemRow, spec: AdmittedItem): void {
    for (const lock of spec.resourceLocks) this.held.set(lock, item.iid);
    this.active.set(item.queue, (this.active.get(item.queue) ?? 0) + 1);
  }

  release(item: ItemRow, spec: AdmittedItem): void {
    for (const lock of spec.resourceLocks) this.held.delete(lock);
    this.active.set(item.queue, (this.active.get(item.queue) ?? 1) - 1);
  }

  rebuild(state: StateStore): void {
    this.held.clear();
    this.active.clear();
    for (const item of state.activeItems()) {
      this.take(item, specOf(item));
      this.dirty.add(item.task!);
    }
  }
}

export function specOf(item: ItemRow): AdmittedItem {
  return JSON.parse(item.spec) as AdmittedItem;
}
