/** Random histories of the real engine: faults, retries, questions, pauses, cancels and restarts, with the invariants checked after every pass. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { isTerminal, type Phase } from '@pangolin/contracts/reasons';
import type { RunEvent } from '@pangolin/contracts/run-log';
import type { AdmittedItem } from '@pangolin/contracts/run';
import { specOf } from '@pangolin/controller/engine/engine';
import { admittedItem, admittedRun, World, type Fate } from './world.ts';

const PASSES_MAX = 400;
const RUN = 'run';
/** Items that may share the lock `s`. */
const SHARERS = 2;
const parking = { reasons: ['OutputTooLarge'], action: 'park' as const, parkMs: 1000 };

const fate = fc.oneof(
  { weight: 6, arbitrary: fc.constant<Fate>({ kind: 'done' }) },
  { weight: 2, arbitrary: fc.constant<Fate>({ kind: 'fails', reason: 'ExitNonZero' }) },
  { weight: 1, arbitrary: fc.constant<Fate>({ kind: 'asks' }) },
  { weight: 1, arbitrary: fc.constant<Fate>({ kind: 'fails', reason: 'OutputTooLarge' }) },
  { weight: 1, arbitrary: fc.constant<Fate>({ kind: 'killed' }) },
  { weight: 1, arbitrary: fc.constant<Fate>({ kind: 'vanishes' }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('refused' as const), applied: fc.boolean() }) },
);

/** A DAG: item n may depend only on items before it. */
const graph = fc
  .array(
    fc.record({
      deps: fc.array(fc.nat(11), { maxLength: 3 }),
      locks: fc.subarray(['a', 'b', 'c']),
      needs: fc.boolean(),
      shared: fc.boolean(),
      park: fc.boolean(),
      needsInput: fc.constantFrom(
        undefined,
        { timeoutMs: 30_000, onTimeout: 'fail' as const },
        { timeoutMs: 30_000, onTimeout: 'continue' as const },
      ),
      maxAttempts: fc.integer({ min: 1, max: 3 }),
    }),
    { minLength: 1, maxLength: 12 },
  )
  .map((nodes) =>
    nodes.map((node, index): AdmittedItem => {
      const deps = index === 0 ? [] : [...new Set(node.deps.map((dep) => `i${dep % index}`))].sort();
      const needs =
        node.needs && deps[0] ? { needs: { patch: { from: deps[0], select: { kind: 'patch' as const } } } } : {};
      const spec = admittedItem(`i${index}`);
      return {
        ...spec,
        depends_on: deps,
        resourceLocks: [...node.locks, ...(node.shared ? [{ key: 's', limit: SHARERS }] : [])],
        retry: { ...spec.retry, maxAttempts: node.maxAttempts, ...(node.park && { rules: [parking] }) },
        ...(node.needsInput && { needsInput: node.needsInput }),
        ...needs,
      };
    }),
  );

const step = fc.oneof(
  { weight: 8, arbitrary: fc.record({ kind: fc.constant('finish' as const), pick: fc.nat(20) }) },
  { weight: 2, arbitrary: fc.constant({ kind: 'restart' as const }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('cancel' as const), pick: fc.nat(60) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('answer' as const), pick: fc.nat(11) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('pause' as const), paused: fc.boolean() }) },
  { weight: 3, arbitrary: fc.constant({ kind: 'tick' as const }) },
);

test('whatever happens, no invariant breaks and every run ends', async () => {
  await fc.assert(
    fc.asyncProperty(
      graph,
      fc.array(fate, { minLength: 8, maxLength: 40 }),
      fc.array(step, { maxLength: 60 }),
      async (items, fates, steps) => {
        const world = new World(({ ref }) => fates[(Number(ref.itemId.slice(1)) * 7 + ref.attempt) % fates.length]!);
        await world.open();
        try {
          await world.submit(admittedRun(RUN, items));
          await world.pass();
          await world.pass();
          let cancels = 0;
          for (const action of steps) {
            if (action.kind === 'restart') await world.restart();
            else if (action.kind === 'tick') world.clock += 5000;
            else if (action.kind === 'finish') finishOne(world, action.pick);
            else if (action.kind === 'answer') await answer(world, action.pick);
            else if (action.kind === 'pause')
              await control(world, { verb: action.paused ? 'pause' : 'resume', run: RUN });
            else if (cancels++ === 0) await cancel(world, items, action.pick);
            await world.pass();
            check(world, items);
          }
          await control(world, { verb: 'resume', run: RUN });
          for (let pass = 0; world.state.run(RUN)!.finished_at === null; pass++) {
            assert.ok(pass < PASSES_MAX, 'the run does not end');
            finishOne(world, pass);
            await answer(world, pass);
            world.clock += 70_000;
            await world.pass();
            check(world, items);
          }
          checkEnd(world);
        } finally {
          world.close();
        }
      },
    ),
    { numRuns: Number(process.env.PANGOLIN_PROPERTY_RUNS ?? 150) },
  );
});

function finishOne(world: World, pick: number): void {
  const { running } = world.backend;
  if (running.length > 0) world.backend.finish(running[pick % running.length]!);
}

async function cancel(world: World, items: readonly AdmittedItem[], pick: number): Promise<void> {
  const item = pick < items.length ? { item: items[pick]!.id } : {};
  await control(world, { verb: 'cancel', run: RUN, ...item });
}

/** Answers one of the items that ask, if any. */
async function answer(world: World, pick: number): Promise<void> {
  const asking = world.items(RUN).filter(({ reason }) => reason === 'WaitingForInput');
  const item = asking[pick % asking.length];
  if (item) await control(world, { verb: 'answer', run: RUN, item: item.item_id, answer: `because ${item.attempt}` });
}

let controls = 0;
async function control(world: World, about: object): Promise<void> {
  const text = JSON.stringify({ schema: 'control/1', actor: 'human:test', ...about });
  await world.store.put(`control/c${controls++}.json`, text);
  world.reconciler.engine.admission.hint('control/');
}

/** Holds after every pass. */
function check(world: World, specs: readonly AdmittedItem[]): void {
  const rows = world.items(RUN);
  const phase = new Map(rows.map((row) => [row.item_id, row.phase]));
  const active = rows.filter((row) => row.task !== null);
  assert.ok(active.length <= world.concurrency, 'more tasks than the queue allows');
  const held = active.flatMap((row) => specOf(row).resourceLocks.filter((lock) => typeof lock === 'string'));
  assert.equal(held.length, new Set(held).size, 'two running items hold one lock');
  const sharing = active.filter((row) => specOf(row).resourceLocks.some((lock) => typeof lock !== 'string'));
  assert.ok(sharing.length <= SHARERS, 'more items than may share one lock');
  for (const spec of specs) {
    const mine = phase.get(spec.id)!;
    if (['ready', 'starting', 'running', 'done'].includes(mine)) {
      for (const dep of spec.depends_on)
        assert.equal(phase.get(dep), 'done', `${spec.id} is ${mine} before ${dep} is done`);
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
  assert.equal(world.state.run(RUN)!.open, open, 'the counter of open items is off');
  assert.deepEqual(
    replay(world.events(RUN), specs),
    rows.map(({ item_id, attempt, phase: now, reason }) => ({ id: item_id, attempt, phase: coarse(now, reason) })),
    'the log and the state differ',
  );
}

function checkEnd(world: World): void {
  const run = world.state.run(RUN)!;
  const events = world.events(RUN);
  assert.equal(run.open, 0);
  assert.equal(events.at(-1)?.kind, 'run.completed');
  assert.deepEqual(
    events.map((event) => event.seq),
    events.map((_, index) => index),
  );
  const fired = events.filter((event) => event.kind === 'item.fired').length;
  assert.equal(events.filter((event) => event.kind === 'item.reconciled').length, fired, 'an attempt without an end');
  assert.deepEqual(world.backend.running.length, 0, 'a task outlived its run');
  assert.equal(world.reconciler.engine.memory.locks.size, 0, 'a lock outlived its run');
}

/** The log does not tell pending from ready or starting from running: those are not decisions. */
type Coarse = 'open' | 'active' | Phase;
function coarse(phase: Phase, reason: string): Coarse {
  if (phase === 'pending' || phase === 'ready' || reason === 'WaitingForRetry') return 'open';
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
    if (event.kind === 'item.denied') state.get(event.itemId)!.phase = 'denied';
    if (event.kind === 'item.skipped')
      state.get(event.itemId)!.phase = event.reason === 'Cancelled' ? 'cancelled' : 'skipped';
  }
  return [...state.values()];
}
