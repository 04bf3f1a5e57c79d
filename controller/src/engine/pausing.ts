/**
 * Runs and queues that are paused start nothing, and nobody runs out of time for it: the clocks of the run (`timeout`), of the
 * wait for slots and locks, of approvals and of questions stand still. What runs goes on with its own, and so do backoffs.
 */
import type { ItemRow, RunRow } from '../store/rows.ts';
import { leaveLocksOf } from './lock-waiters.ts';
import type { Pass } from './pass.ts';

/** `blocked_on` of the items of a paused run. */
export const pausedKey = (rn: number): string => `\u0000pause:${rn}`;

type Paused = Pick<RunRow, 'paused' | 'queue'>;

export const isPaused = ({ engine: { memory } }: Pass, run: Paused): boolean =>
  run.paused === 1 || memory.queues.get(run.queue).pausedBy !== null;

/** A deadline in so many ms, for which nobody has to answer while the run is paused. */
export function dueIn(pass: Pass, run: Paused, ms: number | undefined): Pick<ItemRow, 'due_at' | 'left_ms'> {
  if (ms === undefined) return { due_at: null, left_ms: null };
  return isPaused(pass, run) ? { due_at: null, left_ms: ms } : { due_at: pass.now + ms, left_ms: null };
}

const eventOf = (paused: boolean) => ({ kind: paused ? 'run.paused' : 'run.resumed' }) as const;

/** Asked for by `actor`; nothing when it is so already. */
export function setRunPaused(pass: Pass, run: RunRow, paused: boolean, actor: string): void {
  if (run.paused === (paused ? 1 : 0)) return;
  pass.event(run.run_id, eventOf(paused), actor);
  pauseRun(pass, run, paused);
}

export function pauseRun(pass: Pass, run: RunRow, paused: boolean): void {
  const { state } = pass.engine;
  state.pauses.pauseRun(run.rn, paused);
  if (!paused) state.turns.wakeBlocked(pausedKey(run.rn));
  if (isPaused(pass, { ...run, paused: paused ? 1 : 0 })) state.pauses.freeze(run.rn, pass.now);
  else state.pauses.thaw(run.rn, pass.now);
}

/** Asked for by `actor`; nothing when it is so already. Every open run of the queue has it in its log. */
export function setQueuePaused(pass: Pass, queue: string, paused: boolean, actor: string): void {
  const { state, memory } = pass.engine;
  if ((memory.queues.get(queue).pausedBy !== null) === paused) return;
  state.pauses.pauseQueue(queue, paused ? actor : null);
  memory.queues.reload();
  if (paused) leaveLocksOf(pass, queue);
  for (const run of state.pauses.openRuns(queue)) {
    pass.event(run.run_id, { ...eventOf(paused), queue }, actor);
    if (paused || run.paused === 1) state.pauses.freeze(run.rn, pass.now);
    else state.pauses.thaw(run.rn, pass.now);
  }
}

/** What the log of a run says that is admitted while its queue is paused. */
export function tellQueuePause(pass: Pass, { id, queue }: { readonly id: string; readonly queue: string }): void {
  const by = pass.engine.memory.queues.get(queue).pausedBy;
  if (by !== null) pass.event(id, { ...eventOf(true), queue }, by);
}
