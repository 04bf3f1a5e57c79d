/** What holds of a run at any moment and at its end, whatever has happened to it. */
import assert from 'node:assert/strict';
import { isCancellation, isTerminal, type Phase } from '@pangolin/contracts/reasons';
import type { RunEvent } from '@pangolin/contracts/run-log';
import { lockKey, type AdmittedItem } from '@pangolin/contracts/admitted-run';
import { specOf } from '@pangolin/controller/engine/engine';
import type { ItemRow } from '@pangolin/controller/store/rows';
import type { World } from './world.ts';

/** Holds after every pass. `specs`: the items of the run in the order in which they joined it. */
export function checkNow(world: World, runId: string, specs: readonly AdmittedItem[]): void {
  const rows = world.items(runId);
  const phase = new Map(rows.map((row) => [row.item_id, row.phase]));
  const active = rows.filter((row) => row.task !== null);
  assert.ok(active.length <= world.concurrency, 'more tasks than the queue allows');
  checkLocks(active);
  for (const spec of specs) {
    const mine = phase.get(spec.id)!;
    if (['ready', 'starting', 'running', 'done'].includes(mine)) {
      for (const dep of spec.depends_on)
        assert.ok(
          hasEnded(phase.get(dep)!, spec.when?.[dep]),
          `${spec.id} is ${mine} before ${dep} has ended as it has to`,
        );
      for (const need of Object.values(spec.needs ?? {}))
        if ('oneOf' in need)
          assert.ok(
            need.oneOf.some(({ from }) => phase.get(from) === 'done'),
            `${spec.id} is ${mine} before any source is done`,
          );
      const isOver = specs.every(({ id, onExit }) => onExit || isTerminal(phase.get(id)!));
      assert.ok(!spec.onExit || isOver, `${spec.id} is ${mine} before the end of all others`);
    }
  }
  for (const row of rows) {
    assert.equal(
      row.task !== null,
      row.phase === 'starting' || row.phase === 'running',
      `${row.item_id} is ${row.phase} and its task is ${row.task}`,
    );
    assert.equal(row.question !== null, row.reason === 'WaitingForInput', `${row.item_id} is ${row.reason}`);
    if (isTerminal(row.phase)) assert.equal(row.due_at, null, 'a terminal item has a deadline');
    if (row.phase === 'starting' || row.phase === 'running')
      assert.notEqual(row.due_at, null, 'a running item has no deadline');
  }
  assert.equal(new Set(world.backend.births).size, world.backend.births.length, 'an attempt was started twice');
  const open = rows.filter((row) => !isTerminal(row.phase)).length;
  assert.equal(world.state.run(runId)!.open, open, 'the counter of open items is off');
  assert.deepEqual(
    replay(world.events(runId), specs),
    rows.map(({ item_id, attempt, phase: now, reason }) => ({ id: item_id, attempt, phase: coarse(now, reason) })),
    'the log and the state differ',
  );
}

/** Holds of all runs together after every pass. `limits`: queue → its concurrency. */
export function checkTogether(world: World, limits: Readonly<Record<string, number>>): void {
  const active = world.state.activeItems();
  assert.ok(active.length <= world.tasksMax, 'more tasks than the cap allows');
  for (const [queue, limit] of Object.entries(limits))
    assert.ok(active.filter((row) => row.queue === queue).length <= limit, `more tasks than ${queue} allows`);
  checkLocks(active);
}

/** Nobody shares an exclusive lock, and no shared one has more holders than any of them allows. */
function checkLocks(active: readonly ItemRow[]): void {
  const held = active.flatMap((row) => specOf(row).resourceLocks.filter((lock) => typeof lock === 'string'));
  assert.equal(held.length, new Set(held).size, 'two running items hold one lock');
  const shared = active.flatMap((row) => specOf(row).resourceLocks.filter((lock) => typeof lock !== 'string'));
  for (const { key, limit = Infinity } of shared) {
    const holders = shared.filter((each) => each.key === key).length;
    assert.ok(holders <= limit, `${holders} items share the lock ${key}`);
  }
}

export function checkEnd(world: World, runId: string): void {
  const run = world.state.run(runId)!;
  const events = world.events(runId);
  assert.equal(run.open, 0);
  assert.equal(events.at(-1)?.kind, 'run.completed');
  assert.deepEqual(
    events.map((event) => event.seq),
    events.map((_, index) => index),
  );
  const fired = events.filter((event) => event.kind === 'item.fired').length;
  assert.equal(events.filter((event) => event.kind === 'item.reconciled').length, fired, 'an attempt without an end');
  const left = world.backend.running.filter(({ start }) => start.ref.runId === runId);
  assert.deepEqual(left.length, 0, 'a task outlived its run');
  const held = world.state.activeItems().flatMap((item) => specOf(item).resourceLocks);
  assert.equal(world.reconciler.engine.memory.locks.size, new Set(held.map(lockKey)).size, 'a lock outlived its run');
}

function hasEnded(phase: Phase, rule: 'failed' | 'always' | undefined): boolean {
  if (rule === 'always') return isTerminal(phase);
  return rule === 'failed' ? phase === 'failed' || phase === 'denied' : phase === 'done';
}

/** The log does not tell pending from ready or starting from running: those are not decisions. */
type Coarse = 'open' | 'active' | Phase;
function coarse(phase: Phase, reason: string): Coarse {
  const waitsUntold = reason === 'WaitingForRetry' || reason === 'WaitingForApproval';
  if (phase === 'pending' || phase === 'ready' || waitsUntold) return 'open';
  return phase === 'starting' || phase === 'running' ? 'active' : phase;
}

function replay(
  events: readonly RunEvent[],
  specs: readonly AdmittedItem[],
): { id: string; attempt: number; phase: Coarse }[] {
  const state = new Map<string, { id: string; attempt: number; phase: Coarse }>(
    specs.map(({ id }) => [id, { id, attempt: 0, phase: 'open' }]),
  );
  for (const event of events) {
    if (event.kind === 'item.fired')
      Object.assign(state.get(event.itemId)!, { phase: 'active', attempt: event.attempt });
    if (event.kind === 'item.reconciled') state.get(event.itemId)!.phase = event.status;
    if (event.kind === 'item.retried' || event.kind === 'item.answered') state.get(event.itemId)!.phase = 'open';
    if (event.kind === 'item.decided')
      state.get(event.itemId)!.phase = event.decision === 'approved' ? 'done' : 'failed';
    if (event.kind === 'item.denied') state.get(event.itemId)!.phase = 'denied';
    if (event.kind === 'item.skipped')
      state.get(event.itemId)!.phase = isCancellation(event.reason) ? 'cancelled' : 'skipped';
  }
  return [...state.values()];
}
