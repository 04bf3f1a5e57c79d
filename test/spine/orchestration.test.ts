/** What a Run can say besides plain dependencies, through the shipped command on the process provider. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { QUEUES, specKey } from '@pangolin/contracts/layout';
import type { QueuesStatus } from '@pangolin/contracts/queue';
import type { AdmittedRun } from '@pangolin/contracts/admitted-run';
import type { DispatchManifest } from '@pangolin/contracts/task';
import { blocks, Deployment, outputs, repository, runOf, script, type Status } from './harness.ts';
import { poll } from '../poll.ts';

const phases = (status: Status): Record<string, string> =>
  Object.fromEntries(status.items.map(({ id, phase }) => [id, phase]));

let deployment: Deployment;
before(() => {
  deployment = new Deployment('process');
});
after(() => deployment.dispose());

const ok = blocks(script('true'));
const bad = blocks(script('exit 3'));
const out = blocks(script('echo "$PANGOLIN_ITEM_ID" > outputs/name'), outputs);
const nameOf = (from: string): object => ({ from, select: { kind: 'output', path: 'name' } });

test('items run on success, on failure, always and at the end of everything', async () => {
  deployment.drop(
    'conditions.json',
    runOf('conditions', repository, [
      { id: 'works', ...ok },
      { id: 'breaks', ...bad },
      { id: 'on-failure', ...ok, depends_on: [{ item: 'breaks', when: 'failed' }] },
      { id: 'never', ...ok, depends_on: [{ item: 'works', when: 'failed' }] },
      { id: 'either-way', ...ok, depends_on: ['works', { item: 'breaks', when: 'always' }] },
      { id: 'behind', ...ok, depends_on: ['breaks'] },
      { id: 'at-exit', ...ok, onExit: true },
    ]),
  );
  await deployment.settle();
  assert.deepEqual(phases(await deployment.status('conditions')), {
    works: 'done',
    breaks: 'failed',
    'on-failure': 'done',
    never: 'skipped',
    'either-way': 'done',
    behind: 'skipped',
    'at-exit': 'done',
  });
  const fired = deployment.events('conditions').filter((event) => event.kind === 'item.fired');
  assert.equal(fired.at(-1)?.itemId, 'at-exit');
  await deployment.verified('conditions');
});

test('an any-of need takes the first source that is done', async () => {
  deployment.drop(
    'any.json',
    runOf('any', repository, [
      { id: 'fast', ...bad },
      { id: 'slow', ...out },
      {
        id: 'use',
        ...blocks(script('cp inputs/name outputs/name'), outputs),
        needs: { name: { oneOf: [nameOf('fast'), nameOf('slow')] } },
      },
      { id: 'lost', ...ok, needs: { name: { oneOf: [nameOf('fast'), nameOf('also-bad')] } } },
      { id: 'also-bad', ...bad },
    ]),
  );
  await deployment.settle();
  assert.deepEqual(phases(await deployment.status('any')), {
    fast: 'failed',
    slow: 'done',
    use: 'done',
    lost: 'skipped',
    'also-bad': 'failed',
  });
  const use = deployment.events('any').find((event) => event.kind === 'item.fired' && event.itemId === 'use');
  assert.ok(use?.kind === 'item.fired');
  assert.deepEqual(use.inputs.name?.from, { itemId: 'slow', output: 'outputs/name' });
  await deployment.verified('any');
});

/** A gate that the test opens, for blocks that are to run until then. */
const gate = (name: string): string => join(deployment.dir, name);
const untilOpen = (name: string): object => blocks(script(`until [ -e ${gate(name)} ]; do sleep 0.05; done`));

test('every timeout has a reason of its own', async () => {
  const hangs = blocks(script('echo begun; sleep 600'));
  deployment.drop(
    'timeouts.json',
    runOf('timeouts', repository, [
      { id: 'holder', ...untilOpen('denied'), resourceLocks: ['x'] },
      {
        id: 'queued',
        ...ok,
        resourceLocks: ['x'],
        depends_on: [{ item: 'first', when: 'always' }],
        queueTimeout: '200ms',
      },
      { id: 'first', ...ok },
      { id: 'boot', ...ok, bootTimeout: '1ms', retry: { rules: [{ reasons: ['BootTimedOut'], action: 'fail' }] } },
      { id: 'idle', ...hangs, idleTimeout: '500ms' },
      { id: 'item', ...hangs, timeout: '500ms' },
      { id: 'decision', executor: 'approval', approval: { timeout: '200ms' } },
    ]),
  );
  deployment.drop(
    'short.json',
    runOf(
      'short',
      repository,
      [
        { id: 'busy', ...hangs },
        { id: 'behind', ...ok, depends_on: ['busy'] },
        { id: 'asked', executor: 'approval' },
        { id: 'bye', ...ok, onExit: true },
      ],
      { timeout: '5s' },
    ),
  );
  const controller = deployment.serve({ untilIdle: true });
  const queued = async (): Promise<boolean> => {
    const status = await deployment.status('timeouts').catch(() => undefined);
    return status?.items.find(({ id }) => id === 'queued')?.phase === 'denied';
  };
  await poll('nothing came of what waited for the lock', queued);
  writeFileSync(gate('denied'), '');
  assert.equal((await controller.end()).code, 0, controller.text);
  const reasons = (status: Status): Record<string, string> =>
    Object.fromEntries(status.items.map(({ id, phase, reason }) => [id, `${phase} ${reason}`]));
  assert.deepEqual(reasons(await deployment.status('timeouts')), {
    holder: 'done Succeeded',
    queued: 'denied QueueTimedOut',
    first: 'done Succeeded',
    boot: 'failed BootTimedOut',
    idle: 'failed IdleTimedOut',
    item: 'failed TimedOut',
    decision: 'failed ApprovalTimedOut',
  });
  const short = await deployment.status('short');
  assert.equal(short.phase, 'cancelled');
  assert.deepEqual(reasons(short), {
    busy: 'cancelled RunTimedOut',
    behind: 'cancelled RunTimedOut',
    asked: 'cancelled RunTimedOut',
    bye: 'done Succeeded',
  });
  assert.match(short.items[0]!.message!, /the run took longer than its timeout/);
  const shown = await deployment.cli('orch', 'status', 'short');
  assert.match(shown.stdout, /RunTimedOut/);
  const cancelled = deployment.events('short').find((event) => event.kind === 'run.cancelled');
  assert.equal(cancelled?.kind === 'run.cancelled' && cancelled.reason, 'RunTimedOut');
  await deployment.verified('timeouts');
  await deployment.verified('short');
});

test('a linked retry keeps the timeout, runs onExit items again, and a source that is run again on purpose serves', async () => {
  const fast = blocks(script(`test -e ${gate('mended')} && echo fast > outputs/name`), outputs);
  const items = [
    { id: 'fast', ...fast },
    { id: 'slow', ...out },
    {
      id: 'use',
      ...blocks(script('cp inputs/name outputs/name'), outputs),
      needs: { name: { oneOf: [nameOf('fast'), nameOf('slow')] } },
    },
    { id: 'told', ...ok, depends_on: [{ item: 'fast', when: 'failed' }] },
    { id: 'bye', ...ok, onExit: true },
  ];
  deployment.drop('linked.json', runOf('linked', repository, items, { timeout: '10m' }));
  await deployment.settle();
  const retry = async (...args: string[]): Promise<void> => {
    const { code, stderr } = await deployment.cli('orch', 'retry', ...args, '--receipt-timeout', '0s');
    assert.equal(code, 0, stderr);
    await deployment.settle();
  };
  await retry('linked');
  // What was done is taken over; what was about the failure was about that one.
  assert.deepEqual(phases(await deployment.status('linked.retry1')), { fast: 'failed', told: 'done', bye: 'done' });
  writeFileSync(gate('mended'), '');
  await retry('linked/fast', '--as', 'linked.fast');
  const mended = await deployment.status('linked.fast');
  assert.equal(mended.phase, 'succeeded', 'what waits for a failure that does not come fails nothing');
  assert.deepEqual(phases(mended), {
    fast: 'done',
    use: 'done',
    told: 'skipped',
    bye: 'done',
  });
  const use = deployment.events('linked.fast').find((event) => event.kind === 'item.fired' && event.itemId === 'use');
  assert.deepEqual(use?.kind === 'item.fired' && use.inputs.name?.from, { itemId: 'fast', output: 'outputs/name' });
  for (const run of ['linked.retry1', 'linked.fast']) {
    const spec = JSON.parse(readFileSync(join(deployment.storage, specKey(run)), 'utf8')) as AdmittedRun;
    assert.equal(spec.timeoutMs, 600_000);
    await deployment.verified(run);
  }
});

test('approvals wait for a person and hold nothing; both decisions are sealed', async () => {
  deployment.drop(
    'ask.json',
    runOf(
      'ask',
      repository,
      [
        { id: 'build', ...ok },
        { id: 'ship?', executor: 'approval', depends_on: ['build'] },
        { id: 'ship', ...ok, depends_on: ['ship?'] },
        { id: 'drop?', executor: 'approval' },
        { id: 'drop', ...ok, depends_on: ['drop?'] },
      ].map((item) => JSON.parse(JSON.stringify(item).replaceAll('?', '-ok')) as object),
    ),
  );
  const controller = deployment.serve();
  const waiting = async (): Promise<boolean> => {
    const status = await deployment.status('ask').catch(() => undefined);
    return status?.items.filter(({ phase }) => phase === 'waiting').length === 2;
  };
  await poll('both approvals wait', waiting);
  assert.equal((await deployment.cli('orch', 'approve', 'ask/ship-ok', '--reason', 'looks right')).code, 0);
  assert.equal((await deployment.cli('orch', 'reject', 'ask/drop-ok', '--reason', 'not today')).code, 0);
  assert.notEqual((await deployment.cli('orch', 'approve', 'ask/build')).code, 0);
  await poll('the run is sealed', async () => (await deployment.status('ask')).sealedAt !== undefined);
  await controller.stop();
  assert.deepEqual(phases(await deployment.status('ask')), {
    build: 'done',
    'ship-ok': 'done',
    ship: 'done',
    'drop-ok': 'failed',
    drop: 'skipped',
  });
  const decided = deployment
    .events('ask')
    .flatMap((event) => (event.kind === 'item.decided' ? [[event.itemId, event.decision, event.comment]] : []));
  assert.deepEqual(decided.sort(), [
    ['drop-ok', 'rejected', 'not today'],
    ['ship-ok', 'approved', 'looks right'],
  ]);
  await deployment.verified('ask');
});

test('a queue that is dropped together with its run is there for it', async () => {
  deployment.drop('a-run.json', runOf('early', repository, [{ id: 'a', ...ok }], { queue: 'zz-late' }));
  const queue = {
    apiVersion: 'pangolin.dev/v1',
    kind: 'Queue',
    metadata: { name: 'zz-late' },
    spec: { concurrency: 1 },
  };
  deployment.drop('z-queue.json', queue);
  await deployment.settle();
  assert.deepEqual(deployment.receipt('a-run.json')?.errors, []);
  assert.equal((await deployment.status('early')).phase, 'succeeded');
});

test('a queue is declared by a file, a paused one starts nothing, and an unknown one refuses the run', async () => {
  const queue = (spec: object): object => ({
    apiVersion: 'pangolin.dev/v1',
    kind: 'Queue',
    metadata: { name: 'narrow' },
    spec,
  });
  deployment.drop('queue.json', queue({ concurrency: 1, paused: true, defaults: { timeout: '7m' } }));
  deployment.drop('queue-bad.json', queue({ concurency: 1 }));
  const controller = deployment.serve();
  await poll('the queue is declared', () => deployment.receipt('queue.json') !== undefined);
  assert.equal(deployment.receipt('queue.json')?.verdict, 'accepted');
  await poll('the bad one is answered', () => deployment.receipt('queue-bad.json') !== undefined);
  assert.match(JSON.stringify(deployment.receipt('queue-bad.json')?.errors), /concurrency/);
  deployment.drop(
    'narrow.json',
    runOf(
      'narrow',
      repository,
      ['a', 'b', 'c'].map((id) => ({ id, ...ok })),
      { queue: 'narrow' },
    ),
  );
  deployment.drop('nowhere.json', runOf('nowhere', repository, [{ id: 'a', ...ok }], { queue: 'nowhere' }));
  await poll('the unknown queue is refused', () => deployment.receipt('nowhere.json')?.verdict === 'rejected');
  await poll(
    'the run is admitted',
    async () => (await deployment.status('narrow').catch(() => undefined)) !== undefined,
  );
  assert.deepEqual([...new Set(Object.values(phases(await deployment.status('narrow'))))], ['ready']);
  const { queues } = JSON.parse(readFileSync(join(deployment.storage, QUEUES), 'utf8')) as QueuesStatus;
  const published = queues.find(({ name }) => name === 'narrow');
  assert.deepEqual([published?.concurrency, published?.pausedBy], [1, 'service:inbox']);
  assert.equal((await deployment.cli('orch', 'resume', '--queue', 'narrow')).code, 0);
  await poll('the run is sealed', async () => (await deployment.status('narrow')).sealedAt !== undefined);
  await controller.stop();
  const order = deployment.events('narrow').filter(({ kind }) => kind === 'item.fired' || kind === 'item.reconciled');
  assert.deepEqual(
    order.map(({ kind }) => kind),
    ['item.fired', 'item.reconciled', 'item.fired', 'item.reconciled', 'item.fired', 'item.reconciled'],
  );
  for (const manifest of deployment.predicates('narrow', 'dispatch') as readonly DispatchManifest[])
    assert.equal(manifest.limits.timeoutMs, 7 * 60_000);
  await deployment.verified('narrow');
});
