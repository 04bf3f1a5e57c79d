import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FASTEST_MS, IDLE_MS_PER_LIST, pollDelayMs, S3Watch, type Timers } from '@pangolin/storage/s3-watch';

/** A clock that only moves when told, and objects that only change when told. */
class World {
  now = 0;
  lists: number[] = [];
  readonly calls: string[] = [];
  readonly etags = new Map<string, string>();
  failing = false;
  #next: { at: number; call: () => void } | undefined;

  readonly timers: Timers = {
    after: (ms, call) => {
      const entry = { at: this.now + ms, call };
      this.#next = entry;
      return () => {
        if (this.#next === entry) this.#next = undefined;
      };
    },
  };

  watch(prefixes: readonly string[], pages = 1): S3Watch {
    const list = async (prefix: string, after: string | undefined) => {
      this.lists.push(this.now);
      if (this.failing) throw new Error('unavailable');
      const page = after === undefined ? 1 : Number(after) + 1;
      const objects = [...this.etags]
        .filter(([key]) => key.startsWith(prefix))
        .map(([key, etag]) => ({ key, size: 1, etag }));
      return { objects, next: page < pages ? String(page) : undefined };
    };
    return new S3Watch(prefixes, list, (prefix) => this.calls.push(prefix), this.timers);
  }

  get armed(): boolean {
    return this.#next !== undefined;
  }

  async pass(ms: number): Promise<void> {
    for (const end = this.now + ms; ;) {
      const next = this.#next;
      if (next === undefined || next.at > end) {
        this.now = end;
        return;
      }
      this.#next = undefined;
      this.now = next.at;
      next.call();
      // A round is a handful of microtasks.
      await new Promise(setImmediate);
    }
  }
}

test('idle, two prefixes cost at most six LIST requests a minute', async () => {
  const world = new World();
  await world.watch(['inbox/', 'control/']).start();
  await world.pass(10 * 60_000);
  world.lists = [];
  await world.pass(60 * 60_000);
  assert.ok(world.lists.length <= 6 * 60, `${world.lists.length} in an hour`);
  assert.ok(world.lists.length >= 5 * 60, 'it still looks');
  assert.deepEqual(world.calls, []);
});

test('a prefix of several pages is looked at less often, not at a higher price', async () => {
  const world = new World();
  await world.watch(['runs/'], 5).start();
  await world.pass(10 * 60_000);
  world.lists = [];
  await world.pass(60 * 60_000);
  assert.ok(world.lists.length <= 6 * 60, `${world.lists.length} in an hour`);
});

test('after a change it looks often again, and calls back for that prefix only', async () => {
  const world = new World();
  await world.watch(['inbox/', 'control/']).start();
  await world.pass(10 * 60_000);
  for (const [key, etag] of [
    ['inbox/a', '1'],
    ['inbox/a', '2'],
  ] as const) {
    world.etags.set(key, etag);
    await world.pass(2 * IDLE_MS_PER_LIST);
  }
  assert.deepEqual(world.calls, ['inbox/', 'inbox/']);
  world.etags.delete('inbox/a');
  await world.pass(2 * IDLE_MS_PER_LIST);
  assert.equal(world.calls.length, 3);
  world.lists = [];
  world.etags.set('control/x', '1');
  await world.pass(2 * IDLE_MS_PER_LIST);
  assert.equal(world.calls.at(-1), 'control/');
  assert.ok(world.lists.length > 10, 'the pace went up');
});

test('what is there at the start is no change; what fails is looked at again', async () => {
  const world = new World();
  world.etags.set('inbox/a', '1');
  const watch = world.watch(['inbox/']);
  await watch.start();
  assert.deepEqual(world.calls, []);
  world.failing = true;
  world.etags.set('inbox/a', '2');
  await world.pass(60_000);
  assert.deepEqual(world.calls, []);
  world.failing = false;
  await world.pass(60_000);
  assert.deepEqual(world.calls, ['inbox/']);
});

test('a stopped watch makes no more requests', async () => {
  const world = new World();
  const watch = world.watch(['inbox/']);
  await watch.start();
  await watch.stop();
  assert.equal(world.armed, false);
  world.lists = [];
  await world.pass(60_000);
  assert.deepEqual(world.lists, []);
});

test('the delay grows from the fastest to the idle one', () => {
  const delays = Array.from({ length: 20 }, (_, quiet) => pollDelayMs(quiet, 2));
  assert.equal(delays[0], FASTEST_MS);
  assert.equal(delays.at(-1), 2 * IDLE_MS_PER_LIST);
  assert.deepEqual(
    delays,
    [...delays].sort((a, b) => a - b),
  );
});
