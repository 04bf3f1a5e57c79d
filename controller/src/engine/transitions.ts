/** How items move. Every function changes the row and records the event of that change in the same pass. */
import type { DigestSet } from '@pangolin/contracts/digest';
import type { NeedsInput } from '@pangolin/contracts/needs-input';
import { isCancellation, isTerminal, type Cancellation, type Phase, type Reason } from '@pangolin/contracts/reasons';
import { lockKey } from '@pangolin/contracts/admitted-run';
import { DEFAULTS } from '@pangolin/contracts/run';
import { decideRetry, PARKS_MAX } from '../plan/retry.ts';
import type { Verdict } from '../plan/verdicts.ts';
import type { ItemChange, ItemRow, Products, RunRow } from '../store/rows.ts';
import { signProvenance } from './manifest.ts';
import { makeReady, settleDependents } from './dependencies.ts';
import { specOf } from './engine.ts';
import { leaveLocks } from './lock-waiters.ts';
import type { Pass } from './pass.ts';
import { dueIn, pauseRun } from './pausing.ts';
import { judgeByPattern } from './patterns.ts';

/** What an ended attempt left behind, checked and promoted. */
export interface Collected {
  /** Digest of its output.json, which is in cas/. */
  readonly result?: string;
  readonly products: Products;
  readonly partial: boolean;
  /** What its blocks ask, where they do. */
  readonly question?: NeedsInput;
  /** Digest of the egress log, which is in cas/. */
  readonly egress?: string;
  /** Of the block that failed, where one did. */
  readonly exitCode?: number;
  /** Epoch milliseconds; when its model takes requests again, as the worker says. */
  readonly resetAt?: number;
  /** It succeeded, and a block with lens verify did not. */
  readonly red?: boolean;
}

const MESSAGE_MAX = 1000;

/** `patch` and `outputs/<path>` → digest: the names by which evidence knows products. */
export function productDigests(products: Products): Record<string, DigestSet> {
  const digests: Record<string, DigestSet> = {};
  if (products.patch) digests.patch = { sha256: products.patch.sha256 };
  for (const [path, ref] of Object.entries(products.outputs)) digests[`outputs/${path}`] = { sha256: ref.sha256 };
  return digests;
}

/** Ends the running attempt of `item` with `verdict`: a product, another attempt, or a final failure. */
export async function settleAttempt(
  pass: Pass,
  item: ItemRow,
  run: RunRow,
  judged: Verdict,
  collected: Collected,
): Promise<void> {
  const { state, memory } = pass.engine;
  const verdict = await judgeByPattern(pass, item, run, withinPatience(judged, item), collected);
  const spec = specOf(item);
  const ref = { runId: run.run_id, itemId: item.item_id, attempt: item.attempt };
  const outputs = productDigests(collected.products);
  const hasProducts = Object.keys(outputs).length > 0;
  const provenance = hasProducts ? await signProvenance(pass, item, run, spec, collected, outputs) : undefined;
  pass.event(run.run_id, {
    kind: 'item.reconciled',
    itemId: item.item_id,
    attempt: item.attempt,
    status: verdict.status,
    reason: verdict.reason,
    ...(collected.result && { result: { sha256: collected.result } }),
    outputs,
    ...(collected.partial && { partial: true as const }),
    ...(collected.egress && { egress: { sha256: collected.egress } }),
    ...(provenance && { provenance: { sha256: provenance } }),
  });
  pass.effects.push({ kind: 'remove', task: item.task! });
  memory.release(item, spec);
  const failure = {
    reason: verdict.reason,
    exitCode: collected.exitCode,
    resetInMs: collected.resetAt === undefined ? undefined : collected.resetAt - pass.now,
  };
  const decision =
    verdict.status === 'failed' && run.cancelled === null ? decideRetry(ref, failure, spec.retry, item) : undefined;
  const after = {
    task: null,
    stop: null,
    message: (verdict.status === 'cancelled' ? item.message : verdict.message)?.slice(0, MESSAGE_MAX) ?? null,
    products: JSON.stringify({ ...collected.products, result: collected.result, egress: collected.egress }),
    partial: collected.partial ? 1 : 0,
    red: collected.red === true ? 1 : 0,
    ...decision?.budget,
  };
  if (verdict.status === 'waiting') {
    const { timeoutMs = DEFAULTS.decisionTimeoutMs } = spec.needsInput ?? {};
    state.change(item, {
      ...after,
      phase: 'waiting',
      reason: verdict.reason,
      question: JSON.stringify(collected.question),
      parks: item.parks + 1,
      ...dueIn(pass, run, timeoutMs),
    });
    pass.tell(ref, 'item asks');
  } else if (decision?.action === 'retry') {
    pass.event(run.run_id, {
      kind: 'item.retried',
      itemId: item.item_id,
      attempt: item.attempt,
      reason: verdict.reason,
    });
    state.change(item, {
      ...after,
      phase: decision.parked ? 'waiting' : 'ready',
      reason: 'WaitingForRetry',
      due_at: pass.now + decision.delayMs,
    });
    pass.tell({ ...ref, reason: verdict.reason, delayMs: decision.delayMs }, 'attempt failed; retrying');
  } else {
    if (verdict.status === 'done') state.addProducts(item.iid, outputs);
    finishItem(pass, item, run, { ...after, phase: verdict.status, reason: verdict.reason });
  }
  for (const lock of spec.resourceLocks) state.turns.wakeWaiters(lockKey(lock));
}

/** An item that asks without end is no use to anybody. */
function withinPatience(verdict: Verdict, item: ItemRow): Verdict {
  if (verdict.status !== 'waiting' || item.parks < PARKS_MAX) return verdict;
  return { status: 'failed', reason: 'NeedsInputInvalid', message: `it was parked or asked ${PARKS_MAX} times before` };
}

export interface Cancel {
  readonly reason: Cancellation;
  /** In the words of whoever cancels. */
  readonly comment?: string | undefined;
  readonly actor: string;
}

/** Cancels whatever of the run is open. Its onExit items still run. */
export function cancelRun(pass: Pass, run: RunRow, cancel: Cancel): void {
  const { state, memory } = pass.engine;
  if (run.cancelled !== null || run.finished_at !== null) return;
  const { reason, comment, actor } = cancel;
  pass.event(run.run_id, { kind: 'run.cancelled', reason, ...(comment !== undefined && { comment }) }, actor);
  state.cancelRun(run.rn, reason);
  if (run.open_ended === 1) state.closeRun(run.rn);
  // What is left of it are its onExit items, which run whatever happened.
  if (run.paused === 1) pauseRun(pass, run, false);
  const open = state.openItems(run.rn).filter((item) => item.on_exit === 0);
  for (const item of open) cancelItem(pass, item, run, cancel, true);
  // Only onExit items are left that may wait for one of these; what holds a task still settles them itself.
  if (run.exits > 0) for (const item of open) if (item.task === null) settleDependents(pass, item, run);
  memory.touched.add(run.rn);
}

type End = ItemChange & { readonly phase: Phase; readonly reason: Reason };

/** A terminal phase, and what it means for the items behind it. */
function finishItem(pass: Pass, item: ItemRow, run: RunRow, end: End): void {
  closeItem(pass, item, end);
  pass.tell({ run: run.run_id, item: item.item_id, phase: end.phase, reason: end.reason }, 'item ended');
  settleDependents(pass, item, run);
}

function closeItem(pass: Pass, item: ItemRow, end: End): void {
  pass.engine.state.change(item, {
    ...end,
    due_at: null,
    left_ms: null,
    runnable: 0,
    blocked_on: null,
    question: null,
    finished_at: pass.now,
  });
  pass.engine.memory.touched.add(item.rn);
  pass.endings.push(item.iid);
  leaveLocks(pass, item);
}

/** A person or the deadline has decided an approval. */
export function decideApproval(
  pass: Pass,
  item: ItemRow,
  run: RunRow,
  decision: { readonly approved: boolean; readonly reason: Reason; readonly comment?: string; readonly actor: string },
): void {
  const { approved, reason, comment, actor } = decision;
  pass.event(
    run.run_id,
    {
      kind: 'item.decided',
      itemId: item.item_id,
      decision: approved ? 'approved' : 'rejected',
      reason,
      ...(comment !== undefined && { comment }),
    },
    actor,
  );
  const message =
    comment ??
    (reason === 'ApprovalTimedOut' ? 'nobody decided in time' : `${approved ? 'approved' : 'rejected'} by ${actor}`);
  finishItem(pass, item, run, { phase: approved ? 'done' : 'failed', reason, message: message.slice(0, MESSAGE_MAX) });
}

/** The item may not run at all: a decision of ours, before any task. */
export function denyItem(pass: Pass, item: ItemRow, run: RunRow, reason: Reason, message: string): void {
  pass.event(run.run_id, { kind: 'item.denied', itemId: item.item_id, attempt: item.attempt, reason });
  finishItem(pass, item, run, { phase: 'denied', reason, message: message.slice(0, MESSAGE_MAX) });
}

/** Tells a running task to stop; the item ends when the task has. */
export function stopAttempt(pass: Pass, item: ItemRow, reason: Reason, message: string): void {
  const { state, config } = pass.engine;
  // The kill deadline: when the backend does not get the task down in time, the item ends without it.
  state.change(item, {
    stop: reason,
    reason: isCancellation(reason) ? 'Cancelling' : item.reason,
    message,
    due_at: pass.now + config.graceMs + KILL_SLACK_MS,
  });
  pass.effects.push({ kind: 'stop', task: item.task! });
}

/** What the backend gets beyond the grace before a stopped task is given up. */
const KILL_SLACK_MS = 20_000;

/**
 * Cancels one item: at once when it holds no task, otherwise when its task has stopped.
 * What depends on it is skipped, unless the whole run is being cancelled.
 */
export function cancelItem(pass: Pass, item: ItemRow, run: RunRow, cancel: Cancel, whole: boolean): void {
  if (isTerminal(item.phase) || isCancellation(item.stop)) return;
  const { reason, comment, actor } = cancel;
  const message = (comment ?? messages[reason](actor)).slice(0, MESSAGE_MAX);
  if (item.task !== null) return stopAttempt(pass, item, reason, message);
  pass.event(run.run_id, { kind: 'item.skipped', itemId: item.item_id, attempt: item.attempt, reason }, actor);
  closeItem(pass, item, { phase: 'cancelled', reason, message });
  if (!whole) settleDependents(pass, item, run);
}

const messages: Readonly<Record<Cancellation, (actor: string) => string>> = {
  Cancelled: (actor) => `cancelled by ${actor}`,
  RunTimedOut: () => 'the run took longer than its timeout',
};

/** Closes the runs of this pass that have no open item left. */
export function completeRuns(pass: Pass): void {
  const { state, evidence, memory } = pass.engine;
  for (const rn of memory.touched) {
    const run = state.runByNumber(rn);
    if (run.finished_at !== null || run.open_ended === 1) continue;
    if (run.exits > 0 && run.open === state.openExits(rn)) {
      for (const item of state.releaseExits(rn)) makeReady(pass, item, run);
      pass.engine.wake();
    }
    if (state.runByNumber(rn).open > 0) continue;
    const counts = {
      done: 0,
      failed: 0,
      skipped: 0,
      cancelled: 0,
      denied: 0,
      ...Object.fromEntries(state.counts(rn).map(({ phase, n }) => [phase, n])),
    };
    // Skipped alone is what was there for a failure that did not come, and what is behind that: every other skip has its cause counted.
    const unsuccessful = counts.failed + counts.cancelled + counts.denied;
    const status = run.cancelled !== null ? 'cancelled' : unsuccessful > 0 ? 'failed' : 'succeeded';
    pass.event(run.run_id, { kind: 'run.completed', status, counts });
    state.finishRun(rn, status, pass.now);
    evidence.openSeal(run.run_id);
    memory.patterns.delete(rn);
    pass.tell({ run: run.run_id, status, counts }, 'run completed');
  }
  memory.touched.clear();
}
