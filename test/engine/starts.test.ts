/** A backend that takes few starts at once: the rest stays ready, where nothing is sealed for it and no deadline runs. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TaskStart } from '@pangolin/controller/providers/provider';
import { admittedItem, admittedRun, SimBackend, World } from './world.ts';

/** Its starts wait until the test lets them through. */
class SlowStarts extends SimBackend {
  readonly startsMax = 3;
  readonly waiting: (() => void)[] = [];
  override async start(task: TaskStart): Promise<void> {
    await new Promise<void>((resolve) => this.waiting.push(resolve));
    await super.start(task);
  }
}

test('no more dispatches are sealed than the backend takes', async () => {
  const backend = new SlowStarts(() => ({ kind: 'done' }));
  const world = new World(backend);
  world.concurrency = 100;
  await world.open();
  const phases = (): Record<string, number> => {
    const counts: Record<string, number> = {};
    for (const { phase } of world.items('r')) counts[phase] = (counts[phase] ?? 0) + 1;
    return counts;
  };
  try {
    await world.submit(
      admittedRun(
        'r',
        Array.from({ length: 10 }, (_, n) => admittedItem(`i${n}`)),
      ),
    );
    for (let n = 0; n < 5 && !world.state.run('r'); n++) await world.pass();
    assert.deepEqual(phases(), { starting: 3, ready: 7 });
    // Longer than any start may take once it is dispatched: it is not for them.
    world.clock += 600_000;
    await world.pass();
    assert.equal(phases()['ready'], 7);
    let passes = 0;
    while (backend.births.length < 10) {
      assert.ok(passes++ < 50, JSON.stringify(phases()));
      backend.waiting.splice(0).forEach((go) => go());
      await new Promise((resolve) => setImmediate(resolve));
      await world.pass();
      assert.ok(backend.waiting.length <= 3);
    }
  } finally {
    world.close();
  }
});

test('a controller that drains starts nothing more, and the next one starts the rest', async () => {
  const backend = new SimBackend(() => ({ kind: 'done' }));
  const world = new World(backend);
  world.concurrency = 100;
  await world.open();
  try {
    const items = Array.from({ length: 5 }, (_, n) => admittedItem(`i${n}`));
    world.reconciler.drain();
    await world.submit(admittedRun('r', items));
    for (let n = 0; n < 5; n++) await world.pass();
    assert.deepEqual([backend.births.length, world.items('r').map(({ phase }) => phase)], [0, Array(5).fill('ready')]);
    world.reconciler.engine.memory.draining = false;
    for (let n = 0; n < 50 && backend.births.length < 5; n++) await world.pass();
    assert.equal(backend.births.length, 5);
  } finally {
    world.close();
  }
});
