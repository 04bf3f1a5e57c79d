/** Replays a run log as the state machine that it claims to record (evidence.md §3.13 step 8): the steps of the run. */
import type { RunEvent } from '@pangolin/contracts/run-log';
import type { Plan, PlannedItem } from '../plan.ts';
import { quote, refuse } from '../refusal.ts';
import { ItemSteps } from './items.ts';
import { Ledger } from './ledger.ts';
import { Named } from './named.ts';
import type { Of, ReplayResult } from './result.ts';

export class Replay {
  readonly #plan: Plan | undefined;
  readonly #ledger: Ledger;
  readonly #named = new Named();
  readonly #items: ItemSteps;
  #submitted: Of<'run.submitted'> | undefined;
  #completed: Of<'run.completed'> | undefined;
  #closed = false;
  readonly #paused = new Set<'run' | 'queue'>();
  #seq = 0;
  #at = '';

  /** @param plan undefined when the bundle withholds it: then nothing is known of declarations and dependencies. */
  constructor(plan: Plan | undefined) {
    this.#plan = plan;
    this.#ledger = new Ledger(plan !== undefined);
    this.#items = new ItemSteps(this.#ledger, this.#named);
    this.#declare('the plan', plan?.items ?? []);
  }

  /**
   * Takes the next line. @throws Refusal
   * @param extension the items that a `run.extended` appends; undefined when the bundle withholds them.
   */
  step(event: RunEvent, extension?: readonly PlannedItem[]): void {
    const where = `event ${this.#seq} (${event.kind})`;
    if (event.seq !== this.#seq) refuse(`${where} says that it is event ${event.seq}`);
    if (event.at < this.#at) refuse(`${where} is earlier than the one before it`);
    if (this.#completed) refuse(`${where} comes after the run was completed`);
    if (this.#submitted === undefined) {
      if (event.kind !== 'run.submitted') return refuse(`${where} comes before the run was submitted`);
      this.#submitted = event;
    }
    if (event.runId !== this.#submitted.runId) refuse(`${where} is of another run`);
    this.#apply(where, event, extension);
    this.#seq++;
    this.#at = event.at;
  }

  #apply(where: string, event: RunEvent, extension: readonly PlannedItem[] | undefined): void {
    switch (event.kind) {
      case 'run.submitted':
        if (event.seq !== 0) refuse(`${where} is there twice`);
        this.#named.blobs.add(event.plan.sha256);
        if (event.submission) this.#named.blobs.add(event.submission.sha256);
        return;
      case 'item.fired':
        for (const what of this.#paused) refuse(`${where}: the ${what} was paused`);
        return this.#items.fired(where, event);
      case 'item.reconciled':
        return this.#items.reconciled(where, event);
      case 'item.answered':
        return this.#items.answered(where, event);
      case 'item.retried':
        return this.#items.retried(where, event);
      case 'item.skipped':
        return this.#items.skipped(where, event);
      case 'item.denied':
        this.#items.end(where, event, 'denied');
        this.#named.denied(event);
        return;
      case 'item.decided':
        return this.#items.decided(where, event);
      case 'run.extended':
        return this.#extended(where, event, extension);
      case 'run.paused':
      case 'run.resumed':
        return this.#pause(where, event);
      case 'run.closed':
        if (this.#closed) refuse(`${where} is there twice`);
        if (this.#plan && !this.#plan.openEnded) refuse(`${where}: the run was never open`);
        this.#closed = true;
        return;
      case 'run.cancelled':
        return this.#cancel(where, event);
      case 'run.completed':
        return this.#finish(where, event);
    }
  }

  #pause(where: string, { kind, queue }: Of<'run.paused' | 'run.resumed'>): void {
    if (queue !== undefined && this.#plan && queue !== this.#plan.queue)
      refuse(`${where}: the run is of another queue`);
    const what = queue === undefined ? 'run' : 'queue';
    if (this.#paused.has(what) === (kind === 'run.paused')) refuse(`${where} changes nothing`);
    if (kind === 'run.paused') this.#paused.add(what);
    else this.#paused.delete(what);
  }

  #cancel(where: string, { reason, at }: Of<'run.cancelled'>): void {
    if (this.#items.cancelled) refuse(`${where} is there twice`);
    this.#items.cancelled = reason;
    this.#paused.delete('run');
    if (reason !== 'RunTimedOut' || !this.#plan) return;
    const { timeoutMs } = this.#plan;
    const lastedMs = Date.parse(at) - Date.parse(this.#submitted!.at);
    if (timeoutMs === undefined || lastedMs < timeoutMs) refuse(`${where}: the run had not timed out`);
  }

  #declare(where: string, items: readonly PlannedItem[]): void {
    this.#ledger.declare(where, items);
    this.#named.declared(items);
  }

  #extended(where: string, event: Of<'run.extended'>, items: readonly PlannedItem[] | undefined): void {
    this.#named.blobs.add(event.items.sha256);
    const cause = event.cause;
    if (cause !== undefined && this.#ledger.outcomeOf(cause) === undefined)
      refuse(`${where}: ${quote(cause)} had not ended`);
    if (cause === undefined && (this.#closed || (this.#plan && !this.#plan.openEnded))) {
      refuse(`${where}: the run was not open for extensions`);
    }
    if (items === undefined) this.#ledger.withhold();
    else this.#declare(where, items);
  }

  #finish(where: string, event: Of<'run.completed'>): void {
    this.#ledger.demandEnded(where);
    if (this.#plan?.openEnded && !this.#closed && !this.#items.cancelled) refuse(`${where}: the run was still open`);
    this.#ledger.demandCounts(where, event.counts);
    const { failed, cancelled, denied } = this.#ledger.counts;
    // Skipped items alone were there for a failure that did not come: every other skip follows from one that is counted.
    const unsuccessful = failed + cancelled + denied > 0;
    const status = this.#items.cancelled ? 'cancelled' : unsuccessful ? 'failed' : 'succeeded';
    if (event.status !== status) refuse(`${where}: the run ${status}, it did not end as ${event.status}`);
    this.#completed = event;
  }

  /** @throws Refusal when there was no event at all. */
  end(): ReplayResult {
    const { planned, counts, size: items } = this.#ledger;
    const { attempts, authorized, dispatches, provenances, blobs, dependencies } = this.#named;
    const { edges, unconfirmedEdges, closureProblem } = this.#items;
    return {
      submitted: this.#submitted ?? refuse('the log is empty'),
      ...(this.#completed && { completed: this.#completed }),
      lastAt: this.#at,
      counts,
      items,
      planned,
      attempts,
      authorized,
      dispatches,
      provenances,
      blobs,
      dependencies,
      edges,
      unconfirmedEdges,
      ...(closureProblem !== undefined && { closureProblem }),
    };
  }
}
