/**
 * Replays a run log as the state machine that it claims to record (evidence.md §3.13 step 8). An item goes
 *
 * ```
 * waiting ─fired→ running ─reconciled→ done | cancelled | failed ─retried→ waiting …
 *                                     └ asking ─answered→ waiting …, ─skipped→, ─denied→
 *    ├─skipped→ skipped | cancelled
 *    ├─denied→ denied
 *    └─decided→ done | failed, for an approval, which is never fired
 * ```
 * Every other step is refused. Closure (step 9) is followed on the way and reported apart.
 */
import { dependencyFormatOf, type DependencyFormat } from '@pangolin/contracts/dependency-document';
import type { Sha256 } from '@pangolin/contracts/digest';
import { isCancellation, type Cancellation } from '@pangolin/contracts/reasons';
import type { RunEvent } from '@pangolin/contracts/run-log';
import { closureProblem, type Producers } from './closure.ts';
import { isLost, unmetDependency, type Outcome } from './dependencies.ts';
import { pinnedBy, workspaceOf, type Plan, type PlannedItem } from './plan.ts';
import { DigestIndex, DigestMap } from './digest-index.ts';
import { quote, refuse } from './refusal.ts';
import { isObject } from './shape.ts';

type Of<K extends RunEvent['kind']> = Extract<RunEvent, { kind: K }>;
type Outputs = Of<'item.reconciled'>['outputs'];
export type Counts = Of<'run.completed'>['counts'];

interface ItemState {
  phase: 'waiting' | 'running' | 'asking' | Outcome;
  /** Attempts fired. */
  attempt: number;
  /** Of the last reconciled attempt. */
  reason: string;
  outputs: Outputs;
  /** To its last question; every attempt after that gets it. */
  answer?: Sha256;
}

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

const isOpen = (phase: ItemState['phase']): phase is 'waiting' | 'running' | 'asking' =>
  phase === 'waiting' || phase === 'running' || phase === 'asking';

const goesOnUnanswered = ({ raw }: PlannedItem): boolean =>
  isObject(raw.needsInput) && raw.needsInput.onTimeout === 'continue';

export class Replay {
  readonly #plan: Plan | undefined;
  readonly #planned = new Map<string, PlannedItem>();
  /** True while every document that declares items is there, so that no other item may appear. */
  #isWhole: boolean;
  /** Declared items that do not wait for the exit and have not ended. */
  #open = 0;
  #closed = false;
  readonly #items = new Map<string, ItemState>();
  readonly #attempts: Attempt[] = [];
  readonly #running = new Map<string, Attempt>();
  readonly #dispatches = new DigestMap<Attempt>();
  readonly #provenances = new DigestMap<Attempt>();
  readonly #blobs = new DigestIndex();
  readonly #dependencies: DependencyProduct[] = [];
  readonly #counts = { done: 0, failed: 0, skipped: 0, cancelled: 0, denied: 0 };
  #submitted: Of<'run.submitted'> | undefined;
  #completed: Of<'run.completed'> | undefined;
  /** What it was cancelled for. */
  #cancelled: Cancellation | undefined;
  #seq = 0;
  #at = '';
  #edges = 0;
  #unconfirmedEdges = 0;
  #closureProblem: string | undefined;

  /** @param plan undefined when the bundle withholds it: then nothing is known of declarations and dependencies. */
  constructor(plan: Plan | undefined) {
    this.#plan = plan;
    this.#isWhole = plan !== undefined;
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
        this.#blobs.add(event.plan.sha256);
        if (event.submission) this.#blobs.add(event.submission.sha256);
        return;
      case 'item.fired':
        return this.#fired(where, event);
      case 'item.reconciled':
        return this.#reconciled(where, event);
      case 'item.answered':
        return this.#answered(where, event);
      case 'item.retried':
        return this.#retried(where, event);
      case 'item.skipped':
        return this.#skipped(where, event);
      case 'item.denied':
        this.#end(where, event, 'denied');
        return;
      case 'item.decided':
        return this.#decided(where, event);
      case 'run.extended':
        return this.#extended(where, event, extension);
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

  #cancel(where: string, { reason, at }: Of<'run.cancelled'>): void {
    if (this.#cancelled) refuse(`${where} is there twice`);
    this.#cancelled = reason;
    if (reason !== 'RunTimedOut' || !this.#plan) return;
    const { timeoutMs } = this.#plan;
    const lastedMs = Date.parse(at) - Date.parse(this.#submitted!.at);
    if (timeoutMs === undefined || lastedMs < timeoutMs) refuse(`${where}: the run had not timed out`);
  }

  /** @throws Refusal when `items` do not fit what is there. */
  #declare(where: string, items: readonly PlannedItem[]): void {
    for (const item of items) {
      if (this.#planned.has(item.id)) refuse(`${where} declares the item ${quote(item.id)} that there is already`);
      this.#planned.set(item.id, item);
      if (!item.onExit) this.#open++;
      const workspace = workspaceOf(item);
      if (workspace !== undefined) this.#blobs.add(workspace);
      for (const digest of pinnedBy(item)) this.#blobs.add(digest);
    }
    if (!this.#isWhole) return;
    for (const { id, dependsOn } of items) {
      const unknown = dependsOn.find((source) => !this.#planned.has(source));
      if (unknown !== undefined) refuse(`${where}: ${quote(id)} depends on ${quote(unknown)}, which nothing declares`);
    }
  }

  #extended(where: string, event: Of<'run.extended'>, items: readonly PlannedItem[] | undefined): void {
    this.#blobs.add(event.items.sha256);
    const cause = event.cause;
    if (cause !== undefined && this.#outcomeOf(cause) === undefined) refuse(`${where}: ${quote(cause)} had not ended`);
    if (cause === undefined && (this.#closed || (this.#plan && !this.#plan.openEnded))) {
      refuse(`${where}: the run was not open for extensions`);
    }
    if (items === undefined) this.#isWhole = false;
    else this.#declare(where, items);
  }

  #item(where: string, itemId: string): ItemState {
    const known = this.#items.get(itemId);
    if (known) return known;
    if (this.#isWhole && !this.#planned.has(itemId)) refuse(`${where}: the plan has no item ${quote(itemId)}`);
    const item: ItemState = { phase: 'waiting', attempt: 0, reason: '', outputs: {} };
    this.#items.set(itemId, item);
    return item;
  }

  readonly #outcomeOf = (itemId: string): Outcome | undefined => {
    const phase = this.#items.get(itemId)?.phase;
    return phase === undefined || isOpen(phase) ? undefined : phase;
  };

  #move(itemId: string, item: ItemState, phase: ItemState['phase']): void {
    const others = this.#planned.get(itemId)?.onExit === false ? 1 : 0;
    if (!isOpen(item.phase)) {
      this.#counts[item.phase]--;
      this.#open += others;
    }
    if (!isOpen(phase)) {
      this.#counts[phase]++;
      this.#open -= others;
    }
    item.phase = phase;
  }

  /** What has to be true before an item is fired or decided. */
  #demandReady(where: string, itemId: string, planned: PlannedItem | undefined): void {
    if (!planned) return;
    if (this.#cancelled && !planned.onExit) refuse(`${where}: the run had been cancelled`);
    const unmet = unmetDependency(planned, this.#outcomeOf);
    if (unmet !== undefined) {
      refuse(`${where}: ${quote(itemId)} depends on ${quote(unmet)}, which had not ended as it has to`);
    }
    if (planned.onExit && this.#isWhole && this.#open > 0)
      refuse(`${where}: ${quote(itemId)} waits for the end of all others`);
  }

  #fired(where: string, event: Of<'item.fired'>): void {
    const item = this.#item(where, event.itemId);
    if (item.phase !== 'waiting') refuse(`${where}: ${quote(event.itemId)} is ${item.phase} and may not be fired`);
    if (event.answer?.sha256 !== item.answer) refuse(`${where}: it does not get the answer that was given`);
    if (event.attempt !== item.attempt + 1) refuse(`${where}: attempt ${event.attempt} follows ${item.attempt}`);
    const planned = this.#planned.get(event.itemId);
    if (planned?.executor === 'approval') refuse(`${where}: ${quote(event.itemId)} is an approval and runs nothing`);
    this.#demandReady(where, event.itemId, planned);
    const attempt = { itemId: event.itemId, attempt: event.attempt, firedLine: event.seq };
    if (!this.#dispatches.add(event.dispatch.sha256, attempt)) {
      refuse(`${where}: its dispatch statement was used before`);
    }
    this.#attempts.push(attempt);
    this.#running.set(event.itemId, attempt);
    this.#move(event.itemId, item, 'running');
    item.attempt = event.attempt;
    for (const input of Object.values(event.inputs)) {
      this.#edges++;
      if (input.from !== 'submission') continue;
      this.#blobs.add(input.sha256);
      if (!planned) this.#unconfirmedEdges++;
    }
    this.#closureProblem ??= closureProblem(where, event, planned, this.#producers);
  }

  readonly #producers: Producers = {
    outcomeOf: this.#outcomeOf,
    productOf: (itemId, output) => {
      const item = this.#items.get(itemId);
      if (item?.phase !== 'done') return undefined;
      return Object.hasOwn(item.outputs, output) ? item.outputs[output]!.sha256 : undefined;
    },
  };

  #reconciled(where: string, event: Of<'item.reconciled'>): void {
    const item = this.#item(where, event.itemId);
    if (item.phase !== 'running') refuse(`${where}: no attempt of ${quote(event.itemId)} was running`);
    if (event.attempt !== item.attempt) refuse(`${where}: attempt ${item.attempt} was running, not ${event.attempt}`);
    const outputs = Object.values(event.outputs);
    if (event.status === 'done' && (event.reason !== 'Succeeded' || event.partial))
      refuse(`${where}: done, but ${event.reason}`);
    if (event.status !== 'done' && event.reason === 'Succeeded') refuse(`${where}: ${event.status}, but Succeeded`);
    if ((event.status === 'waiting') !== (event.reason === 'WaitingForInput')) {
      refuse(`${where}: status ${event.status} and reason ${event.reason} contradict each other`);
    }
    if (event.status === 'waiting' && !event.result) refuse(`${where}: a question that no result holds`);
    if ((event.status === 'cancelled') !== isCancellation(event.reason)) {
      refuse(`${where}: status ${event.status} and reason ${event.reason} contradict each other`);
    }
    this.#demandTimeout(where, event);
    if (outputs.length > 0 !== (event.provenance !== undefined)) {
      refuse(`${where}: products and a provenance statement come together or not at all`);
    }
    if (outputs.length > 0 && !event.result) refuse(`${where}: products that no result names`);
    const attempt = this.#running.get(event.itemId)!;
    attempt.reconciledLine = event.seq;
    this.#running.delete(event.itemId);
    if (event.provenance) {
      if (!this.#provenances.add(event.provenance.sha256, attempt)) {
        refuse(`${where}: its provenance statement was used before`);
      }
    }
    if (event.result) {
      attempt.result = event.result.sha256;
      this.#blobs.add(event.result.sha256);
    }
    if (event.egress) this.#blobs.add(event.egress.sha256);
    for (const output of outputs) this.#blobs.add(output.sha256);
    for (const name in event.outputs) {
      const format = dependencyFormatOf(name);
      if (format) this.#dependencies.push({ attempt, name, format, sha256: event.outputs[name]!.sha256 });
    }
    this.#move(event.itemId, item, event.status === 'waiting' ? 'asking' : event.status);
    item.reason = event.reason;
    item.outputs = event.outputs;
  }

  #answered(where: string, event: Of<'item.answered'>): void {
    const item = this.#item(where, event.itemId);
    if (item.phase !== 'asking' || event.attempt !== item.attempt) {
      refuse(`${where}: attempt ${event.attempt} of ${quote(event.itemId)} had not asked`);
    }
    const planned = this.#planned.get(event.itemId);
    if (event.reason === 'InputTimedOut' && planned && !goesOnUnanswered(planned)) {
      refuse(`${where}: ${quote(event.itemId)} may not go on without an answer`);
    }
    this.#blobs.add(event.answer.sha256);
    this.#attempts.findLast(({ itemId }) => itemId === event.itemId)!.answeredLine = event.seq;
    this.#move(event.itemId, item, 'waiting');
    item.answer = event.answer.sha256;
  }

  #retried(where: string, event: Of<'item.retried'>): void {
    const item = this.#item(where, event.itemId);
    if (item.phase !== 'failed' || event.attempt !== item.attempt) {
      refuse(`${where}: attempt ${event.attempt} of ${quote(event.itemId)} had not just failed`);
    }
    if (event.reason !== item.reason) refuse(`${where}: the attempt failed with ${item.reason}, not ${event.reason}`);
    this.#move(event.itemId, item, 'waiting');
  }

  #skipped(where: string, event: Of<'item.skipped'>): void {
    if (isCancellation(event.reason)) {
      this.#demandTimeout(where, event);
      return this.#end(where, event, 'cancelled');
    }
    if (event.reason !== 'DependencyFailed') refuse(`${where}: an item is not skipped for ${event.reason}`);
    this.#end(where, event, 'skipped');
    const planned = this.#planned.get(event.itemId);
    if (planned && !isLost(planned, this.#outcomeOf)) {
      refuse(`${where}: no dependency of ${quote(event.itemId)} had ended otherwise`);
    }
  }

  /** The timeout of the run ends what is open then, and nothing else. */
  #demandTimeout(where: string, { itemId, reason }: Of<'item.reconciled' | 'item.skipped'>): void {
    if (reason !== 'RunTimedOut') return;
    if (this.#cancelled !== reason) refuse(`${where}: the run had not timed out`);
    if (this.#planned.get(itemId)?.onExit) refuse(`${where}: ${quote(itemId)} runs whatever happened`);
  }

  #end(where: string, event: Of<'item.skipped' | 'item.denied'>, phase: 'skipped' | 'cancelled' | 'denied'): void {
    const item = this.#item(where, event.itemId);
    if (item.phase !== 'waiting' && item.phase !== 'asking')
      refuse(`${where}: ${quote(event.itemId)} is ${item.phase} already`);
    if ((event.reason === 'InputTimedOut') !== (item.phase === 'asking') && !isCancellation(event.reason))
      refuse(`${where}: ${quote(event.itemId)} is ${item.phase}, and that is no end for ${event.reason}`);
    if (event.attempt !== item.attempt) refuse(`${where}: ${item.attempt} attempts were fired, not ${event.attempt}`);
    this.#move(event.itemId, item, phase);
  }

  #decided(where: string, event: Of<'item.decided'>): void {
    const item = this.#item(where, event.itemId);
    const planned = this.#planned.get(event.itemId);
    if (item.phase !== 'waiting' || item.attempt > 0)
      refuse(`${where}: ${quote(event.itemId)} was not open for a decision`);
    if (planned && planned.executor !== 'approval') refuse(`${where}: ${quote(event.itemId)} is no approval`);
    const reason = event.decision === 'approved' ? 'Approved' : 'Rejected';
    if (event.reason !== reason && event.reason !== 'ApprovalTimedOut') {
      refuse(`${where}: decision ${event.decision} and reason ${event.reason} contradict each other`);
    }
    this.#demandReady(where, event.itemId, planned);
    this.#move(event.itemId, item, event.decision === 'approved' ? 'done' : 'failed');
    item.reason = event.reason;
  }

  #finish(where: string, event: Of<'run.completed'>): void {
    for (const [itemId, item] of this.#items) {
      if (isOpen(item.phase)) refuse(`${where}: ${quote(itemId)} is still ${item.phase}`);
    }
    for (const itemId of this.#planned.keys()) {
      if (!this.#items.has(itemId)) refuse(`${where}: ${quote(itemId)} has no outcome`);
    }
    if (this.#plan?.openEnded && !this.#closed && !this.#cancelled) refuse(`${where}: the run was still open`);
    for (const phase of Object.keys(this.#counts) as (keyof Counts)[]) {
      if (event.counts[phase] !== this.#counts[phase]) {
        refuse(`${where}: ${this.#counts[phase]} items are ${phase}, not ${event.counts[phase]}`);
      }
    }
    const { failed, cancelled, denied } = this.#counts;
    // Skipped items alone were there for a failure that did not come: every other skip follows from one that is counted.
    const unsuccessful = failed + cancelled + denied > 0;
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
      items: Math.max(this.#planned.size, this.#items.size),
      planned: this.#planned,
      attempts: this.#attempts,
      dispatches: this.#dispatches,
      provenances: this.#provenances,
      blobs: this.#blobs,
      dependencies: this.#dependencies,
      edges: this.#edges,
      unconfirmedEdges: this.#unconfirmedEdges,
      ...(this.#closureProblem !== undefined && { closureProblem: this.#closureProblem }),
    };
  }
}
