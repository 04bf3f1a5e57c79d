/** Under an overload that never ends everything that is ready begins all the same, within the bound that docs/limits.md gives. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import fc from 'fast-check';
import type { AdmittedItem, AdmittedLock, AdmittedRun } from '@pangolin/contracts/admitted-run';
import { AGED_EVERY, AGEING_MS } from '@pangolin/controller/engine/queues';
import { admittedItem, admittedRun, World } from './world.ts';

const STEP_MS = AGEING_MS / 3;
const DAY_MS = 86_400_000;
const SLOTS = 4;

async function open(t?: TestContext): Promise<World> {
  const world = new World(() => ({ kind: 'done' }));
  world.concurrency = SLOTS;
  await world.open();
  t?.after(() => world.close());
  return world;
}

/** A task here ends when the test says so. */
const item = (id: string, more: Partial<AdmittedItem>): AdmittedItem =>
  admittedItem(id, { timeoutMs: DAY_MS, ...more });

const many = (count: number, more: Partial<AdmittedItem>): AdmittedItem[] =>
  Array.from({ length: count }, (_, n) => item(`i${n}`, more));

/** Submits them and waits until they are there; what is free is taken. */
async function arrive(world: World, ...runs: readonly AdmittedRun[]): Promise<void> {
  for (const run of runs) await world.submit(run);
  for (let pass = 0; runs.some(({ id }) => world.state.run(id) === undefined); pass++) {
    assert.ok(pass < 100, 'they are not admitted');
    await world.pass();
  }
}

const isStarted = (world: World, run: string): boolean =>
  world.state.run(run) !== undefined && world.items(run).every(({ attempt }) => attempt > 0);

const flood = fc.record({
  priority: fc.integer({ min: 1, max: 1000 }),
  /** Of one run, and how many such runs come at once: always more than there are slots. */
  items: fc.integer({ min: 1, max: SLOTS }),
  runs: fc.integer({ min: SLOTS + 1, max: 2 * SLOTS }),
});

test('whatever keeps coming with a higher priority, an item begins within its bound', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(flood, { minLength: 1, maxLength: 3 }),
      fc.integer({ min: 1, max: 3 }),
      async (floods, low) => {
        const world = await open();
        try {
          await arrive(world, admittedRun('busy', many(SLOTS, {})));
          await arrive(world, admittedRun('low', many(low, { priority: -5 })));
          const agedAt = world.clock + AGEING_MS;
          let startsWhenAged = Infinity;
          let startsMax = Infinity;
          for (let turn = 0; !isStarted(world, 'low'); turn++) {
            const { priority, items, runs } = floods[turn % floods.length]!;
            const names = Array.from({ length: runs }, (_, n) => `flood-${turn}-${n}`);
            await arrive(world, ...names.map((name) => admittedRun(name, many(items, { priority }))));
            for (const task of world.backend.running) world.backend.finish(task);
            world.clock += STEP_MS;
            if (world.clock >= agedAt && startsWhenAged === Infinity) {
              assert.ok(!world.items('low').some(({ attempt }) => attempt > 0), 'what is urgent goes first until then');
              startsWhenAged = world.backend.births.length;
              const { ready_at: mine } = world.items('low')[0]!;
              const before = world.state.db
                .prepare('SELECT count(*) AS n FROM item WHERE runnable = 1 AND ready_at < ?')
                .get(mine) as { n: number };
              startsMax = (before.n + low) * AGED_EVERY;
            }
            await world.pass();
            // A pass starts as many as there are slots.
            const started = world.backend.births.length - startsWhenAged;
            assert.ok(!(started > startsMax + SLOTS), `${started} items have begun since, and ${startsMax} may`);
          }
        } finally {
          world.close();
        }
      },
    ),
    { numRuns: 4 },
  );
});

test('an old backlog holds up nothing that is urgent: it has one start in so many', async (t) => {
  const world = await open(t);
  await arrive(world, admittedRun('backlog', many(200, {})));
  world.clock += AGEING_MS;
  await arrive(world, admittedRun('urgent', many(3 * SLOTS, { priority: 1 })));
  const before = world.backend.births.length;
  while (!isStarted(world, 'urgent')) {
    for (const task of world.backend.running) world.backend.finish(task);
    await world.pass();
  }
  const started = world.backend.births.length - before;
  const share = AGED_EVERY / (AGED_EVERY - 1);
  assert.ok(started <= 3 * SLOTS * share + 2 * SLOTS, `${started} starts until the urgent ones had begun`);
});

/**
 * Readers and the like keep coming with a higher priority, and one half of them is always at work. In that stream `waits` asks
 * for its locks, and they never come free all at once by themselves.
 */
const streams: readonly {
  readonly who: string;
  readonly stream: readonly AdmittedLock[];
  readonly waits: readonly AdmittedLock[];
}[] = [
  { who: 'a writer behind readers', stream: [{ key: 'x' }], waits: ['x'] },
  { who: 'one that shares with nobody', stream: [{ key: 'x', limit: 3 }], waits: [{ key: 'x', limit: 1 }] },
  { who: 'one of many that want a lock', stream: ['x'], waits: ['x'] },
  { who: 'one that wants two locks at once', stream: ['x', 'y'], waits: ['x', 'y'] },
];

for (const { who, stream, waits } of streams) {
  for (const elsewhere of [false, true]) {
    test(`${who} gets its turn${elsewhere ? ', from another queue too' : ''}`, async (t) => {
      const world = await open(t);
      if (elsewhere) await declareQueue(world, 'b');
      // Of several locks each is taken by others of the stream.
      const streamed = (turn: number): AdmittedItem[] =>
        stream.map((lock, n) => item(`i${turn}-${n}`, { resourceLocks: [lock], priority: 1 }));
      await arrive(world, admittedRun('first', [...streamed(-1), ...streamed(-2)]));
      const queue = elsewhere ? 'b' : 'default';
      await arrive(world, admittedRun('waits', [item('i', { resourceLocks: waits })], { queue }));
      for (let turn = 0; !isStarted(world, 'waits'); turn++) {
        assert.ok(turn < 8, `it still waits after ${turn} turns`);
        await arrive(world, admittedRun(`stream-${turn}`, [...streamed(2 * turn), ...streamed(2 * turn + 1)]));
        const { running } = world.backend;
        for (const task of running.slice(0, Math.ceil(running.length / 2))) world.backend.finish(task);
        world.clock += STEP_MS;
        await world.pass();
      }
    });
  }
}

async function declareQueue(world: World, name: string): Promise<void> {
  const queue = { apiVersion: 'pangolin.dev/v1', kind: 'Queue', metadata: { name }, spec: { concurrency: SLOTS } };
  await world.store.put(`inbox/${name}-0~human%3Atest.json`, JSON.stringify(queue));
  world.reconciler.engine.admission.hint('inbox/');
  for (let pass = 0; pass < 3; pass++) await world.pass();
}

test('two that want overlapping locks for long keep none from each other', async (t) => {
  const world = await open(t);
  const holding = (id: string, lock: string): AdmittedItem => item(id, { resourceLocks: [lock] });
  await arrive(
    world,
    admittedRun(
      'holders',
      ['x', 'y', 'z'].map((lock) => holding(lock, lock)),
    ),
  );
  await arrive(world, admittedRun('one', [item('i', { resourceLocks: ['x', 'y'] })]));
  world.clock += 1;
  await arrive(world, admittedRun('two', [item('i', { resourceLocks: ['y', 'z'], priority: 9 })]));
  world.clock += AGEING_MS;
  // z first, so that the later one is woken first and keeps y.
  for (const lock of ['z', 'y', 'x']) {
    for (const task of world.backend.running) if (task.start.ref.itemId === lock) world.backend.finish(task);
    await world.pass();
  }
  for (let pass = 0; pass < 4; pass++) {
    for (const task of world.backend.running) world.backend.finish(task);
    await world.pass();
  }
  for (const run of ['one', 'two']) assert.equal(world.state.run(run)!.phase, 'succeeded');
});

test('a lock that is kept for one that may not begin any more is there for the others', async (t) => {
  const ways: readonly (readonly [string, string, object])[] = [
    ['it is cancelled', 'cancel', { run: 'writer', item: 'i' }],
    ['its run is paused', 'pause', { run: 'writer' }],
    ['its queue is paused', 'pause', { queue: 'b' }],
  ];
  for (const [way, verb, about] of ways) {
    await t.test(way, async (each) => {
      const world = await open(each);
      await declareQueue(world, 'b');
      const reading = { resourceLocks: [{ key: 'x' }] };
      await arrive(world, admittedRun('readers', [item('a', reading), item('b', reading)]));
      await arrive(world, admittedRun('writer', [item('i', { resourceLocks: ['x'] })], { queue: 'b' }));
      world.clock += AGEING_MS;
      world.backend.finish(world.backend.running[0]!);
      await world.pass();
      await arrive(world, admittedRun('reader', [item('i', reading)]));
      assert.equal(world.items('reader')[0]?.reason, 'WaitingForLock', 'x is kept for the writer');
      const text = JSON.stringify({ schema: 'control/1', verb, actor: 'human:test', ...about });
      await world.store.put(`control/${verb}.json`, text);
      world.reconciler.engine.admission.hint('control/');
      await world.pass();
      await world.pass();
      world.backend.finish(world.backend.running[0]!);
      for (let pass = 0; pass < 3; pass++) await world.pass();
      assert.equal(world.items('reader')[0]?.attempt, 1);
    });
  }
});
