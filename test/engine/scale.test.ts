/**
 * What a map-reduce run costs for each of its items does not depend on how many they are. Counted, not timed: statements,
 * bytes that are read from the database, bytes that are written into the storage.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AdmittedPattern } from '@pangolin/contracts/pattern';
import { admittedItem, admittedRun, World } from './world.ts';

const SMALL = 128;
const LARGE = 1024;
/** Of an item of the large run over one of the small run: the fixed costs of a run favour the large one. */
const RATIO_MAX = 1.2;
const PASSES_MAX = 200;

interface Cost {
  readonly statements: number;
  readonly readBytes: number;
  readonly writtenBytes: number;
}

function countReads(world: World): { statements: number; readBytes: number } {
  const counted = { statements: 0, readBytes: 0 };
  const { db } = world.state;
  const prepare = db.prepare.bind(db);
  const sizeOf = (row: unknown): number =>
    Object.values((row ?? {}) as object).reduce((sum: number, value: unknown) => {
      return sum + (typeof value === 'string' || Buffer.isBuffer(value) ? value.length : 8);
    }, 0);
  db.prepare = ((sql: string) => {
    const statement = prepare(sql);
    const counting = (read: (...values: unknown[]) => unknown, sizes: (result: unknown) => number) => {
      return (...values: unknown[]): unknown => {
        const result = read.apply(statement, values);
        counted.statements += 1;
        counted.readBytes += sizes(result);
        return result;
      };
    };
    return {
      run: counting(statement.run.bind(statement), () => 0),
      get: counting(statement.get.bind(statement), sizeOf),
      all: counting(statement.all.bind(statement), (rows) => {
        return (rows as unknown[]).reduce((sum: number, row) => sum + sizeOf(row), 0);
      }),
    };
  }) as typeof db.prepare;
  return counted;
}

async function costPerItem(maps: number): Promise<Cost> {
  const parts = Array.from({ length: maps }, (_, part) => `part-${part}`);
  const world = new World(({ ref }) => ({ kind: 'done', outputs: ref.itemId === 's' ? parts : ['out'] }));
  world.concurrency = 64;
  await world.open();
  try {
    const { id: _id, depends_on: _depends, needs: _needs, ...template } = admittedItem('template');
    const product = { kind: 'output', path: 'out' } as const;
    const pattern: AdmittedPattern = {
      kind: 'map-reduce',
      splits: { split: { map: template, product, reduce: template } },
    };
    const counted = countReads(world);
    let writtenBytes = 0;
    const put = world.store.put.bind(world.store);
    world.store.put = async (key, body, options) => {
      if (typeof body === 'string' || Buffer.isBuffer(body)) writtenBytes += body.length;
      return await put(key, body, options);
    };
    await world.submit(admittedRun('run', [admittedItem('s', { role: 'split' })], { pattern }));
    for (let pass = 0; world.state.run('run')?.finished_at == null; pass++) {
      assert.ok(pass < PASSES_MAX, 'the run does not end');
      for (const task of world.backend.running) world.backend.finish(task);
      world.clock += 1;
      await world.pass();
    }
    assert.equal(world.state.run('run')!.phase, 'succeeded');
    const { statements, readBytes } = counted;
    return { statements: statements / maps, readBytes: readBytes / maps, writtenBytes: writtenBytes / maps };
  } finally {
    world.close();
  }
}

test(`an item of a map-reduce run of ${LARGE} costs what one of a run of ${SMALL} costs`, async (t) => {
  const small = await costPerItem(SMALL);
  const large = await costPerItem(LARGE);
  t.diagnostic(JSON.stringify({ small, large }));
  for (const what of ['statements', 'readBytes', 'writtenBytes'] as const)
    assert.ok(
      large[what] <= RATIO_MAX * small[what],
      `${what}: ${large[what]} an item, and ${small[what]} in a small run`,
    );
});
