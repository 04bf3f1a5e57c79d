/** A pause starts nothing, stops nothing, and takes nobody's time. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { itemsKey, QUEUES, statusKey } from '@pangolin/contracts/layout';
import type { AdmittedItem } from '@pangolin/contracts/admitted-run';
import { ACTOR } from '@pangolin/controller/engine/engine';
import { checkNow } from './invariants.ts';
import { admittedItem, admittedRun, World } from './world.ts';

const HOUR = 3_600_000;
const LIMIT = 10_000;

async function open(t: TestContext): Promise<World> {
  const world = new World(({ ref }) => ({ kind: ref.itemId === 'asks' ? 'asks' : 'done' }));
  world.concurrency = 10;
  await world.open();
  t.after(() => world.close());
  return world;
}

async function passes(world: World): Promise<void> {
  for (let pass = 0; pass < 3; pass++) await world.pass();
}

let controls = 0;
async function control(world: World, verb: string, about: object): Promise<void> {
  const text = JSON.stringify({ schema: 'control/1', verb, actor: 'human:test', ...about });
  await world.store.put(`control/${controls++}.json`, text);
  world.reconciler.engine.admission.hint('control/');
  await passes(world);
}

async function declare(world: World, spec: object): Promise<void> {
  const queue = { apiVersion: 'pangolin.dev/v1', kind: 'Queue', metadata: { name: 'default' }, spec };
  await world.store.put(`inbox/default-${controls++}~human%3Atest.json`, JSON.stringify(queue));
  world.reconciler.engine.admission.hint('inbox/');
  await passes(world);
}

const itemsOf = (world: World): string[] => world.items('r').map(({ item_id, reason }) => `${item_id} ${reason}`);

const locked = { resourceLocks: ['x'], timeoutMs: 1000 * HOUR };
const { pipeline: _pipeline, ...waiting } = admittedItem('decision');
/** One of each that has a deadline while it waits. */
const items: AdmittedItem[] = [
  admittedItem('holder', locked),
  admittedItem('ready', { ...locked, queueTimeoutMs: LIMIT }),
  admittedItem('asks', { needsInput: { timeoutMs: LIMIT, onTimeout: 'fail' } }),
  { ...waiting, executor: 'approval', approval: { timeoutMs: LIMIT, onTimeout: 'reject' } },
];
const waitingNow = ['holder Running', 'ready WaitingForLock', 'asks WaitingForInput', 'decision WaitingForApproval'];
const outOfTime = ['holder Running', 'ready QueueTimedOut', 'asks InputTimedOut', 'decision ApprovalTimedOut'];

const pauses: readonly (readonly [string, readonly object[]])[] = [
  ['the run', [{ run: 'r' }]],
  ['the queue', [{ queue: 'default' }]],
  ['both', [{ run: 'r' }, { queue: 'default' }]],
];

for (const [what, about] of pauses) {
  test(`while ${what} is paused no deadline of who waits comes nearer`, async (t) => {
    const world = await open(t);
    const check = (expected: readonly string[]): void => {
      assert.deepEqual(itemsOf(world), expected);
      checkNow(world, 'r', items);
    };
    await world.submit(admittedRun('r', items));
    await passes(world);
    world.backend.finish(world.backend.running.find(({ start }) => start.ref.itemId === 'asks')!);
    await passes(world);
    check(waitingNow);
    world.clock += LIMIT - 1;
    for (const each of about) await control(world, 'pause', each);
    world.clock += HOUR;
    await passes(world);
    check(waitingNow);
    await world.restart();
    await passes(world);
    for (const each of about) {
      assert.equal(world.state.nextDue()! > world.clock + HOUR, true, 'nothing but the task has a deadline');
      await control(world, 'resume', each);
    }
    check(waitingNow);
    world.clock += 1;
    await passes(world);
    check(outOfTime);
  });
}

test('a pause of the run is in its log, once, with who asked for it', async (t) => {
  const world = await open(t);
  await world.submit(admittedRun('r', [admittedItem('a')]));
  await passes(world);
  for (const verb of ['pause', 'pause', 'resume', 'resume']) await control(world, verb, { run: 'r' });
  assert.deepEqual(
    world
      .events('r')
      .map(({ kind, actor }) => `${kind} ${actor}`)
      .slice(-3),
    [`item.fired ${ACTOR}`, 'run.paused human:test', 'run.resumed human:test'],
  );
});

test('a pause of its queue is in the log of every run that it holds, and of those that come meanwhile', async (t) => {
  const world = await open(t);
  const step = async (...runs: string[]): Promise<void> => {
    for (const id of runs) await world.submit(admittedRun(id, [admittedItem('a')]));
    await passes(world);
  };
  const pausesOf = (run: string): string[] =>
    world.events(run).flatMap((event) => {
      if (event.kind !== 'run.paused' && event.kind !== 'run.resumed') return [];
      return [`${event.seq} ${event.kind} ${event.queue ?? 'alone'} ${event.actor}`];
    });
  const queue = { queue: 'default' };
  await step('over');
  world.backend.finish(world.backend.running[0]!);
  await step('r');
  for (const about of [queue, queue, { run: 'r' }]) await control(world, 'pause', about);
  await world.restart();
  await step('late');
  await control(world, 'resume', { run: 'r' });
  for (let time = 0; time < 2; time++) await declare(world, { concurrency: 9, paused: false });
  await step();
  assert.deepEqual(pausesOf('over'), [], 'it had ended');
  assert.deepEqual(pausesOf('r'), [
    '2 run.paused default human:test',
    '3 run.paused alone human:test',
    '4 run.resumed alone human:test',
    '5 run.resumed default human:test',
  ]);
  assert.deepEqual(pausesOf('late'), ['1 run.paused default human:test', '2 run.resumed default human:test']);
  assert.equal(world.events('late').at(-1)?.kind, 'item.fired', 'it goes on');
});

test('a pause whose transaction failed was none, and the next pass takes it up', async (t) => {
  const world = await open(t);
  await world.submit(admittedRun('r', [admittedItem('a')]));
  await passes(world);
  const { evidence } = world.reconciler.engine;
  const failing = async (work: () => Promise<void>): Promise<void> => {
    const append = t.mock.method(evidence, 'appendEvents', () => {
      throw new Error('the disk is full');
    });
    await assert.rejects(work(), /the disk is full/);
    append.mock.restore();
    await passes(world);
  };
  const put = t.mock.method(world.store, 'put');
  const published = (): number => put.mock.calls.filter(({ arguments: [key] }) => key === QUEUES).length;
  await failing(() => control(world, 'pause', { queue: 'default' }));
  assert.equal(published(), 1);
  await world.submit(admittedRun('late', [admittedItem('a')]));
  await failing(() => passes(world));
  assert.equal(published(), 1, 'of the queues nothing has changed');
  for (const [run, kinds] of [
    ['r', ['run.submitted', 'item.fired', 'run.paused']],
    ['late', ['run.submitted', 'run.paused']],
  ] as const)
    assert.deepEqual(
      world.events(run).map(({ kind }) => kind),
      kinds,
    );
});

test('the timeout of a run stands still, also of one that comes while its queue is paused', async (t) => {
  const world = await open(t);
  const limited = { timeoutMs: LIMIT };
  const { timeoutMs: _timeout, ...approval } = { ...waiting, executor: 'approval' as const };
  const run = (id: string): ReturnType<typeof admittedRun> =>
    admittedRun(
      id,
      [{ ...approval, timeoutMs: HOUR, approval: { timeoutMs: 9 * HOUR, onTimeout: 'reject' } }],
      limited,
    );
  await world.submit(run('r'));
  await passes(world);
  await control(world, 'pause', { queue: 'default' });
  await world.submit(run('late'));
  await passes(world);
  world.clock += HOUR;
  await control(world, 'resume', { queue: 'default' });
  world.clock += LIMIT - 1;
  await passes(world);
  for (const id of ['r', 'late']) assert.equal(world.state.run(id)!.phase, 'running');
  world.clock += 1;
  await passes(world);
  for (const id of ['r', 'late']) assert.equal(world.state.run(id)!.cancelled, 'RunTimedOut');
  await control(world, 'retry', { run: 'r' });
  assert.equal(world.state.run('r.retry1')?.timeout_ms, LIMIT, 'a retry has the timeout, and no pause');
});

test('what becomes ready during a pause has all its time when that ends', async (t) => {
  const world = await open(t);
  await world.submit(
    admittedRun('r', [admittedItem('first'), admittedItem('second', { depends_on: ['first'], queueTimeoutMs: LIMIT })]),
  );
  await passes(world);
  await control(world, 'pause', { queue: 'default' });
  world.backend.finish(world.backend.running[0]!);
  await passes(world);
  world.clock += HOUR;
  await passes(world);
  const published = async (): Promise<string> => (await world.store.get(itemsKey('r'))).toString();
  assert.match(await published(), /"second","phase":"ready","reason":"QueuePaused","message":"the queue is paused"/);
  assert.doesNotMatch(await published(), /retryAt/);
  assert.match((await world.store.get(statusKey('r'))).toString(), /"paused": "queue"/);
  await control(world, 'resume', { queue: 'default' });
  assert.deepEqual(itemsOf(world), ['first Succeeded', 'second Running']);
});

test('a paused run that is cancelled runs its onExit items', async (t) => {
  const world = await open(t);
  await world.submit(admittedRun('r', [admittedItem('work'), admittedItem('exit', { onExit: true })]));
  await passes(world);
  await control(world, 'pause', { run: 'r' });
  await control(world, 'cancel', { run: 'r' });
  for (let pass = 0; world.state.run('r')!.finished_at === null; pass++) {
    assert.ok(pass < 10, 'it does not end');
    for (const task of world.backend.running) world.backend.finish(task);
    await passes(world);
  }
  assert.deepEqual(itemsOf(world), ['work Cancelled', 'exit Succeeded']);
});

test('a queue that is declared anew is paused, or not, as the file says, and as before when it does not', async (t) => {
  const world = await open(t);
  const isPaused = (): boolean => world.reconciler.engine.memory.queues.get('default').pausedBy !== null;
  await control(world, 'pause', { queue: 'default' });
  world.concurrency = 7;
  await world.restart();
  assert.equal(world.reconciler.engine.memory.queues.get('default').spec.concurrency, 7, 'a pause fixes nothing else');
  await declare(world, { concurrency: 2 });
  assert.equal(isPaused(), true);
  await declare(world, { concurrency: 2, paused: false });
  assert.equal(isPaused(), false);
});
