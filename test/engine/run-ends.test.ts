/** Every run ends, whatever its items wait for. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import type { AdmittedItem } from '@pangolin/contracts/admitted-run';
import { admittedItem, admittedRun, World, type Fate } from './world.ts';

const PASSES_MAX = 50;

async function open(t: TestContext, fates: Readonly<Record<string, Fate>> = {}): Promise<World> {
  const world = new World(({ ref }) => fates[ref.itemId] ?? { kind: 'done' });
  world.concurrency = 10;
  await world.open();
  t.after(() => world.close());
  return world;
}
const ends = (world: World): string[] =>
  (world.state.run('r') ? world.items('r') : []).map(({ item_id, phase, reason }) => `${item_id} ${phase} ${reason}`);

/** Lets tasks end until the run has. */
async function finish(world: World): Promise<void> {
  for (let pass = 0; world.state.run('r')?.finished_at == null; pass++) {
    assert.ok(pass < PASSES_MAX, JSON.stringify(ends(world)));
    for (const task of world.backend.running) world.backend.finish(task);
    await world.pass();
  }
}

const approval = (id: string): AdmittedItem => {
  const { pipeline: _pipeline, ...rest } = admittedItem(id);
  return { ...rest, executor: 'approval' };
};
const atExit = { onExit: true } as const;

test('onExit items alone are a run', async (t) => {
  const world = await open(t);
  await world.submit(
    admittedRun('r', [admittedItem('a', atExit), admittedItem('b', { ...atExit, depends_on: ['a'] })]),
  );
  await finish(world);
  assert.deepEqual(ends(world), ['a done Succeeded', 'b done Succeeded']);
});

test('an onExit item that waits for what a cancelled run never began is skipped, or runs when any end will do', async (t) => {
  const world = await open(t);
  await world.submit(
    admittedRun(
      'r',
      [
        approval('a'),
        admittedItem('b', { ...atExit, depends_on: ['a'] }),
        admittedItem('c', { ...atExit, depends_on: ['a'], when: { a: 'always' } }),
        admittedItem('d', { ...atExit, depends_on: ['b'], when: { b: 'always' } }),
      ],
      { timeoutMs: 1000 },
    ),
  );
  for (let pass = 0; pass < 3; pass++) await world.pass();
  world.clock += 1000;
  await finish(world);
  assert.deepEqual(ends(world), [
    'a cancelled RunTimedOut',
    'b skipped DependencyFailed',
    'c done Succeeded',
    'd done Succeeded',
  ]);
});

test('a run that times out ends its items for that, wherever they are', async (t) => {
  const world = await open(t, {
    asks: { kind: 'asks' },
    parked: { kind: 'fails', reason: 'ModelRateLimited' },
    retried: { kind: 'fails', reason: 'ExitNonZero' },
  });
  const locked = { resourceLocks: ['x'] };
  const slow = { ...admittedItem('').retry, maxAttempts: 2, initialMs: 60_000 };
  await world.submit(
    admittedRun(
      'r',
      [
        admittedItem('asks'),
        admittedItem('parked'),
        admittedItem('retried', { retry: slow }),
        admittedItem('running', locked),
        admittedItem('ready', locked),
        admittedItem('behind', { depends_on: ['running'] }),
        approval('decision'),
        admittedItem('exit', atExit),
      ],
      { timeoutMs: 10_000 },
    ),
  );
  for (let pass = 0; pass < 3; pass++) await world.pass();
  for (const task of world.backend.running.filter(({ start }) => start.ref.itemId !== 'running'))
    world.backend.finish(task);
  await world.pass();
  assert.deepEqual(ends(world), [
    'asks waiting WaitingForInput',
    'parked waiting WaitingForRetry',
    'retried ready WaitingForRetry',
    'running running Running',
    'ready ready WaitingForLock',
    'behind pending WaitingForDependencies',
    'decision waiting WaitingForApproval',
    'exit pending WaitingForDependencies',
  ]);
  world.clock += 10_000;
  await world.pass();
  await finish(world);
  assert.deepEqual(
    ends(world),
    ['asks', 'parked', 'retried', 'running', 'ready', 'behind', 'decision']
      .map((id) => `${id} cancelled RunTimedOut`)
      .concat('exit done Succeeded'),
  );
  const { phase } = world.state.run('r')!;
  assert.equal(phase, 'cancelled');
});

test('a stop that a crash has swallowed is given again by the next controller', async (t) => {
  const world = await open(t);
  await world.submit(admittedRun('r', [admittedItem('a')], { timeoutMs: 10_000 }));
  for (let pass = 0; pass < 3; pass++) await world.pass();
  const stop = world.backend.stop.bind(world.backend);
  world.backend.stop = async () => {};
  world.clock += 10_000;
  await world.pass();
  assert.equal(world.items('r')[0]?.reason, 'Cancelling');
  let stops = 0;
  world.backend.stop = async (name) => {
    stops++;
    await stop(name);
  };
  await world.restart();
  for (let pass = 0; world.state.run('r')?.finished_at == null; pass++) {
    assert.ok(pass < PASSES_MAX, 'its kill deadline would be too late: nothing of its work is kept then');
    await world.pass();
  }
  assert.deepEqual([ends(world), stops], [['a cancelled RunTimedOut'], 1]);
});
