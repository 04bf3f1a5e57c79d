/** What breaks outside: workers killed, containers removed, disks full, images missing, work that never ends or eats all memory. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { parseIdentity } from '@pangolin/controller/providers/process-table';
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
  type Controller,
} from './harness.ts';
import { poll } from '../poll.ts';

const withoutDocker = await dockerSkip();
/** The first attempt waits to be killed, the second one is done at once. */
const ONCE = 'echo at work; echo half > HALF.md; while test $PANGOLIN_ATTEMPT -eq 1; do sleep 0.05; done';
const reasons = (deployment: Deployment, run: string): string[] =>
  deployment
    .events(run)
    .flatMap((event) => (event.kind === 'item.reconciled' ? `${event.itemId} ${event.attempt} ${event.reason}` : []))
    .sort();

async function atWork(deployment: Deployment, controller: Controller, run: string, item: string): Promise<string> {
  await poll(
    `${item} works`,
    () => deployment.printed(run, item).includes('at work'),
    () => controller.text,
  );
  const { task } = await controller.logged('its task', (entry) => entry.msg === 'dispatched' && entry.item === item);
  return task!;
}

test('a worker process that is killed is Lost, and its item is started again free of charge', async (t) => {
  const deployment = new Deployment('process');
  t.after(() => deployment.dispose());
  // One attempt is all that the item may be charged for.
  deployment.drop(
    'run.json',
    runOf('run', deployment.repo, [{ id: 'killed', retry: { maxAttempts: 1 }, ...blocks(script(ONCE), patch) }]),
  );
  const controller = deployment.serve({ untilIdle: true });
  const task = await atWork(deployment, controller, 'run', 'killed');
  const worker = parseIdentity(readFileSync(join(deployment.storage, 'controller', 'tasks', task, 'worker'), 'utf8'));
  process.kill(worker!.pid, 'SIGKILL');
  assert.equal((await controller.end()).code, 0);
  assert.deepEqual(ends(await deployment.status('run')), { killed: 'done Succeeded 2' });
  assert.deepEqual(reasons(deployment, 'run'), ['killed 1 Lost', 'killed 2 Succeeded']);
  // The block that outlived its worker went with the task.
  await deployment.swept();
  await deployment.verified('run');
});

test('work that never ends is TimedOut, and what it had done is kept as partial', async (t) => {
  const deployment = new Deployment('process');
  t.after(() => deployment.dispose());
  const command = 'echo half > HALF.md; while :; do sleep 0.05; done';
  deployment.drop(
    'run.json',
    runOf('run', deployment.repo, [{ id: 'endless', timeout: '6s', ...blocks(script(command), patch) }]),
  );
  await deployment.settle();
  const status = await deployment.status('run');
  assert.deepEqual(ends(status), { endless: 'failed TimedOut 1' });
  assert.equal(status.items[0]?.partial, true);
  assert.match((await deployment.cli('orch', 'patch', 'run/endless')).stdout, /^\+half$/m);
  await deployment.swept();
  await deployment.verified('run');
});

test('a full attempt storage is DiskFull, charged to the item, and the run is sealed all the same', async (t) => {
  const deployment = new Deployment('process');
  const why = mountSmall(deployment.storage);
  if (why === undefined) t.after(() => execFileSync('umount', ['-l', deployment.storage]));
  t.after(() => deployment.dispose());
  if (why !== undefined) {
    assert.ok(!process.env['CI'], why);
    return t.skip(why);
  }
  mkdirSync(join(deployment.storage, 'inbox'));
  const much = "head -c 40000000 /dev/zero | tr '\\0' x > outputs/much";
  deployment.drop(
    'run.json',
    runOf('run', deployment.repo, [
      { id: 'much', retry: { maxAttempts: 2, backoff: { initial: '10ms' } }, ...blocks(script(much), outputs) },
      { id: 'little', depends_on: [], ...blocks(script('echo x > outputs/little'), outputs) },
    ]),
  );
  await deployment.settle({ args: ['--state', join(deployment.dir, 'state'), '--concurrency', '1'] });
  assert.deepEqual(ends(await deployment.status('run')), { much: 'failed DiskFull 2', little: 'done Succeeded 1' });
  await deployment.verified('run');
});

/** A file system of 24 MiB at `dir`, or why there is none. */
function mountSmall(dir: string): string | undefined {
  if (process.getuid?.() !== 0) return 'only root can mount a small file system';
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=24m', 'tmpfs', dir], { stdio: 'pipe' });
    return undefined;
  } catch (error) {
    return `a small file system cannot be mounted here: ${(error as Error).message.split('\n')[0]}`;
  }
}

describe('on docker', { skip: withoutDocker }, () => {
  test('containers that are killed or removed by hand are Lost and started again, limits end with their own reasons', async (t) => {
    const deployment = new Deployment('docker');
    t.after(() => deployment.dispose());
    const eat = "echo half > HALF.md; node -e 'const kept = []; for (;;) kept.push(Buffer.alloc(4e6, 1))'";
    const once = { retry: { maxAttempts: 1 } };
    deployment.drop(
      'run.json',
      runOf('run', deployment.repo, [
        { id: 'killed', ...once, ...blocks(script(ONCE)) },
        { id: 'removed', ...once, ...blocks(script(ONCE)) },
        { id: 'hungry', resources: { memory: '160Mi' }, ...blocks(script(eat), patch) },
        { id: 'endless', timeout: '8s', ...blocks(script('echo half > HALF.md; while :; do sleep 0.05; done'), patch) },
      ]),
    );
    const controller = deployment.serve({ untilIdle: true });
    docker('kill', '--signal', 'KILL', await atWork(deployment, controller, 'run', 'killed'));
    docker('rm', '-f', await atWork(deployment, controller, 'run', 'removed'));
    assert.equal((await controller.end()).code, 0);
    assert.deepEqual(ends(await deployment.status('run')), {
      killed: 'done Succeeded 2',
      removed: 'done Succeeded 2',
      hungry: 'failed OOMKilled 1',
      endless: 'failed TimedOut 1',
    });
    assert.deepEqual(reasons(deployment, 'run'), [
      'endless 1 TimedOut',
      'hungry 1 OOMKilled',
      'killed 1 Lost',
      'killed 2 Succeeded',
      'removed 1 Lost',
      'removed 2 Succeeded',
    ]);
    for (const item of ['hungry', 'endless']) {
      assert.match((await deployment.cli('orch', 'patch', `run/${item}`)).stdout, /^\+half$/m, item);
    }
    await deployment.swept();
    await deployment.verified('run');
  });

  test('an image that is nowhere is ImageUnavailable, tried again later, and can be cancelled meanwhile', async (t) => {
    const deployment = new Deployment('docker');
    t.after(() => deployment.dispose());
    deployment.drop(
      'run.json',
      runOf('run', deployment.repo, [
        { id: 'nowhere', image: 'pangolin-spine-nowhere:none', ...blocks(script('true')) },
      ]),
    );
    const controller = deployment.serve();
    const { reason } = await controller.logged('a second try', ({ msg }) => msg.startsWith('attempt failed'));
    assert.equal(reason, 'ImageUnavailable');
    assert.equal((await deployment.cli('orch', 'cancel', 'run')).code, 0);
    await controller.logged('the run is sealed', ({ msg }) => msg === 'run sealed');
    await controller.stop();
    assert.equal((await deployment.status('run')).phase, 'cancelled');
    assert.equal(reasons(deployment, 'run')[0], 'nowhere 1 ImageUnavailable');
    await deployment.swept();
    await deployment.verified('run');
  });
});
