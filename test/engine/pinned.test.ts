/** Nothing changes under a run (law 7): whatever joins it, or runs again, after its admission has what was pinned then. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { canonicalBytes } from '@pangolin/contracts/canonical';
import { sha256 } from '@pangolin/contracts/digest';
import { casKey } from '@pangolin/contracts/layout';
import type { AdmittedItem } from '@pangolin/contracts/admitted-run';
import type { AdmittedPattern, AdmittedTemplate } from '@pangolin/contracts/pattern';
import { specOf } from '@pangolin/controller/engine/engine';
import { planRun } from '@pangolin/controller/plan/patterns/patterns';
import { registerThing } from '@pangolin/storage/registry';
import { admittedItem, admittedRun, World, type Fate } from './world.ts';

const bundle = canonicalBytes({ values: { A: 'b' } });
const pin = (ref: string): { ref: string; sha256: string } => ({ ref, sha256: sha256(ref) });
const pinned: Partial<AdmittedItem> = {
  image: 'tool',
  pinnedImage: { ref: 'tool@sha256:1', id: 'sha256:1' },
  workspace: { kind: 'git', commit: '1'.repeat(40), sha256: sha256('pack'), size: 1 },
  subagent: pin('coder'),
  capabilities: [pin('tools')],
  env: [{ ref: 'ci', sha256: sha256(bundle) }],
};
const item = (id: string, more: Partial<AdmittedItem> = {}): AdmittedItem => admittedItem(id, { ...pinned, ...more });
function template(more: Partial<AdmittedTemplate> = {}): AdmittedTemplate {
  const { id: _id, depends_on: _depends, needs: _needs, ...rest } = item('template');
  return { ...rest, ...more };
}
const product = { kind: 'output', path: 'x' } as const;
const split = { map: template(), product, reduce: template() };
const review = { reviewers: [template()], approve: 1, commit: template(), revise: template(), rounds: 1 };
const gate = { onRed: 'spawn-fix', fix: template(), attempts: 1 } as const;

interface Way {
  readonly what: string;
  readonly items: readonly AdmittedItem[];
  readonly pattern?: AdmittedPattern;
  readonly fates?: Readonly<Record<string, Fate>>;
  /** Attempts of the run, and of the linked retry of what has failed in it. */
  readonly attempts: readonly string[];
}
const done = (...outputs: string[]): Fate => ({ kind: 'done', outputs });
const red: Fate = { kind: 'done', red: true };
const fails: Fate = { kind: 'fails', reason: 'ExitNonZero' };
const twice = { retry: { ...admittedItem('a').retry, maxAttempts: 2 } };

const ways: readonly Way[] = [
  { what: 'another attempt', items: [item('a', twice)], fates: { 'a#1': fails }, attempts: ['a#1', 'a#2'] },
  { what: 'a linked retry', items: [item('a')], fates: { 'a#1': fails }, attempts: ['a#1', 'retry a#1'] },
  {
    what: 'a map and a reduce item',
    items: [item('s', { role: 'r' })],
    pattern: { kind: 'map-reduce', splits: { r: split } },
    fates: { 's#1': done('p'), 's.1#1': done('x') },
    attempts: ['s#1', 's.1#1', 's.reduce#1'],
  },
  {
    what: 'a linked retry that grows',
    items: [item('s', { role: 'r' })],
    pattern: { kind: 'map-reduce', splits: { r: split } },
    fates: { 's#1': fails, 'retry s#1': done('p'), 'retry s.1#1': done('x') },
    attempts: ['s#1', 'retry s#1', 'retry s.1#1', 'retry s.reduce#1'],
  },
  {
    what: 'a fix, a check and what is behind the gate',
    items: [item('g', { role: 'r' }), item('z')],
    pattern: { kind: 'pipeline', gates: { r: gate }, rest: [] },
    fates: { 'g#1': red },
    attempts: ['g#1', 'g.fix.1#1', 'g.check.1#1', 'z#1'],
  },
  {
    what: 'a review, a revision and a commit',
    items: [item('p', { role: 'r' })],
    pattern: { kind: 'quorum', quorums: { r: review } },
    fates: { 'p.review.1#1': red },
    attempts: ['p#1', 'p.review.1#1', 'p.revise.1#1', 'p.revise.1.review.1#1', 'p.revise.1.commit#1'],
  },
];

for (const { what, items, pattern, fates = {}, attempts } of ways) {
  test(`${what} looks nothing up anew`, async (t) => {
    const world = new World(({ ref }) => {
      const again = ref.runId === 'run' ? '' : 'retry ';
      return fates[`${again}${ref.itemId}#${ref.attempt}`] ?? done();
    });
    await world.store.put(casKey(sha256(bundle)), bundle);
    await world.open();
    t.after(() => world.close());
    const image = t.mock.method(world.backend, 'resolveImage');
    const read = t.mock.method(world.store, 'get');
    const planned = pattern ? planRun(items, pattern) : { items };
    await world.submit(admittedRun('run', planned.items, 'pattern' in planned ? { pattern: planned.pattern } : {}));
    const finish = async (run: string): Promise<void> => {
      for (let pass = 0; world.state.run(run)?.finished_at == null; pass++) {
        assert.ok(pass < 50, `${run} does not end`);
        await world.pass();
        for (const task of world.backend.running) world.backend.finish(task);
        world.clock += 2000;
      }
    };
    await finish('run');
    if (attempts.some((each) => each.startsWith('retry '))) {
      const control = { schema: 'control/1', verb: 'retry', run: 'run', as: 'again', actor: 'human:test' };
      await world.store.put('control/c.json', JSON.stringify(control));
      world.reconciler.engine.admission.hint('control/');
      await finish('again');
    }
    const started = [...world.backend.tasks.values()].map(({ start: { ref, image: given } }) => {
      assert.equal(given, pinned.pinnedImage!.id);
      return `${ref.runId === 'run' ? '' : 'retry '}${ref.itemId}#${ref.attempt}`;
    });
    assert.deepEqual(started, attempts);
    const runs = ['run', 'again'].filter((run) => world.state.run(run));
    for (const spec of runs.flatMap((run) => world.items(run).map(specOf)))
      assert.deepEqual(
        Object.fromEntries(Object.keys(pinned).map((key) => [key, spec[key as keyof AdmittedItem]])),
        pinned,
      );
    assert.equal(image.mock.callCount(), 0);
    const keys = read.mock.calls.map(({ arguments: [key] }) => key);
    assert.deepEqual(
      keys.filter((key) => key.startsWith('registry/')),
      [],
    );
  });
}

test('what one Extension has named is the same in the next one', async (t) => {
  const world = new World(() => done());
  await world.open();
  t.after(() => world.close());
  await world.submit(admittedRun('run', [item('a')], { openEnded: true, inherited: { pins: [], images: [] } }));
  await world.pass();
  const extend = async (id: string, command: string): Promise<void> => {
    const pipeline = canonicalBytes({ blocks: [{ kind: 'script', command }] });
    await registerThing(world.store, 'pipeline', 'x.new', pipeline, 'human:ada', 0);
    const spec = { run: 'run', items: [{ id, pipeline: 'x.new' }] };
    const file = { apiVersion: 'pangolin.dev/v1', kind: 'Extension', spec };
    await world.store.put(`inbox/${id}-1~human%3Atest.json`, JSON.stringify(file));
    world.reconciler.engine.admission.hint('inbox/');
    for (let pass = 0; pass < 5; pass++) await world.pass();
  };
  await extend('b', 'old');
  await extend('c', 'new');
  const [, b, c] = world.items('run').map((row) => specOf(row).pipeline);
  assert.equal(b!.ref, 'x.new');
  assert.deepEqual(c, b);
});
