/** Which items a run has, and where each of them stands. */
import type { Sha256 } from '@pangolin/contracts/digest';
import { unmetDependency, type Outcome } from '../dependencies.ts';
import type { PlannedItem } from '../plan.ts';
import { quote, refuse } from '../refusal.ts';
import type { Counts, Of } from './result.ts';

interface ItemState {
  phase: 'waiting' | 'running' | 'asking' | Outcome;
  /** Attempts fired. */
  attempt: number;
  /** Of the last reconciled attempt. */
  reason: string;
  outputs: Of<'item.reconciled'>['outputs'];
  /** To its last question; every attempt after that gets it. */
  answer?: Sha256;
}

const isOpen = (phase: ItemState['phase']): phase is 'waiting' | 'running' | 'asking' =>
  phase === 'waiting' || phase === 'running' || phase === 'asking';

export class Ledger {
  /** Declared items, by id. */
  readonly planned = new Map<string, PlannedItem>();
  readonly counts = { done: 0, failed: 0, skipped: 0, cancelled: 0, denied: 0 };
  readonly #items = new Map<string, ItemState>();
  /** True while every document that declares items is there, so that no other item may appear. */
  #isWhole: boolean;
  /** Declared items that do not wait for the exit and have not ended. */
  #open = 0;

  constructor(isWhole: boolean) {
    this.#isWhole = isWhole;
  }

  get size(): number {
    return Math.max(this.planned.size, this.#items.size);
  }

  /** A document that declares items is withheld. */
  withhold(): void {
    this.#isWhole = false;
  }

  /** @throws Refusal when `items` do not fit what is there. */
  declare(where: string, items: readonly PlannedItem[]): void {
    for (const item of items) {
      if (this.planned.has(item.id)) refuse(`${where} declares the item ${quote(item.id)} that there is already`);
      this.planned.set(item.id, item);
      if (!item.onExit) this.#open++;
    }
    if (!this.#isWhole) return;
    for (const { id, dependsOn } of items) {
      const unknown = dependsOn.find((source) => !this.planned.has(source));
      if (unknown !== undefined) refuse(`${where}: ${quote(id)} depends on ${quote(unknown)}, which nothing declares`);
    }
  }

  item(where: string, itemId: string): ItemState {
    const known = this.#items.get(itemId);
    if (known) return known;
    if (this.#isWhole && !this.planned.has(itemId)) refuse(`${where}: the plan has no item ${quote(itemId)}`);
    const item: ItemState = { phase: 'waiting', attempt: 0, reason: '', outputs: {} };
    this.#items.set(itemId, item);
    return item;
  }

  readonly outcomeOf = (itemId: string): Outcome | undefined => {
    const phase = this.#items.get(itemId)?.phase;
    return phase === undefined || isOpen(phase) ? undefined : phase;
  };

  move(itemId: string, item: ItemState, phase: ItemState['phase']): void {
    const others = this.planned.get(itemId)?.onExit === false ? 1 : 0;
    if (!isOpen(item.phase)) {
      this.counts[item.phase]--;
      this.#open += others;
    }
    if (!isOpen(phase)) {
      this.counts[phase]++;
      this.#open -= others;
    }
    item.phase = phase;
  }

  /** What has to be true before an item is fired or decided. */
  demandReady(where: string, itemId: string, planned: PlannedItem | undefined, isCancelled: boolean): void {
    if (!planned) return;
    if (isCancelled && !planned.onExit) refuse(`${where}: the run had been cancelled`);
    const unmet = unmetDependency(planned, this.outcomeOf);
    if (unmet !== undefined) {
      refuse(`${where}: ${quote(itemId)} depends on ${quote(unmet)}, which had not ended as it has to`);
    }
    if (planned.onExit && this.#isWhole && this.#open > 0)
      refuse(`${where}: ${quote(itemId)} waits for the end of all others`);
  }

  /** The digest of a product of an item that is done. */
  readonly productOf = (itemId: string, output: string): Sha256 | undefined => {
    const item = this.#items.get(itemId);
    if (item?.phase !== 'done') return undefined;
    return Object.hasOwn(item.outputs, output) ? item.outputs[output]!.sha256 : undefined;
  };

  /** At the end of a run every item has one outcome. @throws Refusal */
  demandEnded(where: string): void {
    for (const [itemId, item] of this.#items) {
      if (isOpen(item.phase)) refuse(`${where}: ${quote(itemId)} is still ${item.phase}`);
    }
    for (const itemId of this.planned.keys()) {
      if (!this.#items.has(itemId)) refuse(`${where}: ${quote(itemId)} has no outcome`);
    }
  }

  /** As many items have ended in each way as is said. @throws Refusal */
  demandCounts(where: string, counts: Counts): void {
    for (const phase of Object.keys(this.counts) as (keyof Counts)[]) {
      if (counts[phase] !== this.counts[phase]) {
        refuse(`${where}: ${this.counts[phase]} items are ${phase}, not ${counts[phase]}`);
      }
    }
  }
}
