/**
 * Replays a run log as the state machine that it claims to record (evidence.md §3.13 step 8). An item goes
 *
 * ```
 * waiting ─fired→ running ─reconciled→ done | cancelled | failed ─retried→ waiting …
 *    └─skipped→ skipped      └ from waiting only ┘  └─denied→ denied
 * ```
 * Every other step is refused. Closure (step 9) is followed on the way and reported apart.
 */
import type { Sha256 } from '@pangolin/contracts/digest';
import type { RunEvent } from '@pangolin/contracts/run-log';
import { closureProblem, type ProducerOf } from './closure.ts';
import type { Plan } from './plan.ts';
import { quote, refuse } from './refusal.ts';

type Of<K extends RunEvent['kind']> = Extract<RunEvent, { kind: K }>;
type Outputs = Of<'item.reconciled'>['outputs'];
export type Counts = Of<'run.completed'>['counts'];

interface ItemState {
  phase: 'waiting' | 'running' | keyof Counts;
  /** Attempts fired. */
  attempt: number;
  /** Of the last reconciled attempt. */
  reason: string;
  outputs: Outputs;
}

/** One attempt, by the lines of the log that tell of it. */
export interface Attempt {
  readonly itemId: string;
  readonly attempt: number;
  readonly firedLine: number;
  reconciledLine?: number;
  /** Digest of the worker's output.json, when there was one. */
  result?: Sha256;
}

export interface ReplayResult {
  readonly submitted: Of<'run.submitted'>;
  /** Absent while the run goes on. */
  readonly completed?: Of<'run.completed'>;
  readonly lastAt: string;
  readonly counts: Counts;
  readonly items: number;
  readonly attempts: readonly Attempt[];
  /** Payload digest → the attempt that it is of. */
  readonly dispatches: ReadonlyMap<Sha256, Attempt>;
  readonly provenances: ReadonlyMap<Sha256, Attempt>;
  /** Every other digest that events name: plan, submission, results, products, given inputs. */
  readonly blobs: ReadonlySet<Sha256>;
  readonly edges: number;
  /** Edges from the submission that nothing in the bundle confirms. */
  readonly unconfirmedEdges: number;
  readonly closureProblem?: string;
}

export class Replay {
  readonly #plan: Plan | undefined;
  readonly #items = new Map<string, ItemState>();
  readonly #attempts: Attempt[] = [];
  readonly #running = new Map<string, Attempt>();
  readonly #dispatches = new Map<Sha256, Attempt>();
  readonly #provenances = new Map<Sha256, Attempt>();
  readonly #blobs = new Set<Sha256>();
  readonly #counts = { done: 0, failed: 0, skipped: 0, cancelled: 0, denied: 0 };
  #submitted: Of<'run.submitted'> | undefined;
  #completed: Of<'run.completed'> | undefined;
  #cancelled = false;
  #seq = 0;
  #at = '';
  #edges = 0;
  #unconfirmedEdges = 0;
  #closureProblem: string | undefined;

  /** @param plan undefined when the bundle withholds it: then nothing is known of declarations and dependencies. */
  constructor(plan: Plan | undefined) {
    this.#plan = plan;
  }

  /** Takes the next line. @throws Refusal */
  step(event: RunEvent): void {
    const where = `event ${this.#seq} (${event.kind})`;
    if (event.seq !== this.#seq) refuse(`${where} says that it is event ${event.seq}`);
    if (event.at < this.#at) refuse(`${where} is earlier than the one before it`);
    if (this.#completed) refuse(`${where} comes after the run was completed`);
    if (this.#submitted === undefined) {
      if (event.kind !== 'run.submitted') return refuse(`${where} comes before the run was submitted`);
      this.#submitted = event;
    }
    if (event.runId !== this.#submitted.runId) refuse(`${where} is of another run`);
    this.#apply(where, event);
    this.#seq++;
    this.#at = event.at;
  }

  #apply(where: string, event: RunEvent): void {
    switch (event.kind) {
      case 'run.submitted':
        if (event.seq !== 0) refuse(`${where} is there twice`);
        this.#blobs.add(event.plan.sha256);
        if (event.submission) this.#blobs.add(event.submission.sha256);
        return;
      case 'item.fired':
        return this.#fired(where, event);
      case 'item.reconciled':
        return this.#reconciled(where, event);
      case 'item.retried':
        return this.#retried(where, event);
      case 'item.skipped':
        return this.#skipped(where, event);
      case 'item.denied':
        this.#end(where, event, 'denied');
        return;
      case 'run.extended':
        return refuse(`${where} cannot be checked by this version`);
      case 'run.cancelled':
        if (this.#cancelled) refuse(`${where} is there twice`);
        this.#cancelled = true;
        return;
      case 'run.completed':
        return this.#finish(where, event);
    }
  }

  #item(where: string, itemId: string): ItemState {
    const known = this.#items.get(itemId);
    if (known) return known;
    if (this.#plan && !this.#plan.items.has(itemId)) refuse(`${where}: the plan has no item ${quote(itemId)}`);
    const item: ItemState = { phase: 'waiting', attempt: 0, reason: '', outputs: {} };
    this.#items.set(itemId, item);
    return item;
  }

  #fired(where: string, event: Of<'item.fired'>): void {
    const item = this.#item(where, event.itemId);
    if (item.phase !== 'waiting') refuse(`${where}: ${quote(event.itemId)} is ${item.phase} and may not be fired`);
    if (event.attempt !== item.attempt + 1) refuse(`${where}: attempt ${event.attempt} follows ${item.attempt}`);
    if (this.#cancelled) refuse(`${where}: the run had been cancelled`);
    const planned = this.#plan?.items.get(event.itemId);
    const unmet = planned?.dependsOn.find((source) => this.#items.get(source)?.phase !== 'done');
    if (unmet !== undefined) refuse(`${where}: ${quote(event.itemId)} depends on ${quote(unmet)}, which was not done`);
    if (this.#dispatches.has(event.dispatch.sha256)) refuse(`${where}: its dispatch statement was used before`);
    const attempt = { itemId: event.itemId, attempt: event.attempt, firedLine: event.seq };
    this.#attempts.push(attempt);
    this.#running.set(event.itemId, attempt);
    this.#dispatches.set(event.dispatch.sha256, attempt);
    item.phase = 'running';
    item.attempt = event.attempt;
    for (const input of Object.values(event.inputs)) {
      this.#edges++;
      if (input.from !== 'submission') continue;
      this.#blobs.add(input.sha256);
      if (!planned) this.#unconfirmedEdges++;
    }
    this.#closureProblem ??= closureProblem(where, event, planned, this.#producer);
  }

  readonly #producer: ProducerOf = (itemId, output) => {
    const item = this.#items.get(itemId);
    if (item?.phase !== 'done') return undefined;
    return Object.hasOwn(item.outputs, output) ? item.outputs[output]!.sha256 : undefined;
  };

  #reconciled(where: string, event: Of<'item.reconciled'>): void {
    const item = this.#item(where, event.itemId);
    if (item.phase !== 'running') refuse(`${where}: no attempt of ${quote(event.itemId)} was running`);
    if (event.attempt !== item.attempt) refuse(`${where}: attempt ${item.attempt} was running, not ${event.attempt}`);
    const outputs = Object.values(event.outputs);
    if (event.status === 'done' && (event.reason !== 'Succeeded' || event.partial))
      refuse(`${where}: done, but ${event.reason}`);
    if (event.status !== 'done' && event.reason === 'Succeeded') refuse(`${where}: ${event.status}, but Succeeded`);
    if ((event.status === 'cancelled') !== (event.reason === 'Cancelled')) {
      refuse(`${where}: status ${event.status} and reason ${event.reason} contradict each other`);
    }
    if (outputs.length > 0 !== (event.provenance !== undefined)) {
      refuse(`${where}: products and a provenance statement come together or not at all`);
    }
    if (outputs.length > 0 && !event.result) refuse(`${where}: products that no result names`);
    const attempt = this.#running.get(event.itemId)!;
    attempt.reconciledLine = event.seq;
    this.#running.delete(event.itemId);
    if (event.provenance) {
      if (this.#provenances.has(event.provenance.sha256)) refuse(`${where}: its provenance statement was used before`);
      this.#provenances.set(event.provenance.sha256, attempt);
    }
    if (event.result) {
      attempt.result = event.result.sha256;
      this.#blobs.add(event.result.sha256);
    }
    for (const output of outputs) this.#blobs.add(output.sha256);
    item.phase = event.status;
    item.reason = event.reason;
    item.outputs = event.outputs;
    this.#counts[event.status]++;
  }

  #retried(where: string, event: Of<'item.retried'>): void {
    const item = this.#item(where, event.itemId);
    if (item.phase !== 'failed' || event.attempt !== item.attempt) {
      refuse(`${where}: attempt ${event.attempt} of ${quote(event.itemId)} had not just failed`);
    }
    if (event.reason !== item.reason) refuse(`${where}: the attempt failed with ${item.reason}, not ${event.reason}`);
    item.phase = 'waiting';
    this.#counts.failed--;
  }

  #skipped(where: string, event: Of<'item.skipped'>): void {
    if (event.reason === 'Cancelled') return this.#end(where, event, 'cancelled');
    if (event.reason !== 'DependencyFailed') refuse(`${where}: an item is not skipped for ${event.reason}`);
    this.#end(where, event, 'skipped');
    const planned = this.#plan?.items.get(event.itemId);
    if (planned && !planned.dependsOn.some((source) => FAILED.has(this.#items.get(source)?.phase))) {
      refuse(`${where}: no dependency of ${quote(event.itemId)} had failed`);
    }
  }

  #end(where: string, event: Of<'item.skipped' | 'item.denied'>, phase: 'skipped' | 'cancelled' | 'denied'): void {
    const item = this.#item(where, event.itemId);
    if (item.phase !== 'waiting') refuse(`${where}: ${quote(event.itemId)} is ${item.phase} already`);
    if (event.attempt !== item.attempt) refuse(`${where}: ${item.attempt} attempts were fired, not ${event.attempt}`);
    item.phase = phase;
    this.#counts[phase]++;
  }

  #finish(where: string, event: Of<'run.completed'>): void {
    for (const [itemId, item] of this.#items) {
      if (item.phase === 'waiting' || item.phase === 'running')
        refuse(`${where}: ${quote(itemId)} is still ${item.phase}`);
    }
    for (const itemId of this.#plan?.items.keys() ?? []) {
      if (!this.#items.has(itemId)) refuse(`${where}: ${quote(itemId)} has no outcome`);
    }
    for (const phase of Object.keys(this.#counts) as (keyof Counts)[]) {
      if (event.counts[phase] !== this.#counts[phase]) {
        refuse(`${where}: ${this.#counts[phase]} items are ${phase}, not ${event.counts[phase]}`);
      }
    }
    const { failed, skipped, cancelled, denied } = this.#counts;
    const unsuccessful = failed + skipped + cancelled + denied > 0;
    const status = this.#cancelled ? 'cancelled' : unsuccessful ? 'failed' : 'succeeded';
    if (event.status !== status) refuse(`${where}: the run ${status}, it did not end as ${event.status}`);
    this.#completed = event;
  }

  /** @throws Refusal when there was no event at all. */
  end(): ReplayResult {
    return {
      submitted: this.#submitted ?? refuse('the log is empty'),
      ...(this.#completed && { completed: this.#completed }),
      lastAt: this.#at,
      counts: this.#counts,
      items: this.#plan?.items.size ?? this.#items.size,
      attempts: this.#attempts,
      dispatches: this.#dispatches,
      provenances: this.#provenances,
      blobs: this.#blobs,
      edges: this.#edges,
      unconfirmedEdges: this.#unconfirmedEdges,
      ...(this.#closureProblem !== undefined && { closureProblem: this.#closureProblem }),
    };
  }
}

const FAILED: ReadonlySet<string | undefined> = new Set(['failed', 'skipped', 'cancelled', 'denied']);
