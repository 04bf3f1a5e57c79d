/** Runs that grow by the pattern of their queue: the real engine, over a backend whose tasks end as the test says. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AdmittedPattern, AdmittedTemplate } from '@pangolin/contracts/pattern';
import type { AdmittedItem } from '@pangolin/contracts/admitted-run';
import { ITEMS_MAX } from '@pangolin/contracts/run';
import { specOf } from '@pangolin/controller/engine/engine';
import { planRun } from '@pangolin/controller/plan/patterns/patterns';
import { admittedItem, admittedRun, World, type Fate } from './world.ts';

const RUN = 'run';
const PASSES_MAX = 100;

function template(more: Partial<AdmittedTemplate> = {}): AdmittedTemplate {
  const { id: _id, depends_on: _depends, needs: _needs, ...rest } = admittedItem('template');
  return { ...rest, ...more };
}
const patch = { kind: 'patch' } as const;
const output = (path: string): { kind: 'output'; path: string } => ({ kind: 'output', path });
const done = (...outputs: string[]): Fate => ({ kind: 'done', outputs });
const red: Fate = { kind: 'done', red: true };
const fails: Fate = { kind: 'fails', reason: 'ExitNonZero' };

/** Runs it to its end. `restart`: the controller is killed after every pass, and nothing may come of it. */
async function ends(
  pattern: AdmittedPattern,
  items: readonly AdmittedItem[],
  fates: Readonly<Record<string, Fate>>,
  look: (world: World) => void = () => {},
  before: (world: World) => Promise<void> | void = () => {},
): Promise<Record<string, string>> {
  let first: Record<string, string> | undefined;
  for (const restart of [false, true]) {
    const world = new World(({ ref }) => fates[ref.itemId] ?? done());
    await world.open();
    try {
      const planned = planRun(items, pattern);
      await world.submit(admittedRun(RUN, planned.items, { pattern: planned.pattern }));
      await world.pass();
      for (let pass = 0; world.state.run(RUN)?.finished_at == null; pass++) {
        if (pass === PASSES_MAX) assert.fail(`the run does not end: ${JSON.stringify(phases(world))}`);
        await before(world);
        for (const task of world.backend.running) world.backend.finish(task);
        if (restart && world.state.run(RUN)) await world.restart();
        world.clock += 2000;
        await world.pass();
      }
      look(world);
      const now = phases(world);
      assert.deepEqual(first ?? now, now, 'a restart changed what became of the run');
      first = now;
    } finally {
      world.close();
    }
  }
  return first!;
}

const phases = (world: World): Record<string, string> =>
  Object.fromEntries(
    world.items(RUN).map(({ item_id, phase, reason }) => {
      return [item_id, reason === 'Succeeded' ? phase : `${phase} ${reason}`];
    }),
  );

/** Causes of the extensions, in their order. */
const causes = (world: World): (string | undefined)[] =>
  world.events(RUN).flatMap((event) => {
    if (event.kind !== 'run.extended') return [];
    assert.equal(event.actor, 'pattern:default');
    return [event.cause];
  });

/* ---- map-reduce ---- */

const rows: AdmittedPattern = {
  kind: 'map-reduce',
  splits: { rows: { outputs: 'parts/', map: template(), product: output('out'), reduce: template() } },
};
const splitter = (id: string, more: Partial<AdmittedItem> = {}): AdmittedItem =>
  admittedItem(id, { role: 'rows', ...more });

test('every output of a splitter becomes a map item, and their products go to one reduce item', async () => {
  const mapped = { 's.1': done('out'), 's.2': done('out') };
  const fates = { s: done('parts/b', 'parts/a', 'log'), t: done('parts/x'), 't.1': done('out'), ...mapped };
  const after = admittedItem('after', { depends_on: ['s'] });
  const phasesAt = await ends(rows, [splitter('s', { params: { year: 7 } }), splitter('t'), after], fates, (world) => {
    const spec = new Map(world.items(RUN).map((row) => [row.item_id, specOf(row)]));
    assert.deepEqual(spec.get('s.1')!.needs, { part: { from: 's', select: output('parts/a') } });
    assert.deepEqual(spec.get('s.1')!.params, { year: 7, part: { index: 1, count: 2, path: 'parts/a' } });
    assert.deepEqual(spec.get('s.reduce')!.needs, {
      'part-00001': { from: 's.1', select: output('out') },
      'part-00002': { from: 's.2', select: output('out') },
    });
    assert.deepEqual(causes(world).sort(), ['s', 't']);
    assert.equal(world.state.run(RUN)!.phase, 'succeeded');
  });
  assert.deepEqual(Object.keys(phasesAt).sort(), ['after', 's', 's.1', 's.2', 's.reduce', 't', 't.1', 't.reduce']);
});

test('a failed map item skips the reduce item, and a splitter without parts has failed', async () => {
  const fates = { s: done('parts/a', 'parts/b'), 's.1': done('out'), 's.2': fails, t: done('elsewhere') };
  assert.deepEqual(await ends(rows, [splitter('s'), splitter('t')], fates), {
    s: 'done',
    t: 'failed NothingToMap',
    's.1': 'done',
    's.2': 'failed ExitNonZero',
    's.reduce': 'skipped DependencyFailed',
  });
});

const nested: AdmittedPattern = {
  kind: 'map-reduce',
  splits: {
    files: { map: template({ role: 'lines' }), product: output('sum'), reduce: template() },
    lines: { map: template(), product: output('out'), reduce: template() },
  },
};

test('map items may split again; the outer reduce item gets what the inner ones yield', async () => {
  const fates: Record<string, Fate> = { s: done('a', 'b', 'c') };
  for (const n of [1, 2, 3]) {
    fates[`s.${n}`] = done('x', 'y');
    fates[`s.${n}.1`] = fates[`s.${n}.2`] = done('out');
    fates[`s.${n}.reduce`] = done('sum');
  }
  const files = admittedItem('s', { role: 'files' });
  const all = await ends(nested, [files], fates, (world) => {
    const outer = specOf(world.items(RUN).find(({ item_id }) => item_id === 's.reduce')!);
    assert.deepEqual(outer.depends_on, ['s.1.reduce', 's.2.reduce', 's.3.reduce']);
    assert.equal(world.state.run(RUN)!.phase, 'succeeded');
  });
  assert.equal(Object.keys(all).length, 1 + 3 + 3 * 3 + 1);

  fates['s.2'] = fails;
  const broken = await ends(nested, [files], fates);
  assert.equal(broken['s.1.reduce'], 'done');
  assert.equal(broken['s.reduce'], 'skipped DependencyFailed');
});

test('what cannot be appended fails the splitter with its reason, and nothing hangs', async () => {
  const taken = [splitter('s'), admittedItem('s.1')];
  assert.equal((await ends(rows, taken, { s: done('parts/a') }))['s'], 'failed GrowthRefused');
  const long = 's'.repeat(199);
  assert.equal((await ends(rows, [splitter(long)], { [long]: done('parts/a') }))[long], 'failed GrowthRefused');

  const endless: AdmittedPattern = {
    kind: 'map-reduce',
    splits: { again: { map: template({ role: 'again' }), product: patch, reduce: template() } },
  };
  const world = new World(() => done('a'));
  await world.open();
  try {
    await world.submit(admittedRun(RUN, [admittedItem('s', { role: 'again' })], { pattern: endless }));
    for (let pass = 0; world.state.run(RUN)?.finished_at == null; pass++) {
      assert.ok(pass < PASSES_MAX);
      await world.pass();
      for (const task of world.backend.running) world.backend.finish(task);
    }
    assert.equal(Object.values(phases(world)).filter((phase) => phase === 'failed GrowthRefused').length, 1);
  } finally {
    world.close();
  }
});

test('a run cannot grow beyond its largest size', async () => {
  const world = new World(({ ref }) => (ref.itemId === 's' ? done('parts/a') : done('out')));
  await world.open();
  try {
    await world.submit(admittedRun(RUN, [splitter('s')], { pattern: rows }));
    await world.pass();
    await world.pass();
    // As if all the others were there.
    world.state.db.prepare("INSERT INTO run_count VALUES (1, 'done', ?)").run(ITEMS_MAX - 2);
    for (const task of world.backend.running) world.backend.finish(task);
    await world.pass();
    const [row] = world.items(RUN);
    assert.deepEqual([row!.phase, row!.reason], ['failed', 'GrowthRefused']);
    assert.match(row!.message!, /would have 100001 items, and a run has at most 100000/);
  } finally {
    world.close();
  }
});

test('a retried splitter makes the new run grow, unless the old one has grown from it', async () => {
  const world = new World(({ ref }) => {
    if (ref.itemId === 's') return ref.runId === RUN ? fails : done('parts/a');
    return ref.runId === 'again' && ref.itemId === 's.1' ? fails : done('out');
  });
  await world.open();
  const finish = async (run: string): Promise<void> => {
    for (let pass = 0; world.state.run(run)?.finished_at == null; pass++) {
      assert.ok(pass < PASSES_MAX, `${run} does not end`);
      for (const task of world.backend.running) world.backend.finish(task);
      await world.pass();
    }
  };
  const retry = async (n: number, run: string, more: object = {}): Promise<void> => {
    const control = { schema: 'control/1', verb: 'retry', run, actor: 'human:test', ...more };
    await world.store.put(`control/c${n}.json`, JSON.stringify(control));
    world.reconciler.engine.admission.hint('control/');
  };
  try {
    await world.submit(admittedRun(RUN, [splitter('s')], { pattern: rows }));
    await finish(RUN);
    await retry(1, RUN, { as: 'again' });
    await finish('again');
    const ids = (run: string): string[] => world.items(run).map(({ item_id, phase }) => `${item_id} ${phase}`);
    assert.deepEqual(ids('again'), ['s done', 's.1 failed', 's.reduce skipped']);
    await retry(2, 'again', { as: 'third' });
    await finish('third');
    assert.deepEqual(ids('third'), ['s.1 done', 's.reduce done']);
    await retry(3, 'again', { item: 's', as: 'fourth' });
    for (let pass = 0; pass < 5; pass++) await world.pass();
    assert.equal(world.state.run('fourth'), undefined, 'it would grow twice');
  } finally {
    world.close();
  }
});

/* ---- pipeline ---- */

const gated = (attempts: number): AdmittedPattern => ({
  kind: 'pipeline',
  gates: {
    test: {
      onRed: 'spawn-fix',
      fix: template({ needs: { report: { from: 'gate', select: output('report') } } }),
      replaces: 'patch',
      attempts,
    },
    look: { onRed: 'advance' },
  },
  rest: [],
});
const takes = (from: string): Pick<AdmittedItem, 'needs' | 'depends_on'> => ({
  needs: { patch: { from, select: patch } },
  depends_on: [from],
});
const steps = [
  admittedItem('build'),
  admittedItem('test', { role: 'test', ...takes('build') }),
  admittedItem('look', { role: 'look' }),
  admittedItem('ship', takes('build')),
];

test('a green gate lets the rest of the chain join in its order', async () => {
  const all = await ends(gated(2), steps, {}, (world) => {
    assert.deepEqual(causes(world), ['test']);
    const order = world.events(RUN).flatMap((event) => (event.kind === 'item.fired' ? [event.itemId] : []));
    assert.deepEqual(order, ['build', 'test', 'look', 'ship']);
  });
  assert.deepEqual(all, { build: 'done', test: 'done', look: 'done', ship: 'done' });
});

test('a red gate gets a fix and another check, and what follows takes the fixed product', async () => {
  const fates = { test: { ...red, outputs: ['report'] } as Fate, 'test.check.1': red };
  const all = await ends(gated(2), steps, fates, (world) => {
    const spec = new Map(world.items(RUN).map((row) => [row.item_id, specOf(row)]));
    assert.deepEqual(spec.get('test.fix.1')!.needs, {
      patch: { from: 'build', select: patch },
      report: { from: 'test', select: output('report') },
    });
    assert.deepEqual(spec.get('test.check.1')!.needs, { patch: { from: 'test.fix.1', select: patch } });
    assert.deepEqual(spec.get('ship')!.needs, { patch: { from: 'test.fix.2', select: patch } });
    assert.deepEqual(spec.get('look')!.depends_on, ['test.check.2']);
    assert.deepEqual(causes(world), ['test', 'test.check.1', 'test.check.2']);
    assert.equal(world.state.run(RUN)!.phase, 'succeeded');
  });
  assert.deepEqual(Object.keys(all), [
    'build',
    'test',
    'test.fix.1',
    'test.check.1',
    'test.fix.2',
    'test.check.2',
    'look',
    'ship',
  ]);
});

test('a gate that stays red fails when no fix is left, and the rest is skipped', async () => {
  assert.deepEqual(await ends(gated(1), steps, { test: fails, 'test.check.1': red }), {
    build: 'done',
    test: 'failed ExitNonZero',
    'test.fix.1': 'done',
    'test.check.1': 'failed GateRed',
    look: 'skipped DependencyFailed',
    ship: 'skipped DependencyFailed',
  });
  const lost = { build: fails };
  assert.deepEqual(
    Object.values(await ends(gated(1), steps, lost)).slice(1),
    Array(3).fill('skipped DependencyFailed'),
  );
});

test('what joins behind something that has failed is skipped with everything behind it', async () => {
  const chain = [admittedItem('t', { role: 'test' }), admittedItem('a'), admittedItem('b'), admittedItem('c')];
  const all = await ends(gated(1), chain, { t: red, 't.check.1': red });
  assert.deepEqual([all['a'], all['b'], all['c']], Array(3).fill('skipped DependencyFailed'));
});

test('an advancing gate stops nothing, but what failed before it does', async () => {
  const all = await ends(gated(1), steps, { look: fails });
  assert.deepEqual([all['look'], all['ship']], ['failed ExitNonZero', 'done']);
  const chain = [admittedItem('a'), admittedItem('b', { role: 'look' }), admittedItem('c')];
  assert.deepEqual(await ends(gated(1), chain, { a: fails }), {
    a: 'failed ExitNonZero',
    b: 'skipped DependencyFailed',
    c: 'skipped DependencyFailed',
  });
});

test('two gates in one chain fix one after the other', async () => {
  const two = [
    admittedItem('build'),
    admittedItem('t1', { role: 'test', ...takes('build') }),
    admittedItem('t2', { role: 'test', ...takes('build') }),
    admittedItem('ship', takes('build')),
  ];
  await ends(gated(1), two, { t1: red, t2: red }, (world) => {
    const spec = new Map(world.items(RUN).map((row) => [row.item_id, specOf(row)]));
    assert.deepEqual(spec.get('t2')!.needs, { patch: { from: 't1.fix.1', select: patch } });
    assert.deepEqual(spec.get('t2.check.1')!.needs, { patch: { from: 't2.fix.1', select: patch } });
    assert.deepEqual(spec.get('ship')!.needs, { patch: { from: 't2.fix.1', select: patch } });
    assert.equal(world.state.run(RUN)!.phase, 'succeeded');
  });
});

test('a cancelled run grows no more', async () => {
  const cancel = async (world: World): Promise<void> => {
    const gate = world.state.run(RUN) && world.items(RUN).find(({ item_id }) => item_id === 'test');
    if (gate?.task == null || gate.stop !== null) return;
    const control = { schema: 'control/1', verb: 'cancel', run: RUN, actor: 'human:test' };
    await world.store.put('control/c.json', JSON.stringify(control));
    world.reconciler.engine.admission.hint('control/');
    for (let pass = 0; world.state.run(RUN)!.cancelled === null; pass++) {
      assert.ok(pass < PASSES_MAX);
      await world.pass();
    }
  };
  const all = await ends(gated(1), steps, { test: red }, undefined, cancel);
  assert.deepEqual(all, { build: 'done', test: 'cancelled Cancelled' });
});

/* ---- quorum ---- */

const reviewer = template({ needs: { patch: { from: 'proposal', select: patch } } });
const voted = (rounds: number): AdmittedPattern => ({
  kind: 'quorum',
  quorums: {
    draft: {
      reviewers: [reviewer, reviewer, reviewer],
      approve: 2,
      commit: reviewer,
      revise: template({
        needs: { patch: { from: 'proposal', select: patch }, note: { from: 'reviews', select: output('note') } },
      }),
      rounds,
    },
  },
});
const draft = [admittedItem('d', { role: 'draft' })];
const no = { kind: 'done', red: true, outputs: ['note'] } as const;

test('enough reviewers commit the proposal, whatever the others say', async () => {
  const all = await ends(voted(1), draft, { 'd.review.2': no }, (world) => {
    assert.equal(world.state.run(RUN)!.phase, 'succeeded');
    const commit = specOf(world.items(RUN).find(({ item_id }) => item_id === 'd.commit')!);
    assert.deepEqual(commit.needs, { patch: { from: 'd', select: patch } });
    assert.ok(commit.depends_on.includes('d.review.1') && !commit.depends_on.includes('d.review.2'));
  });
  assert.deepEqual(Object.keys(all), ['d', 'd.review.1', 'd.review.2', 'd.review.3', 'd.commit']);
});

test('too few circle back to a revision that is reviewed again', async () => {
  const all = await ends(voted(1), draft, { 'd.review.1': no, 'd.review.2': no }, (world) => {
    const revise = specOf(world.items(RUN).find(({ item_id }) => item_id === 'd.revise.1')!);
    assert.equal(revise.role, 'draft');
    assert.deepEqual(Object.keys(revise.needs!).filter((key) => key.startsWith('note')).length >= 2, true);
    assert.equal(world.state.run(RUN)!.phase, 'succeeded');
  });
  assert.equal(all['d.revise.1.commit'], 'done');
  assert.equal(all['d.commit'], undefined);
});

test('without a revision left the last reviewer fails, and the commit is skipped', async () => {
  const again = { 'd.review.1': no, 'd.review.2': no, 'd.revise.1.review.1': no, 'd.revise.1.review.3': no } as const;
  const all = await ends(voted(1), draft, again);
  assert.equal(Object.values(all).filter((phase) => phase === 'failed QuorumNotReached').length, 1);
  assert.equal(all['d.revise.1.commit'], 'skipped DependencyFailed');
  assert.equal(all['d.revise.2'], undefined);
});
