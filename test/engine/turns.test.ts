/** Who comes when: nothing that is ready waits for ever, whatever else is submitted. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import type { AdmittedItem } from '@pangolin/contracts/admitted-run';
import { PLACES_PER_PRIORITY, rankOf } from '@pangolin/controller/engine/queues';
import { admittedItem, admittedRun, World } from './world.ts';

async function open(t: TestContext, limits: Partial<Pick<World, 'concurrency' | 'tasksMax'>>): Promise<World> {
  const world = new World(() => ({ kind: 'done' }));
  Object.assign(world, limits);
  await world.open();
  t.after(() => world.close());
  return world;
}

const many = (count: number, more: object = {}): ReturnType<typeof admittedItem>[] =>
  Array.from({ length: count }, (_, n) => admittedItem(`i${n}`, more));

/** Every running task ends, and what is ready takes its place. */
async function turn(world: World): Promise<void> {
  for (const task of world.backend.running) world.backend.finish(task);
  await world.pass();
}

test('a point of priority is worth so many turns', () => {
  assert.equal(rankOf(PLACES_PER_PRIORITY + 7, 1), rankOf(7, 0));
});

test('under the cap of all queues no queue waits for another one to run dry', async (t) => {
  const world = await open(t, { concurrency: 8, tasksMax: 2 });
  const queues = ['default', 'b', 'c'];
  for (const name of queues.slice(1)) {
    const document = { apiVersion: 'pangolin.dev/v1', kind: 'Queue', metadata: { name }, spec: { concurrency: 8 } };
    await world.store.put(`inbox/${name}-0~human%3Atest.json`, JSON.stringify(document));
  }
  world.reconciler.engine.admission.hint('inbox/');
  await world.pass();
  await world.pass();
  for (const queue of queues) await world.submit(admittedRun(`of-${queue}`, many(12), { queue }));
  for (let turns = 0; turns < 9; turns++) await turn(world);
  const started = queues.map((queue) => world.items(`of-${queue}`).filter(({ attempt }) => attempt > 0).length);
  assert.ok(Math.max(...started) - Math.min(...started) <= 1, `started of each queue: ${started.join(', ')}`);
});

/** `x` is held, then `first` waits for it in front of `second`. */
async function waitingForX(world: World, first: Partial<AdmittedItem> = {}, queue = 'default'): Promise<void> {
  const locked = { resourceLocks: ['x'] };
  await world.submit(admittedRun('holder', [admittedItem('i', locked)]));
  await world.pass();
  await world.pass();
  await world.submit(admittedRun('first', [admittedItem('i', { ...locked, priority: 1, ...first })], { queue }));
  await world.submit(admittedRun('second', [admittedItem('i', locked)]));
  await world.pass();
  await world.pass();
  for (const run of ['first', 'second']) assert.equal(world.items(run)[0]?.reason, 'WaitingForLock');
}

async function control(world: World, verb: string, about: object): Promise<void> {
  const text = JSON.stringify({ schema: 'control/1', verb, actor: 'human:test', ...about });
  await world.store.put(`control/${verb}.json`, text);
  world.reconciler.engine.admission.hint('control/');
}

test('who was next for a lock and gives up, or may not begin, keeps nobody from it', async (t) => {
  for (const way of ['its wait times out', 'its run is paused', 'its queue is paused']) {
    await t.test(way, async (each) => {
      const world = await open(each, { concurrency: 8 });
      const queue = { apiVersion: 'pangolin.dev/v1', kind: 'Queue', metadata: { name: 'b' }, spec: { concurrency: 8 } };
      await world.store.put('inbox/b-0~human%3Atest.json', JSON.stringify(queue));
      world.reconciler.engine.admission.hint('inbox/');
      for (let pass = 0; pass < 3; pass++) await world.pass();
      if (way === 'its wait times out') await waitingForX(world, { queueTimeoutMs: 1000 });
      else await waitingForX(world, {}, way === 'its queue is paused' ? 'b' : 'default');
      if (way === 'its run is paused') await control(world, 'pause', { run: 'first' });
      if (way === 'its queue is paused') await control(world, 'pause', { queue: 'b' });
      await world.pass();
      await world.pass();
      // In one pass: the holder ends, the first one is woken, and its time is up.
      world.clock += 1000;
      await turn(world);
      await world.pass();
      assert.equal(world.items('second')[0]?.phase, 'running');
    });
  }
});
