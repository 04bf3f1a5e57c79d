/**
 * kill -9 of the controller around each of its effects. Whatever it was doing, the next one completes every run, starts no attempt
 * a second time, loses nothing, leaves nothing behind and seals evidence that verifies.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test, type TestContext } from 'node:test';
import { WORKER_IMAGE } from '@pangolin/controller/providers/open';
import {
  blocks,
  Deployment,
  docker,
  dockerSkip,
  ends,
  outputs,
  patch,
  runOf,
  script,
  type Compute,
} from './harness.ts';
import { holds, live, type Lives } from './lives.ts';
import { poll } from '../poll.ts';

const onProcess: readonly Lives[] = [
  // Admission: the files in cas/, the commit, the receipt, the inbox.
  ['write:product#2:before', 'commit#1:before', 'commit#1:after', 'write:receipt#1:before', 'write:receipt#1:after'],
  ['log:submission#1', 'delete:inbox#1:before', 'write:spec#1:before'],
  // Dispatch: sealed and not started, laid out, started and not noticed.
  ['log:dispatched#1', 'commit#2:before', 'commit#2:after', 'write:task#1:before', 'write:task#1:after'],
  ['start:process#1:before', 'start:process#1:after', 'start:process#1:after'],
  // The end of an attempt: promoted and not committed, committed and not removed.
  ['write:product#4:before', 'write:product#1:after', 'log:item ended#1', 'delete:record#1:before'],
  ['delete:record#1:after', 'delete:inputs#1:before', 'commit#5:before', 'commit#5:after', 'commit#4:after'],
  ['write:items#3:after', 'write:status#2:before', 'write:status#2:after'],
  // The seal, stage by stage.
  [
    'log:run completed#1',
    'write:events#1:before',
    'write:events#1:after',
    'write:statements#1:after',
    'write:tile#1:before',
  ],
  [
    'write:checkpoint#1:before',
    'write:checkpoint#1:after',
    'write:seal#1:before',
    'write:seal#1:after',
    'log:run sealed#1',
  ],
];

/** What is not of Docker is the same on processes, and killed there. */
const onDocker: readonly Lives[] = [
  [
    'docker:create#1:before',
    'docker:create#1:after',
    'docker:start#1:before',
    'docker:start#1:after',
    'docker:create#2:after',
  ],
  ['docker:inspect#2:after', 'write:product#1:after', 'docker:remove#1:before', 'docker:remove#1:after'],
];

function crashes(compute: Compute, plans: readonly Lives[]): void {
  let deployment: Deployment;
  let kills = 0;
  before(() => {
    deployment = new Deployment(compute);
  });
  after(() => deployment.dispose());
  const marks = (run: string): string => join(deployment.dir, `${run}.marks`);

  for (const [index, lives] of plans.entries()) {
    const run = `run-${index}`;
    test(`killed at ${lives.join(', then at ')}`, async (t) => {
      // On the host every block that runs leaves a mark; in a container it cannot.
      const mark = compute === 'process' ? `echo $PANGOLIN_ITEM_ID $PANGOLIN_ATTEMPT >> ${marks(run)};` : '';
      deployment.drop(
        `${run}.json`,
        runOf(run, deployment.repo, [
          {
            id: 'make',
            resourceLocks: ['x'],
            ...blocks(script(`${mark} echo made > made.txt; echo o > outputs/o`), patch, outputs),
          },
          {
            id: 'flaky',
            resourceLocks: ['x'],
            retry: { maxAttempts: 2, backoff: { initial: '10ms' } },
            ...blocks(script(`${mark} echo attempt; test $PANGOLIN_ATTEMPT -ge 2`)),
          },
          {
            id: 'use',
            needs: { made: { from: 'make', select: { kind: 'patch' } } },
            ...blocks(script(`${mark} git apply inputs/made`), patch),
          },
        ]),
      );
      const created = compute === 'docker' ? watchCreated(run, t) : undefined;
      for (const at of lives) {
        if (!(await live(deployment, at))) break;
        kills++;
      }
      await live(deployment, undefined);
      await complete(deployment, run);
      const started = created
        ? await created.end(deployment)
        : readFileSync(marks(run), 'utf8').trim().split('\n').sort();
      assert.deepEqual(started, EVERY_ATTEMPT);
    });
  }

  test('enough of these kills hit', (t) => {
    const planned = plans.flat().length;
    t.diagnostic(`${kills} of ${planned} kills hit`);
    assert.ok(kills >= planned * 0.85, `only ${kills} of ${planned}`);
  });
}

const EVERY_ATTEMPT = ['flaky 1', 'flaky 2', 'make 1', 'use 1'];

async function complete(deployment: Deployment, run: string): Promise<void> {
  await deployment.swept();
  assert.deepEqual(readdirSync(join(deployment.storage, 'inbox')), []);
  assert.equal(deployment.receipt(`${run}.json`)?.verdict, 'accepted');
  const status = await deployment.status(run);
  assert.equal(status.phase, 'succeeded', JSON.stringify(status.failed));
  assert.deepEqual(ends(status), { make: 'done Succeeded 1', flaky: 'done Succeeded 2', use: 'done Succeeded 1' });
  assert.ok(status.sealedAt);
  const fired = deployment
    .events(run)
    .flatMap((event) => (event.kind === 'item.fired' ? `${event.itemId} ${event.attempt}` : []));
  assert.deepEqual(fired.sort(), EVERY_ATTEMPT);
  // Input directories of tasks go with them.
  const inputs = join(deployment.storage, 'controller', 'tasks-in');
  assert.deepEqual(existsSync(inputs) ? readdirSync(inputs) : [], []);
  await holds(deployment, run);
}

/**
 * Listens for every container that is created for the run, because the engine remembers only the last 256 events of everybody.
 * `end` answers `ITEM ATTEMPT` of each.
 */
function watchCreated(run: string, t: TestContext): { readonly end: (deployment: Deployment) => Promise<string[]> } {
  const label = (name: string): string => `{{index .Actor.Attributes "dev.pangolin.${name}"}}`;
  const format = `${label('deployment')} ${label('item')} ${label('attempt')}`;
  const filters = ['--filter', `label=dev.pangolin.run=${run}`, '--filter', 'event=create'];
  const since = ['--since', `${Math.floor(Date.now() / 1000) - 1}`];
  const child = spawn('docker', ['events', ...since, ...filters, '--format', format], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.after(() => child.kill());
  let text = '';
  child.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()));
  return {
    async end(deployment) {
      // Whatever was created before this one has been told of when this one has.
      const last = `pangolin-last-${randomUUID()}`;
      const labels = ['--label', `dev.pangolin.run=${run}`, '--label', `dev.pangolin.deployment=${last}`];
      docker('create', '--name', last, ...labels, WORKER_IMAGE);
      try {
        await poll('the engine tells of the last container', () => text.includes(last));
      } finally {
        docker('rm', '-f', last);
      }
      const own = text.split('\n').filter((line) => line.startsWith(`${deployment.id} `));
      return own.map((line) => line.slice(line.indexOf(' ') + 1)).sort();
    },
  };
}

/** Growth: before and after the first appended item, after the last, and around the commit; then the same of the extension. */
const growing: readonly Lives[] = [
  ['insert:item#2:before', 'insert:item#1:before', 'insert:item#3:after', 'commit#1:before', 'commit#1:after'],
  ['insert:item#2:after', 'log:item ended#1', 'write:task#1:before', 'log:run completed#1'],
];

function growths(): void {
  let deployment: Deployment;
  before(async () => {
    deployment = new Deployment('process');
    const product = { kind: 'output', path: 'n' };
    const count = blocks(script('cat inputs/part* | wc -l > outputs/n'), outputs);
    const split = { outputs: 'parts/', map: count, product, reduce: count };
    const spec = { concurrency: 4, pattern: { 'map-reduce': { split } } };
    deployment.drop('q.json', { apiVersion: 'pangolin.dev/v1', kind: 'Queue', metadata: { name: 'q' }, spec });
    await deployment.settle();
    assert.deepEqual(deployment.receipt('q.json')?.errors, []);
  });
  after(() => deployment.dispose());

  for (const [index, lives] of growing.entries()) {
    const run = `grown-${index}`;
    test(`killed at ${lives.join(', then at ')}`, async () => {
      const parts = script('mkdir outputs/parts; echo a > outputs/parts/a; echo b > outputs/parts/b');
      const splitter = { id: 's', role: 'split', ...blocks(parts, outputs) };
      deployment.drop(`${run}.json`, runOf(run, deployment.repo, [splitter], { queue: 'q' }));
      let kills = 0;
      for (const at of lives) if (await live(deployment, at)) kills++;
      await live(deployment, undefined);
      assert.ok(kills >= lives.length - 1, `only ${kills} of ${lives.length} kills hit`);
      const done = 'done Succeeded 1';
      assert.deepEqual(ends(await deployment.status(run)), { s: done, 's.1': done, 's.2': done, 's.reduce': done });
      const extended = deployment.events(run).filter(({ kind }) => kind === 'run.extended');
      assert.equal(extended.length, 1, 'the run has grown twice');
      await deployment.verified(run);
      await deployment.swept();
    });
  }
}

const withoutDocker = await dockerSkip();
describe('a controller that is killed', { concurrency: true }, () => {
  describe('on the process provider', { concurrency: 1 }, () => crashes('process', onProcess));
  describe('while a run grows', { concurrency: 1 }, growths);
  describe('on docker', { concurrency: 1, skip: withoutDocker }, () => crashes('docker', onDocker));
});
