/**
 * Random histories of runs that grow: by patterns and by people, with faults, cancels and restarts. The invariants of every
 * run hold, the log rebuilds the state with what its extensions say, and the verifier accepts each step of it.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { canonicalBytes } from '@pangolin/contracts/canonical';
import { sha256 } from '@pangolin/contracts/digest';
import { casKey } from '@pangolin/contracts/layout';
import type { AdmittedPattern, AdmittedTemplate } from '@pangolin/contracts/pattern';
import type { AdmittedItem, AdmittedRun, Extension } from '@pangolin/contracts/admitted-run';
import { planRun } from '@pangolin/controller/plan/patterns/patterns';
import { readExtension, readPlan } from '@pangolin/verify/plan';
import { Replay } from '@pangolin/verify/replay/replay';
import { checkEnd, checkNow } from './invariants.ts';
import { admittedItem, admittedRun, World, type Fate } from './world.ts';

const PASSES_MAX = 600;
const RUN = 'run';

const fate = fc.oneof(
  { weight: 8, arbitrary: fc.constant<Fate>({ kind: 'done', outputs: ['a', 'b'] }) },
  { weight: 3, arbitrary: fc.constant<Fate>({ kind: 'done', outputs: ['a'], red: true }) },
  { weight: 1, arbitrary: fc.constant<Fate>({ kind: 'done' }) },
  { weight: 2, arbitrary: fc.constant<Fate>({ kind: 'fails', reason: 'ExitNonZero' }) },
  { weight: 1, arbitrary: fc.constant<Fate>({ kind: 'killed' }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('refused' as const), applied: fc.boolean() }) },
);

function template(more: Partial<AdmittedTemplate> = {}): AdmittedTemplate {
  const { id: _id, depends_on: _depends, needs: _needs, ...rest } = admittedItem('template');
  return { ...rest, ...more };
}
const patch = { kind: 'patch' } as const;
const output = { kind: 'output', path: 'a' } as const;
const of = (from: string): Pick<AdmittedTemplate, 'needs'> => ({ needs: { it: { from, select: patch } } });

const patterns: Readonly<Record<string, AdmittedPattern | undefined>> = {
  none: undefined,
  nested: {
    kind: 'map-reduce',
    splits: {
      x: { map: template({ role: 'y' }), product: output, reduce: template() },
      y: { map: template(), product: output, reduce: template() },
    },
  },
  flat: { kind: 'map-reduce', splits: { x: { outputs: 'a', map: template(), product: patch, reduce: template() } } },
  gates: {
    kind: 'pipeline',
    gates: {
      x: {
        onRed: 'spawn-fix',
        fix: template({ needs: { report: { from: 'gate', select: output } } }),
        replaces: 'n',
        attempts: 2,
      },
      y: { onRed: 'advance' },
    },
    rest: [],
  },
  quorum: {
    kind: 'quorum',
    quorums: {
      x: {
        reviewers: [template(of('proposal')), template(of('proposal')), template(of('proposal'))],
        approve: 2,
        commit: template(of('proposal')),
        revise: template({ needs: { notes: { from: 'reviews', select: output } } }),
        rounds: 2,
      },
    },
  },
};

/** Item n may depend only on items before it. */
const nodes = fc.array(
  fc.record({
    role: fc.constantFrom('x', 'y', undefined),
    deps: fc.array(fc.nat(9), { maxLength: 2 }),
    needs: fc.boolean(),
    locks: fc.subarray(['a', 'b']),
  }),
  { minLength: 1, maxLength: 5 },
);
type Nodes = typeof nodes extends fc.Arbitrary<infer T> ? T : never;

function itemsOf(drawn: Nodes, pattern: AdmittedPattern | undefined): AdmittedItem[] {
  return drawn.map(({ role, deps, needs, locks }, index) => {
    const sources = index === 0 ? [] : [...new Set(deps.map((dep) => `i${dep % index}`))].sort();
    const known =
      pattern && !(pattern.kind === 'quorum' && role === 'y') && !(pattern === patterns['flat'] && role === 'y');
    return admittedItem(`i${index}`, {
      depends_on: sources,
      resourceLocks: locks,
      ...(role !== undefined && known && { role }),
      ...(needs && sources[0] !== undefined && { needs: { n: { from: sources[0], select: patch } } }),
    });
  });
}

const step = fc.oneof(
  { weight: 10, arbitrary: fc.record({ kind: fc.constant('finish' as const), pick: fc.nat(20) }) },
  { weight: 2, arbitrary: fc.constant({ kind: 'restart' as const }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('cancel' as const), pick: fc.nat(40) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('extend' as const), pick: fc.nat(40) }) },
  { weight: 2, arbitrary: fc.constant({ kind: 'tick' as const }) },
);

test('whatever happens to a run that grows, no invariant breaks, it ends, and the verifier agrees', async () => {
  let grown = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...Object.keys(patterns)),
      nodes,
      fc.array(fate, { minLength: 8, maxLength: 40 }),
      fc.array(step, { maxLength: 40 }),
      async (name, drawn, fates, steps) => {
        const fateOf = (id: string, attempt: number): Fate =>
          fates[(Number.parseInt(sha256(id).slice(0, 6), 16) + attempt) % fates.length]!;
        const world = new World(({ ref }) => fateOf(ref.itemId, ref.attempt));
        await world.open();
        try {
          const pattern = patterns[name];
          const items = itemsOf(drawn, pattern);
          const planned = pattern ? planRun(items, pattern) : { items };
          const run = admittedRun(RUN, planned.items, { ...planned, openEnded: true });
          await world.submit(run);
          while (world.state.run(RUN) === undefined) await world.pass();
          let controls = 0;
          for (const action of steps) {
            if (action.kind === 'restart') await world.restart();
            else if (action.kind === 'tick') world.clock += 5000;
            else if (action.kind === 'finish') finishOne(world, action.pick);
            else if (action.kind === 'extend') await extend(world, controls++, action.pick);
            else if (action.pick % 4 === 0)
              await control(world, controls++, 'cancel', { item: idAt(world, action.pick) });
            await world.pass();
            checkNow(world, RUN, await declared(world, run));
          }
          await control(world, controls, 'close');
          for (let pass = 0; world.state.run(RUN)!.finished_at === null; pass++) {
            assert.ok(pass < PASSES_MAX, 'the run does not end');
            finishOne(world, pass);
            world.clock += 70_000;
            await world.pass();
            checkNow(world, RUN, await declared(world, run));
          }
          checkEnd(world, RUN);
          await verified(world, run);
          grown += (await declared(world, run)).length - run.items.length;
        } finally {
          world.close();
        }
      },
    ),
    { numRuns: Number(process.env.PANGOLIN_PROPERTY_RUNS ?? 100) },
  );
  assert.ok(grown > 0, 'no run has grown');
});

function finishOne(world: World, pick: number): void {
  const { running } = world.backend;
  if (running.length > 0) world.backend.finish(running[pick % running.length]!);
}

const idAt = (world: World, pick: number): string => {
  const items = world.items(RUN);
  return items[pick % items.length]!.item_id;
};

async function control(world: World, n: number, verb: string, more: object = {}): Promise<void> {
  const text = JSON.stringify({ schema: 'control/1', verb, run: RUN, actor: 'human:test', ...more });
  await world.store.put(`control/c${n}.json`, text);
  world.reconciler.engine.admission.hint('control/');
}

/** Two items, the second behind the first, and the first behind one that is there. */
async function extend(world: World, n: number, pick: number): Promise<void> {
  const pipeline = { blocks: [{ kind: 'script', command: 'true' }] };
  const items = [
    { id: `x${n}`, pipeline, depends_on: [{ item: idAt(world, pick), when: pick % 3 === 0 ? 'always' : 'done' }] },
    { id: `x${n}-then`, pipeline, depends_on: [`x${n}`] },
  ];
  const document = { apiVersion: 'pangolin.dev/v1', kind: 'Extension', spec: { run: RUN, items } };
  await world.store.put(`inbox/x${n}~human%3Atest.json`, JSON.stringify(document));
  world.reconciler.engine.admission.hint('inbox/');
}

async function extensions(world: World): Promise<Buffer[]> {
  const digests = world.events(RUN).flatMap((event) => (event.kind === 'run.extended' ? [event.items.sha256] : []));
  return await Promise.all(digests.map(async (digest) => await world.store.get(casKey(digest))));
}

/** Every item that the log says is there, in the order in which it joined. */
async function declared(world: World, run: AdmittedRun): Promise<AdmittedItem[]> {
  const added = await extensions(world);
  return [...run.items, ...added.flatMap((bytes) => (JSON.parse(bytes.toString()) as Extension).items)];
}

/** The verifier's own reading of the log: dependencies, causes, closure. */
async function verified(world: World, run: AdmittedRun): Promise<void> {
  const added = await extensions(world);
  const replay = new Replay(readPlan(canonicalBytes(run), RUN));
  let next = 0;
  for (const event of world.events(RUN))
    replay.step(event, event.kind === 'run.extended' ? readExtension(added[next++]!) : undefined);
  assert.equal(replay.end().closureProblem, undefined);
}
