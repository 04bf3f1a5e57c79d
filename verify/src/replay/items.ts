/**
 * The steps of items. An item goes
 *
 * ```
 * waiting ─fired→ running ─reconciled→ done | cancelled | failed ─retried→ waiting …
 *                                     └ asking ─answered→ waiting …, ─skipped→, ─denied→
 *    ├─skipped→ skipped | cancelled
 *    ├─denied→ denied
 *    └─decided→ done | failed, for an approval, which is never fired
 * ```
 * Every other step is refused. Closure is followed on the way and reported apart.
 */
import { isCancellation, type Cancellation } from '@pangolin/contracts/reasons';
import { closureProblem } from '../closure.ts';
import { isLost } from '../dependencies.ts';
import type { PlannedItem } from '../plan.ts';
import { quote, refuse } from '../refusal.ts';
import { isObject } from '../shape.ts';
import type { Ledger } from './ledger.ts';
import type { Named } from './named.ts';
import type { Of } from './result.ts';

const goesOnUnanswered = ({ raw }: PlannedItem): boolean =>
  isObject(raw.needsInput) && raw.needsInput.onTimeout === 'continue';

export class ItemSteps {
  /** What the run was cancelled for. */
  cancelled: Cancellation | undefined;
  edges = 0;
  unconfirmedEdges = 0;
  closureProblem: string | undefined;
  readonly #ledger: Ledger;
  readonly #named: Named;

  constructor(ledger: Ledger, named: Named) {
    this.#ledger = ledger;
    this.#named = named;
  }

  fired(where: string, event: Of<'item.fired'>): void {
    const item = this.#ledger.item(where, event.itemId);
    if (item.phase !== 'waiting') refuse(`${where}: ${quote(event.itemId)} is ${item.phase} and may not be fired`);
    if (event.answer?.sha256 !== item.answer) refuse(`${where}: it does not get the answer that was given`);
    if (event.attempt !== item.attempt + 1) refuse(`${where}: attempt ${event.attempt} follows ${item.attempt}`);
    const planned = this.#ledger.planned.get(event.itemId);
    if (planned?.executor === 'approval') refuse(`${where}: ${quote(event.itemId)} is an approval and runs nothing`);
    this.#ledger.demandReady(where, event.itemId, planned, this.cancelled !== undefined);
    this.#named.fired(where, event);
    this.#ledger.move(event.itemId, item, 'running');
    item.attempt = event.attempt;
    for (const input of Object.values(event.inputs)) {
      this.edges++;
      if (input.from === 'submission' && !planned) this.unconfirmedEdges++;
    }
    this.closureProblem ??= closureProblem(where, event, planned, this.#ledger);
  }

  reconciled(where: string, event: Of<'item.reconciled'>): void {
    const item = this.#ledger.item(where, event.itemId);
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
    this.#named.reconciled(where, event);
    this.#ledger.move(event.itemId, item, event.status === 'waiting' ? 'asking' : event.status);
    item.reason = event.reason;
    item.outputs = event.outputs;
  }

  answered(where: string, event: Of<'item.answered'>): void {
    const item = this.#ledger.item(where, event.itemId);
    if (item.phase !== 'asking' || event.attempt !== item.attempt) {
      refuse(`${where}: attempt ${event.attempt} of ${quote(event.itemId)} had not asked`);
    }
    const planned = this.#ledger.planned.get(event.itemId);
    if (event.reason === 'InputTimedOut' && planned && !goesOnUnanswered(planned)) {
      refuse(`${where}: ${quote(event.itemId)} may not go on without an answer`);
    }
    this.#named.answered(event);
    this.#ledger.move(event.itemId, item, 'waiting');
    item.answer = event.answer.sha256;
  }

  retried(where: string, event: Of<'item.retried'>): void {
    const item = this.#ledger.item(where, event.itemId);
    if (item.phase !== 'failed' || event.attempt !== item.attempt) {
      refuse(`${where}: attempt ${event.attempt} of ${quote(event.itemId)} had not just failed`);
    }
    if (event.reason !== item.reason) refuse(`${where}: the attempt failed with ${item.reason}, not ${event.reason}`);
    this.#ledger.move(event.itemId, item, 'waiting');
  }

  skipped(where: string, event: Of<'item.skipped'>): void {
    if (isCancellation(event.reason)) {
      this.#demandTimeout(where, event);
      return this.end(where, event, 'cancelled');
    }
    if (event.reason !== 'DependencyFailed') refuse(`${where}: an item is not skipped for ${event.reason}`);
    this.end(where, event, 'skipped');
    const planned = this.#ledger.planned.get(event.itemId);
    if (planned && !isLost(planned, this.#ledger.outcomeOf)) {
      refuse(`${where}: no dependency of ${quote(event.itemId)} had ended otherwise`);
    }
  }

  /** The timeout of the run ends what is open then, and nothing else. */
  #demandTimeout(where: string, { itemId, reason }: Of<'item.reconciled' | 'item.skipped'>): void {
    if (reason !== 'RunTimedOut') return;
    if (this.cancelled !== reason) refuse(`${where}: the run had not timed out`);
    if (this.#ledger.planned.get(itemId)?.onExit) refuse(`${where}: ${quote(itemId)} runs whatever happened`);
  }

  /** For `item.skipped` and `item.denied`. */
  end(where: string, event: Of<'item.skipped' | 'item.denied'>, phase: 'skipped' | 'cancelled' | 'denied'): void {
    const item = this.#ledger.item(where, event.itemId);
    if (item.phase !== 'waiting' && item.phase !== 'asking')
      refuse(`${where}: ${quote(event.itemId)} is ${item.phase} already`);
    if ((event.reason === 'InputTimedOut') !== (item.phase === 'asking') && !isCancellation(event.reason))
      refuse(`${where}: ${quote(event.itemId)} is ${item.phase}, and that is no end for ${event.reason}`);
    if (event.attempt !== item.attempt) refuse(`${where}: ${item.attempt} attempts were fired, not ${event.attempt}`);
    this.#ledger.move(event.itemId, item, phase);
  }

  decided(where: string, event: Of<'item.decided'>): void {
    const item = this.#ledger.item(where, event.itemId);
    const planned = this.#ledger.planned.get(event.itemId);
    if (item.phase !== 'waiting' || item.attempt > 0)
      refuse(`${where}: ${quote(event.itemId)} was not open for a decision`);
    if (planned && planned.executor !== 'approval') refuse(`${where}: ${quote(event.itemId)} is no approval`);
    const reason = event.decision === 'approved' ? 'Approved' : 'Rejected';
    if (event.reason !== reason && event.reason !== 'ApprovalTimedOut') {
      refuse(`${where}: decision ${event.decision} and reason ${event.reason} contradict each other`);
    }
    this.#ledger.demandReady(where, event.itemId, planned, this.cancelled !== undefined);
    this.#ledger.move(event.itemId, item, event.decision === 'approved' ? 'done' : 'failed');
    item.reason = event.reason;
  }
}
