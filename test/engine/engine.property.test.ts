/** Random histories of the real engine: faults, retries, questions, pauses, cancels and restarts, with the invariants checked after every pass. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { AdmittedItem } from '@pangolin/contracts/admitted-run';
import { checkEnd, checkNow } from './invariants.ts';
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
            checkNow(world, RUN, items);
          }
          await control(world, { verb: 'resume', run: RUN });
          for (let pass = 0; world.state.run(RUN)!.finished_at === null; pass++) {
            assert.ok(pass < PASSES_MAX, 'the run does not end');
            finishOne(world, pass);
            await answer(world, pass);
            world.clock += 70_000;
            await world.pass();
            checkNow(world, RUN, items);
          }
          checkEnd(world, RUN);
        } finally {
          world.close();
        }
      },
    ),
    { numRuns: Number(process.env.PANGOLIN_PROPERTY_RUNS ?? 100) },
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
