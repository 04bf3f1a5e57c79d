/** Schedules over a simulated clock: what is due becomes a run once, whatever the controller lived through. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import type { ScheduleStatus, SlotStatus } from '@pangolin/contracts/schedule';
import type { Control } from '@pangolin/contracts/control';
import { World } from './world.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

class Scheduled extends World {
  #drops = 0;

  /** Hourly at half past, unless `spec` says otherwise; the clock begins at midnight. */
  async declare(spec: object = {}): Promise<void> {
    const run = { items: [{ id: 'a', pipeline: { blocks: [{ kind: 'script', command: 'true' }] } }] };
    const document = {
      apiVersion: 'pangolin.dev/v1',
      kind: 'Schedule',
      metadata: { name: 's' },
      spec: { cron: '30 * * * *', run, ...spec },
    };
    await this.store.put(`inbox/s${this.#drops++}-1~human%3Atest.json`, JSON.stringify(document));
    this.reconciler.engine.admission.hint('inbox/');
    await this.settle();
  }

  async ask(verb: Control['verb'], about: object = { schedule: 's' }): Promise<void> {
    const control = { schema: 'control/1', verb, actor: 'human:test', ...about };
    await this.store.put(`control/c${this.#drops++}.json`, JSON.stringify(control));
    this.reconciler.engine.admission.hint('control/');
    await this.settle();
  }

  /** Until nothing of it moves any more; tasks run on. */
  async settle(): Promise<void> {
    for (let pass = 0; pass < 8; pass++) await this.pass();
  }

  async at(clock: string): Promise<void> {
    this.clock = Date.parse(`2026-01-01T${clock}Z`);
    await this.settle();
  }

  get runs(): string[] {
    const rows = this.state.db.prepare('SELECT run_id FROM run ORDER BY rn').all() as { run_id: string }[];
    return rows.map(({ run_id }) => run_id.replace('s@2026-01-01T', '').replace(':00.000Z', ''));
  }

  async status(): Promise<ScheduleStatus> {
    return JSON.parse((await this.store.get('schedules/s.json', { maxBytes: 1e6 })).toString()) as ScheduleStatus;
  }
}

async function open(t: TestContext): Promise<Scheduled> {
  const world = new Scheduled(() => ({ kind: 'done' }));
  await world.open();
  t.after(() => world.close());
  return world;
}

const skips = ({ recent }: ScheduleStatus): (string | undefined)[] =>
  recent.filter(({ outcome }) => outcome === 'skipped').map(({ slot, why }) => `${slot.slice(11, 16)} ${why}`);

test('a due slot is submitted once, through the inbox, under its own id', async (t) => {
  const world = await open(t);
  await world.declare();
  await world.at('00:29:59.999');
  assert.deepEqual(world.runs, []);
  assert.equal((await world.status()).nextSlot, '2026-01-01T00:30:00.000Z');
  await world.at('00:30');
  await world.at('00:31');
  assert.deepEqual(world.runs, ['00:30']);
  const run = world.state.run('s@2026-01-01T00:30:00.000Z')!;
  assert.equal(run.actor, 'service:schedule');
  assert.deepEqual(JSON.parse(run.labels), { 'pangolin.dev/schedule': 's' });
  assert.deepEqual((await world.status()).lastRun, {
    slot: '2026-01-01T00:30:00.000Z',
    run: 's@2026-01-01T00:30:00.000Z',
    outcome: 'submitted',
  } satisfies SlotStatus);
});

for (const [catchUp, runs, skipped] of [
  [
    'coalesce',
    ['03:30'],
    ['02:30 a later slot was due as well', '01:30 a later slot was due as well', '00:30 a later slot was due as well'],
  ],
  ['all', ['00:30', '01:30', '02:30', '03:30'], []],
  [
    'none',
    [],
    [
      '03:30 nothing served when it was due',
      '02:30 nothing served when it was due',
      '01:30 nothing served when it was due',
      '00:30 nothing served when it was due',
    ],
  ],
] as const) {
  test(`after hours without a controller, catchUp ${catchUp} submits ${runs.length}`, async (t) => {
    const world = await open(t);
    await world.declare({ catchUp });
    world.clock += 4 * HOUR;
    await world.restart();
    await world.settle();
    assert.deepEqual(world.runs, runs);
    assert.deepEqual(skips(await world.status()), skipped);
    await world.at('04:30');
    assert.deepEqual(world.runs, [...runs, '04:30']);
  });
}

test('a year without a controller costs no more than what is kept of it', async (t) => {
  const world = await open(t);
  await world.declare({ cron: '*/5 * * * *', catchUp: 'all' });
  world.clock += 365 * 24 * HOUR;
  await world.restart();
  await world.settle();
  assert.equal(world.runs.length, 100);
  assert.equal(world.runs.at(-1), 's@2027-01-01T00:00');
  assert.equal((await world.status()).recent.length, 100);
});

test('overlap skip leaves a slot out while an earlier run goes on, and says which', async (t) => {
  const world = await open(t);
  await world.declare({ overlap: 'skip' });
  await world.at('00:30');
  await world.at('01:30');
  assert.deepEqual(world.runs, ['00:30']);
  assert.deepEqual(skips(await world.status()), ['01:30 s@2026-01-01T00:30:00.000Z had not ended']);
  for (const task of world.backend.running) world.backend.finish(task);
  await world.settle();
  await world.at('02:30');
  assert.deepEqual(world.runs, ['00:30', '02:30']);
});

test('overlap replace cancels the earlier run; allow lets both run', async (t) => {
  for (const [overlap, phase] of [
    ['replace', 'cancelled'],
    ['allow', 'running'],
  ] as const) {
    const world = await open(t);
    await world.declare({ overlap });
    await world.at('00:30');
    await world.at('01:30');
    assert.deepEqual(world.runs, ['00:30', '01:30']);
    assert.equal(world.state.run('s@2026-01-01T00:30:00.000Z')!.phase, phase);
    assert.equal(world.state.run('s@2026-01-01T01:30:00.000Z')!.phase, 'running');
  }
});

test('a paused schedule submits nothing, and what passed is not caught up', async (t) => {
  const world = await open(t);
  await world.declare();
  await world.ask('pause');
  await world.at('02:00');
  assert.deepEqual([(await world.status()).paused, (await world.status()).nextSlot], [true, undefined]);
  await world.ask('resume');
  await world.at('02:30');
  assert.deepEqual(world.runs, ['02:30']);
});

test('a trigger is a run now, by the one who asked, also of a paused schedule', async (t) => {
  const world = await open(t);
  await world.declare({ overlap: 'skip', paused: true });
  await world.ask('trigger');
  await world.ask('trigger');
  const rows = world.state.db.prepare('SELECT run_id, actor FROM run ORDER BY rn').all();
  assert.deepEqual(rows, [
    { run_id: 's@2026-01-01T00:00:00.000Z', actor: 'human:test' },
    { run_id: 's@2026-01-01T00:00:00.001Z', actor: 'human:test' },
  ]);
});

test('changing a schedule keeps its slots from now on; removing it removes it', async (t) => {
  const world = await open(t);
  await world.declare();
  await world.at('00:20');
  await world.declare({ cron: '10 * * * *' });
  await world.at('00:59');
  assert.deepEqual(world.runs, []);
  await world.at('01:10');
  assert.deepEqual(world.runs, ['01:10']);
  await world.ask('remove');
  await world.at('02:10');
  assert.deepEqual(world.runs, ['01:10']);
  assert.equal(await world.store.head('schedules/s.json'), undefined);
});

test('a slot whose run is refused says why', async (t) => {
  const world = await open(t);
  await world.declare();
  await world.submit({ ...(await admitted()), id: 's@2026-01-01T00:30:00.000Z' });
  await world.at('00:30');
  const { lastRun } = await world.status();
  assert.equal(lastRun?.outcome, 'rejected');
  assert.match(lastRun.why!, /another spec exists/);
});

async function admitted() {
  const { admittedItem, admittedRun } = await import('./world.ts');
  return admittedRun('x', [admittedItem('a')]);
}

test('a slot is one run, wherever a controller dies on the way', async (t) => {
  for (let dieAfter = 0; dieAfter < 6; dieAfter++) {
    const world = await open(t);
    await world.declare();
    world.clock += HOUR;
    for (let pass = 0; pass < dieAfter; pass++) await world.pass();
    await world.restart();
    await world.settle();
    assert.deepEqual(world.runs, ['00:30'], `after ${dieAfter} passes`);
  }
});

test('two controllers with a state of their own submit one run to one inbox', async (t) => {
  const first = await open(t);
  const second = new Scheduled(() => ({ kind: 'done' }), first.store);
  await second.open();
  t.after(() => second.close());
  await first.declare();
  await second.declare();
  for (const world of [first, second]) world.clock += HOUR;
  await second.reconciler.reconcile();
  await new Promise((resolve) => setImmediate(resolve));
  await first.settle();
  await second.settle();
  assert.deepEqual(first.runs, ['00:30']);
  assert.ok(second.runs.length <= 1);
  assert.deepEqual([...new Set([...first.runs, ...second.runs])], ['00:30']);
});
