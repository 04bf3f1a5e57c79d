/** Looks at the tasks that may have changed and settles those that ended. */
import { sha256 } from '@pangolin/contracts/digest';
import { attemptPrefix, attemptFile, casKey } from '@pangolin/contracts/layout';
import { messageOf } from '@pangolin/contracts/errors';
import type { TaskObservation } from '../providers/provider.ts';
import type { ItemRow, RunRow } from '../store/rows.ts';
import { judge, type AttemptEnd } from '../plan/verdicts.ts';
import { queueTimeout } from './dependencies.ts';
import { ACTOR, givenTo, specOf, type Engine } from './engine.ts';
import { mapBounded } from '@pangolin/contracts/map-bounded';
import type { Pass } from './pass.ts';
import { dueIn } from './pausing.ts';
import { rankOf } from './queues.ts';
import type { Collection } from './task-files.ts';
import { heldToShape } from './typed.ts';
import { isAsking, questionDue } from './questions.ts';
import { cancelRun, decideApproval, denyItem, settleAttempt, stopAttempt } from './transitions.ts';

const COLLECT_PARALLEL = 8;
/** A task that runs but has not booted yet is looked at again this soon. */
const BOOT_LOOK_MS = 150;
const RETRY_LOOK_MS = 1000;

/** What was seen of one task, gathered before the transaction. */
export type Seen =
  | { readonly kind: 'booted'; readonly iid: number; readonly task: string }
  | { readonly kind: 'vanished'; readonly iid: number; readonly task: string }
  /** It runs on, although it was to stop: an earlier controller died before it could tell it. */
  | { readonly kind: 'unstopped'; readonly iid: number; readonly task: string }
  | {
      readonly kind: 'ended';
      readonly iid: number;
      readonly task: string;
      readonly end: Omit<AttemptEnd, 'stop'>;
      readonly collected: Collection;
    };

/** Asks the backend about the dirty tasks and fetches what the ended ones left. Changes nothing. */
export async function observeTasks(engine: Engine): Promise<Seen[]> {
  const { state, memory, provider } = engine;
  const items = new Map<string, ItemRow>();
  for (const task of memory.dirty) {
    if (memory.starting.has(task)) continue;
    memory.dirty.delete(task);
    const item = state.itemByTask(task);
    if (item) items.set(task, item);
  }
  if (items.size === 0) return [];
  let observations: readonly TaskObservation[];
  try {
    observations = await provider.observe([...items.keys()]);
  } catch (error) {
    // Unknown is not failed: the deadlines go on, and the backend is asked again.
    engine.log.warn({ err: error }, `the backend did not answer: ${messageOf(error)}`);
    lookAgain(engine, [...items.keys()], RETRY_LOOK_MS);
    return [];
  }
  const seen = await mapBounded(observations, COLLECT_PARALLEL, (observation) =>
    look(engine, items.get(observation.name)!, observation),
  );
  return seen.filter((entry) => entry !== undefined);
}

async function look(engine: Engine, item: ItemRow, observation: TaskObservation): Promise<Seen | undefined> {
  const { memory } = engine;
  const task = observation.name;
  const run = engine.state.runByNumber(item.rn);
  const ref = { runId: run.run_id, itemId: item.item_id, attempt: item.attempt };
  const late = item.due_at !== null && item.due_at <= engine.now();
  const base = { iid: item.iid, task };
  try {
    const startError = memory.startErrors.get(task);
    if (observation.state === 'starting' && !startError) {
      // An earlier controller died in the middle of this start: it is taken up, once.
      return memory.started.has(task) || item.stop !== null ? undefined : { kind: 'vanished', ...base };
    }
    if (observation.state === 'running') {
      if (item.stop !== null && !memory.stopped.has(task)) return { kind: 'unstopped', ...base };
      if (item.phase === 'running') return undefined;
      if (await engine.files.booted(ref)) {
        engine.secrets.withdraw(task);
        return { kind: 'booted', ...base };
      }
      await offerAgain(engine, item, task);
      lookAgain(engine, [task], BOOT_LOOK_MS);
      return undefined;
    }
    memory.startErrors.delete(task);
    const booted = item.phase === 'running' || (await engine.files.booted(ref));
    // Sealed but never started, or removed before it did anything: the same attempt is started (again); boot.json fences.
    if (observation.state === 'gone' && !booted && !startError && item.stop === null)
      return { kind: 'vanished', ...base };
    const collected = {
      ...(await heldToShape(engine, specOf(item), await engine.files.collect(ref, item.dispatch!))),
      ...(await keepEgressLog(engine, item, task)),
    };
    const backend =
      startError ?? (observation.reason && { reason: observation.reason, message: observation.message ?? '' });
    return {
      kind: 'ended',
      ...base,
      collected,
      end: {
        task: observation.state === 'gone' ? 'gone' : 'ended',
        exitCode: observation.exitCode,
        backend,
        booted,
        output: collected.output,
        invalid: collected.invalid,
      },
    };
  } catch (error) {
    engine.log.warn({ task, err: error }, `the end of a task could not be read: ${messageOf(error)}`);
    if (!late) {
      lookAgain(engine, [task], RETRY_LOOK_MS);
      return undefined;
    }
    const invalid = { reason: 'StorageUnavailable' as const, message: messageOf(error) };
    const collected: Collection = { products: { outputs: {} }, partial: false, output: undefined, invalid };
    return {
      kind: 'ended',
      ...base,
      collected,
      end: { task: 'ended', exitCode: undefined, backend: undefined, booted: true, output: undefined, invalid },
    };
  }
}

/** The secrets of a task that an earlier controller started, and that has not booted yet. */
async function offerAgain({ evidence, files, secrets }: Engine, item: ItemRow, task: string): Promise<void> {
  const { manifest, envelope } = evidence.dispatch(item.statement!, item.dispatch!);
  if (manifest.secrets === undefined) return;
  const { inDir } = await files.layOut(manifest, envelope, givenTo(item));
  await secrets.offer(task, inDir, manifest.secrets);
}

/** The egress log of a task with an allow-list, kept in cas/ for the event that ends the attempt. */
async function keepEgressLog({ provider, store }: Engine, item: ItemRow, task: string): Promise<{ egress?: string }> {
  if (typeof specOf(item).network !== 'object') return {};
  const log = await provider.egressLog?.(task);
  if (log === undefined) return {};
  const digest = sha256(log);
  await store.put(casKey(digest), log, { sha256: digest });
  return { egress: digest };
}

/** Applies what was seen, inside the transaction. The row decides: it may have moved since the look. */
export async function settleSeen(pass: Pass, seen: readonly Seen[]): Promise<void> {
  const { state } = pass.engine;
  for (const entry of seen) {
    await pass.guard({ task: entry.task }, async () => {
      const item = state.itemById(entry.iid);
      if (item.task !== entry.task) return;
      const run = state.runByNumber(item.rn);
      if (entry.kind === 'booted') return markRunning(pass, item);
      if (entry.kind === 'unstopped') return void pass.effects.push({ kind: 'stop', task: entry.task });
      if (entry.kind === 'vanished') return void pass.effects.push({ kind: 'start', task: entry.task });
      await settleAttempt(pass, item, run, judge({ ...entry.end, stop: item.stop ?? undefined }), entry.collected);
    });
  }
}

function markRunning(pass: Pass, item: ItemRow): void {
  if (item.phase !== 'starting') return;
  const { state, config } = pass.engine;
  // The worker keeps its own clock and ends first; this deadline is for a worker that cannot.
  const due = pass.now + specOf(item).timeoutMs + 2 * config.graceMs;
  state.change(item, { phase: 'running', reason: 'Running', ...(item.stop === null && { due_at: due }) });
}

/** Acts on every deadline that has passed. */
export async function expireDeadlines(pass: Pass): Promise<void> {
  const { state } = pass.engine;
  for (const run of state.dueRuns(pass.now)) cancelRun(pass, run, { reason: 'RunTimedOut', actor: ACTOR });
  for (const item of state.due(pass.now, 1000)) {
    await pass.guard({ item: item.item_id }, async () => {
      const run = state.runByNumber(item.rn);
      if (item.phase === 'ready' && item.reason === 'WaitingForRetry') return endBackoff(pass, item, run);
      if (item.phase === 'ready') return denyItem(pass, item, run, 'QueueTimedOut', 'no slot and no lock in time');
      if (item.phase === 'waiting' && item.reason === 'WaitingForRetry') return endBackoff(pass, item, run);
      if (isAsking(item)) return await questionDue(pass, item, run);
      if (item.phase === 'waiting') return approvalDue(pass, item, run);
      if (item.stop === null) {
        return item.phase === 'starting'
          ? stopAttempt(pass, item, 'BootTimedOut', 'the task did not boot in time')
          : stopAttempt(pass, item, 'TimedOut', 'the item ran longer than its timeout');
      }
      await giveUp(pass, item, run);
    });
  }
}

function endBackoff(pass: Pass, item: ItemRow, run: RunRow): void {
  pass.engine.state.change(item, {
    phase: 'ready',
    runnable: 1,
    reason: 'WaitingForSlot',
    rank: rankOf(item.tag, item.priority),
    ready_at: pass.now,
    ...dueIn(pass, run, queueTimeout(item)),
  });
}

function approvalDue(pass: Pass, item: ItemRow, run: RunRow): void {
  const approved = specOf(item).approval?.onTimeout === 'approve';
  decideApproval(pass, item, run, { approved, reason: 'ApprovalTimedOut', actor: ACTOR });
}

/** The task was told to stop and the backend did not get it down: it ends here, and is removed by force. */
async function giveUp(pass: Pass, item: ItemRow, run: RunRow): Promise<void> {
  const end = {
    stop: item.stop!,
    task: 'gone',
    exitCode: undefined,
    backend: undefined,
    booted: true,
    output: undefined,
    invalid: undefined,
  } as const;
  await settleAttempt(pass, item, run, judge(end), { products: { outputs: {} }, partial: false });
}

/** A hint that costs nothing when the controller is gone before it fires: a start looks at every task anyway. */
export function lookAgain(engine: Engine, tasks: readonly string[], afterMs: number): void {
  setTimeout(() => {
    for (const task of tasks) engine.memory.dirty.add(task);
    engine.wake();
  }, afterMs).unref();
}

export const bootKey = (ref: Parameters<typeof attemptPrefix>[0]): string => attemptPrefix(ref) + attemptFile.boot;
