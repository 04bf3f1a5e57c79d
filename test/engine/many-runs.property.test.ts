/**
 * Random histories of many runs that share queues, locks and a cap: with conditions, approvals, onExit items and run timeouts, submitted by
 * people and by a schedule, retried as linked runs, paused, cancelled, and restarted. The invariants hold after every pass, every
 * run ends, and the verifier accepts each log.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Control } from '@pangolin/contracts/control';
import { sha256 } from '@pangolin/contracts/digest';
import { casKey } from '@pangolin/contracts/layout';
import { isTerminal } from '@pangolin/contracts/reasons';
import type { AdmittedItem, AdmittedRun } from '@pangolin/contracts/admitted-run';
import type { RunRow } from '@pangolin/controller/store/rows';
import { readPlan } from '@pangolin/verify/plan';
import { Replay } from '@pangolin/verify/replay/replay';
import { checkEnd, checkNow, checkTogether } from './invariants.ts';
import { admittedItem, admittedRun, World, type Fate } from './world.ts';

const PASSES_MAX = 400;
/** Of all queues together; the narrow one takes a single item. */
const CAP = 4;
const patch = { kind: 'patch' as const };

const fate = fc.oneof(
  { weight: 8, arbitrary: fc.constant<Fate>({ kind: 'done' }) },
  { weight: 3, arbitrary: fc.constant<Fate>({ kind: 'fails', reason: 'ExitNonZero' }) },
  { weight: 1, arbitrary: fc.constant<Fate>({ kind: 'fails', reason: 'ModelRateLimited' }) },
  { weight: 1, arbitrary: fc.constant<Fate>({ kind: 'asks' }) },
  { weight: 1, arbitrary: fc.constant<Fate>({ kind: 'killed' }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('refused' as const), applied: fc.boolean() }) },
);

const node = fc.record({
  kind: fc.oneof(
    { weight: 6, arbitrary: fc.constant('task' as const) },
    { weight: 1, arbitrary: fc.constant('approval' as const) },
    { weight: 1, arbitrary: fc.constant('exit' as const) },
  ),
  deps: fc.array(fc.record({ of: fc.nat(7), rule: fc.constantFrom('done', 'failed', 'always') }), { maxLength: 2 }),
  takes: fc.constantFrom('nothing', 'one', 'any'),
  lock: fc.constantFrom(undefined, 'a', 'b'),
  shared: fc.constantFrom(undefined, 1, 2),
  queueTimeoutMs: fc.constantFrom(undefined, undefined, 20_000),
  priority: fc.integer({ min: -2, max: 2 }),
  maxAttempts: fc.integer({ min: 1, max: 2 }),
});
type Node = typeof node extends fc.Arbitrary<infer T> ? T : never;

/** Item n waits only for items before it, and for an onExit item only when it is one. */
function itemsOf(nodes: readonly Node[]): AdmittedItem[] {
  const exits = new Set(nodes.flatMap(({ kind }, index) => (kind === 'exit' ? [index] : [])));
  return nodes.map((drawn, index) => {
    const isSource = (of: number): boolean => drawn.kind === 'exit' || !exits.has(of);
    const deps = new Map(
      drawn.deps
        .filter(({ of }) => index > 0 && isSource(of % index))
        .map(({ of, rule }) => [`i${of % index}`, rule] as const),
    );
    const makers = [...deps.keys()].filter((id) => nodes[Number(id.slice(1))]!.kind !== 'approval');
    const takesOne = drawn.takes === 'one' && makers[0] !== undefined;
    const takesAny = drawn.takes === 'any' && makers.length > 1;
    if (takesOne) deps.set(makers[0]!, 'done');
    if (takesAny) for (const id of makers) deps.delete(id);
    const needs = takesOne
      ? { needs: { it: { from: makers[0]!, select: patch } } }
      : takesAny
        ? { needs: { it: { oneOf: makers.map((from) => ({ from, select: patch })) } } }
        : {};
    const when = [...deps].filter(([, rule]) => rule !== 'done') as [string, 'failed' | 'always'][];
    const common = {
      depends_on: [...deps.keys()].sort(),
      ...(when.length > 0 && { when: Object.fromEntries(when) }),
      ...(drawn.kind === 'exit' && { onExit: true as const }),
      priority: drawn.priority,
    };
    const spec = admittedItem(`i${index}`, common);
    if (drawn.kind === 'approval') {
      const { pipeline: _pipeline, ...rest } = spec;
      return { ...rest, executor: 'approval', approval: { timeoutMs: 30_000, onTimeout: 'reject' } };
    }
    return {
      ...spec,
      ...needs,
      resourceLocks: [
        ...(drawn.lock === undefined ? [] : [drawn.lock]),
        ...(drawn.shared === undefined ? [] : [{ key: 's', limit: drawn.shared }]),
      ],
      needsInput: { timeoutMs: 30_000, onTimeout: 'continue' },
      ...(drawn.queueTimeoutMs !== undefined && { queueTimeoutMs: drawn.queueTimeoutMs }),
      retry: { ...spec.retry, maxAttempts: drawn.maxAttempts },
    };
  });
}

const runs = fc.array(
  fc.record({
    nodes: fc.array(node, { minLength: 1, maxLength: 6 }),
    queue: fc.constantFrom('default', 'narrow'),
    timeoutMs: fc.constantFrom(undefined, undefined, 100_000),
  }),
  { minLength: 1, maxLength: 3 },
);

const schedule = fc.record({
  overlap: fc.constantFrom('allow', 'skip', 'replace'),
  catchUp: fc.constantFrom('coalesce', 'all', 'none'),
});

const pick = fc.nat(40);
const step = fc.oneof(
  { weight: 8, arbitrary: fc.record({ kind: fc.constant('finish' as const), pick }) },
  { weight: 2, arbitrary: fc.constant({ kind: 'restart' as const }) },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant('tick' as const), ms: fc.constantFrom(5000, 31_000, 61_000) }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('cancel' as const), pick }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('retry' as const), pick }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('decide' as const), pick }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('pause' as const), pick, paused: fc.boolean() }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'trigger' as const }) },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

const document = (kind: string, name: string, spec: object): object => ({
  apiVersion: 'pangolin.dev/v1',
  kind,
  metadata: { name },
  spec,
});

interface Plan {
  readonly bytes: Buffer;
  readonly run: AdmittedRun;
}

class Histories extends World {
  #files = 0;
  readonly #plans = new Map<string, Plan>();
  readonly #checked = new Set<string>();

  async drop(content: object): Promise<void> {
    await this.store.put(`inbox/f${this.#files++}-0~human%3Atest.json`, JSON.stringify(content));
    this.reconciler.engine.admission.hint('inbox/');
  }

  async ask(verb: Control['verb'], about: Partial<Control>): Promise<void> {
    const control = { schema: 'control/1', verb, actor: 'human:test', ...about };
    await this.store.put(`control/c${this.#files++}.json`, JSON.stringify(control));
    this.reconciler.engine.admission.hint('control/');
  }

  async until(what: string, isThere: () => boolean): Promise<void> {
    for (let pass = 0; !isThere(); pass++) {
      assert.ok(pass < PASSES_MAX, `${what} did not come`);
      await this.pass();
    }
  }

  get runs(): RunRow[] {
    return this.state.db.prepare('SELECT * FROM run ORDER BY rn').all() as RunRow[];
  }

  async plan({ plan }: RunRow): Promise<Plan> {
    let known = this.#plans.get(plan);
    if (!known) {
      const bytes = await this.store.get(casKey(plan));
      this.#plans.set(plan, (known = { bytes, run: JSON.parse(bytes.toString()) as AdmittedRun }));
    }
    return known;
  }

  async check(): Promise<void> {
    for (const run of this.runs) {
      // What has ended stays as it is: its log takes no more.
      if (this.#checked.has(run.run_id)) continue;
      checkNow(this, run.run_id, (await this.plan(run)).run.items);
      if (run.finished_at !== null) this.#checked.add(run.run_id);
    }
    checkTogether(this, { default: this.concurrency, narrow: 1 });
  }
}

test('whatever happens to many runs, no invariant breaks, all of them end, and the verifier agrees', async () => {
  const seen = { retries: 0, slots: 0, timeouts: 0 };
  await fc.assert(
    fc.asyncProperty(
      runs,
      schedule,
      fc.array(fate, { minLength: 8, maxLength: 40 }),
      fc.array(step, { maxLength: 40 }),
      fc.array(pick, { minLength: 1, maxLength: 3 }),
      async (drawn, policies, fates, steps, retries) => {
        const world = new Histories(({ ref }) => {
          const place = Number.parseInt(sha256(`${ref.runId} ${ref.itemId} ${ref.attempt}`).slice(0, 6), 16);
          return fates[place % fates.length]!;
        });
        world.tasksMax = CAP;
        await world.open();
        try {
          await world.drop(document('Queue', 'narrow', { concurrency: 1 }));
          const items = ['a', 'b'].map((id) => ({
            id,
            pipeline: { blocks: [{ kind: 'script', command: 'true' }] },
            resourceLocks: ['a'],
            ...(id === 'b' && { onExit: true }),
          }));
          await world.drop(document('Schedule', 's', { cron: '* * * * *', ...policies, run: { items } }));
          await world.until('the queue', () => world.reconciler.engine.memory.queues.has('narrow'));
          for (const [n, { nodes, queue, timeoutMs }] of drawn.entries())
            await world.submit(
              admittedRun(`r${n}`, itemsOf(nodes), { queue, ...(timeoutMs !== undefined && { timeoutMs }) }),
            );
          await world.until('the runs', () => drawn.every((_, n) => world.state.run(`r${n}`) !== undefined));
          for (const each of steps) {
            await take(world, each);
            await world.pass();
            await world.check();
          }
          await world.ask('remove', { schedule: 's' });
          await finishAll(world);
          // Of whatever has ended by then, retries of retries included.
          for (const each of retries) {
            await take(world, { kind: 'retry', pick: each });
            await finishAll(world);
          }
          for (const run of world.runs) await checkRun(world, run, seen);
          checkSlots(world);
        } finally {
          world.close();
        }
      },
    ),
    { numRuns: Number(process.env.PANGOLIN_PROPERTY_RUNS ?? 40) },
  );
  for (const [what, count] of Object.entries(seen)) assert.ok(count > 0, `there were no ${what}`);
});

async function take(world: Histories, step: Step): Promise<void> {
  const { runs } = world;
  const run = 'pick' in step ? runs[step.pick % runs.length]!.run_id : runs[0]!.run_id;
  const itemOf = (n: number): Partial<Control> => {
    const items = world.items(run);
    return n % 3 === 0 ? {} : { item: items[n % items.length]!.item_id };
  };
  switch (step.kind) {
    case 'restart':
      return await world.restart();
    case 'tick':
      world.clock += step.ms;
      return;
    case 'finish':
      return finishOne(world, step.pick);
    case 'cancel':
    case 'retry':
      return await world.ask(step.kind, { run, ...itemOf(step.pick) });
    case 'decide':
      return await decide(world, step.pick);
    case 'pause': {
      const about = [{ run }, { queue: 'default' }, { queue: 'narrow' }, { schedule: 's' }][step.pick % 4]!;
      return await world.ask(step.paused ? 'pause' : 'resume', about);
    }
    case 'trigger':
      return await world.ask('trigger', { schedule: 's' });
  }
}

function finishOne(world: World, pick: number): void {
  const { running } = world.backend;
  if (running.length > 0) world.backend.finish(running[pick % running.length]!);
}

/** Answers, approves or rejects one of the items that wait for a person, if any. */
async function decide(world: Histories, pick: number): Promise<void> {
  const waiting = world.runs.flatMap(({ run_id: run }) =>
    world
      .items(run)
      .filter(({ reason }) => reason === 'WaitingForInput' || reason === 'WaitingForApproval')
      .map(({ item_id: item, reason }) => ({ run, item, reason })),
  );
  if (waiting.length === 0) return;
  const { run, item, reason } = waiting[pick % waiting.length]!;
  if (reason === 'WaitingForInput') await world.ask('answer', { run, item, answer: 'this' });
  else await world.ask(pick % 3 === 0 ? 'reject' : 'approve', { run, item });
}

async function finishAll(world: Histories): Promise<void> {
  for (const queue of ['default', 'narrow']) await world.ask('resume', { queue });
  for (const { run_id: run } of world.runs) await world.ask('resume', { run });
  await world.pass();
  const isOpen = (): boolean => world.runs.some(({ finished_at }) => finished_at === null);
  for (let pass = 0; isOpen(); pass++) {
    assert.ok(pass < PASSES_MAX, 'a run does not end');
    finishOne(world, pass);
    await decide(world, pass);
    // Now and then longer than a model is waited for.
    world.clock += pass % 3 === 0 ? 400_000 : 20_000;
    await world.pass();
    // A due slot may still have been on its way.
    for (const { run_id: run, paused } of world.runs) if (paused === 1) await world.ask('resume', { run });
    await world.check();
  }
}

async function checkRun(
  world: Histories,
  run: RunRow,
  seen: { retries: number; slots: number; timeouts: number },
): Promise<void> {
  checkEnd(world, run.run_id);
  const plan = await world.plan(run);
  const replay = new Replay(readPlan(plan.bytes, run.run_id));
  for (const event of world.events(run.run_id)) replay.step(event);
  const { closureProblem, counts } = replay.end();
  assert.equal(closureProblem, undefined);
  const rows = world.items(run.run_id);
  for (const [phase, n] of Object.entries(counts))
    assert.equal(rows.filter((row) => row.phase === phase).length, n, phase);
  if (rows.some(({ reason }) => reason === 'RunTimedOut')) seen.timeouts++;
  if (run.run_id.startsWith('s@')) seen.slots++;
  if (run.retry_of === null) return;
  seen.retries++;
  await checkRetry(world, plan.run, run.retry_of);
}

/** A linked retry has the timeout and the onExit items of its run, and takes over nothing but products of items that were done. */
async function checkRetry(world: Histories, retry: AdmittedRun, of: string): Promise<void> {
  const before = await world.plan(world.state.run(of)!);
  assert.equal(retry.timeoutMs, before.run.timeoutMs);
  const rows = new Map(world.items(of).map((row) => [row.item_id, row]));
  const ids = new Set(retry.items.map(({ id }) => id));
  for (const { id, onExit, depends_on } of before.run.items)
    if (onExit && depends_on.length === 0) assert.ok(ids.has(id), `${id} does not run again`);
  const products = new Set(
    [...rows.values()].flatMap(({ iid, phase }) => (phase === 'done' ? [world.state.product(iid, 'patch')] : [])),
  );
  const given = new Set(before.run.items.flatMap(({ needs }) => Object.values(needs ?? {}).map(submissionOf)));
  for (const { needs } of retry.items) {
    for (const need of Object.values(needs ?? {})) {
      const submission = submissionOf(need);
      if (submission !== undefined)
        assert.ok(products.has(submission) || given.has(submission), 'a product of nobody was taken over');
    }
  }
}
const submissionOf = (need: NonNullable<AdmittedItem['needs']>[string]): string | undefined =>
  'submission' in need ? need.submission.sha256 : undefined;

/** Every slot is one run at most, and with `overlap: skip` no slot began while a run of one before it was open. */
function checkSlots(world: Histories): void {
  const slots = world.runs.filter(({ run_id }) => run_id.startsWith('s@') && !run_id.includes('.retry'));
  assert.equal(new Set(slots.map(({ run_id }) => run_id)).size, slots.length);
  for (const { run_id } of slots) assert.ok(world.items(run_id).every(({ phase }) => isTerminal(phase)));
}
