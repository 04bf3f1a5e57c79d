/** A disk without space, as SQLite reports it when a file may not grow. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { pino } from 'pino';
import { admittedItem, admittedRun, World } from './world.ts';

interface Line {
  readonly level: number;
  readonly msg: string;
}

async function open(t: TestContext): Promise<{ readonly world: World; readonly lines: readonly Line[] }> {
  const world = new World(() => ({ kind: 'done' }));
  t.after(() => world.close());
  const lines: Line[] = [];
  world.log = pino({}, { write: (line: string) => void lines.push(JSON.parse(line) as Line) });
  await world.open();
  return { world, lines };
}

test('a run that is dropped while the disk is full waits for room, and nothing is told that was not kept', async (t) => {
  const { world, lines } = await open(t);
  const { db } = world.state;
  db.pragma(`max_page_count = ${String(db.pragma('page_count', { simple: true }))}`);
  const items = Array.from({ length: 200 }, (_, n) => admittedItem(`i${n}`));
  await world.submit(admittedRun('r', items));
  const deadline = Date.now() + 300_000;
  let full = true;
  await world.reconciler.run(() => {
    world.reconciler.wake();
    if (full && lines.some(({ level }) => level === 50)) {
      full = false;
      assert.match(lines.at(-1)!.msg, /^a pass failed: there is no space left to write .*state\.db: /);
      assert.equal(lines.length, 1);
      db.pragma('max_page_count = 100000');
      // After which everything that was dropped is looked at again.
      world.clock += 60_000;
    }
    return world.backend.running.length > 0 || Date.now() > deadline;
  });
  assert.deepEqual(
    lines.slice(1).map(({ msg }) => msg),
    ['submission', 'dispatched', 'dispatched', 'dispatched'],
  );
});

test('a pass that goes on failing is told of once a minute', async (t) => {
  const { world, lines } = await open(t);
  let passes = 0;
  world.reconciler.reconcile = async () => {
    passes += 1;
    if (passes % 10 === 0) world.clock += 60_000;
    throw new Error('no');
  };
  await world.reconciler.run(() => (world.reconciler.wake(), passes === 25));
  assert.deepEqual(
    lines.map(({ msg }) => msg),
    ['a pass failed: no', ...Array(2).fill('a pass failed, as all do since 2026-01-01T00:00:00.000Z: no')],
  );
});
