/**
 * Schedules through the shipped command: an example by hand, and kill -9 between a slot that is due and its run. The clock of a
 * controller is put forward by kill-point.mjs, so that it finds slots which nothing served.
 */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { ScheduleStatus } from '@pangolin/contracts/schedule';
import type { RunStatus } from '@pangolin/contracts/status';
import { blocks, Deployment, repository, script, type Controller } from './harness.ts';
import { poll } from '../poll.ts';

let deployment: Deployment;
before(() => {
  deployment = new Deployment('process');
});
after(() => deployment.dispose());

const serving = async (): Promise<Controller> => {
  const controller = deployment.serve();
  await controller.logged('it serves', ({ msg }) => msg === 'serving');
  return controller;
};

const runsOf = async (schedule: string): Promise<string[]> =>
  (await deployment.json<{ runs: RunStatus[] }>('orch', 'status')).runs
    .map(({ run }) => run)
    .filter((run) => run.startsWith(`${schedule}@`));

const scheduleOf = async (name: string): Promise<ScheduleStatus> => {
  const { schedules } = await deployment.json<{ schedules: ScheduleStatus[] }>('orch', 'schedule', 'list');
  return schedules.find(({ schedule }) => schedule === name)!;
};

test('the example is added, listed, paused, triggered, resumed and removed', async () => {
  const controller = await serving();
  const schedule = async (...args: string[]): Promise<string> => {
    const { code, stdout, stderr } = await deployment.cli('orch', 'schedule', ...args);
    assert.equal(code, 0, stderr);
    return stdout.trim();
  };
  assert.equal(await schedule('add', join(repository, 'examples', 'nightly.yaml')), 'accepted schedule nightly');
  assert.match((await scheduleOf('nightly')).nextSlot!, /T0[01]:30:00\.000Z$/);
  assert.equal(await schedule('pause', 'nightly'), 'paused schedule nightly');
  assert.match(await schedule('trigger', 'nightly', '--actor', 'human:ada'), /^triggered nightly@/);
  const [run] = await poll('the run is sealed', async () => {
    const runs = await runsOf('nightly');
    return runs[0] !== undefined && (await deployment.status(runs[0])).sealedAt !== undefined ? runs : undefined;
  });
  const { actor, labels } = await deployment.status(run!);
  assert.deepEqual([actor, labels], ['human:ada', { example: 'nightly', 'pangolin.dev/schedule': 'nightly' }]);
  await deployment.verified(run!);
  const listed = await schedule('list');
  assert.match(listed, new RegExp(`nightly +30 2 \\* \\* \\* +Europe/Berlin +paused +${run}`));
  assert.equal(await schedule('resume', 'nightly'), 'resumed schedule nightly');
  assert.equal(await schedule('rm', 'nightly'), 'removed schedule nightly');
  const again = await deployment.cli('orch', 'schedule', 'trigger', 'nightly');
  assert.equal(again.code, 3, again.stderr);
  await controller.stop();
});

test('what is wrong with a schedule is said in its own file', async () => {
  const controller = await serving();
  const spec = { cron: '0 0 * * *', run: { queue: 'nowhere', items: [{ id: 'a', ...blocks(script('true')) }] } };
  deployment.drop('wrong.json', {
    apiVersion: 'pangolin.dev/v1',
    kind: 'Schedule',
    metadata: { name: 'wrong' },
    spec,
  });
  const receipt = await poll('a receipt', () => deployment.receipt('wrong.json'));
  assert.deepEqual(
    [receipt.verdict, receipt.kind, receipt.errors[0]?.path],
    ['rejected', 'Schedule', '/spec/run/queue'],
  );
  await controller.stop();
});

const preload = `--import ${new URL('./kill-point.mjs', import.meta.url).href}`;
const HOUR_MS = 3_600_000;

type Slot = 'the first' | 'the last';
/**
 * Several slots were missed, and one of them has a run. Where controllers die one after the other, on the way to it; the last one
 * lives.
 */
const deaths: readonly (readonly [lives: readonly string[], policy: object, expected: Slot])[] = [
  [['commit#1:before', 'commit#1:after', 'write:inbox#1:before'], { catchUp: 'all', overlap: 'skip' }, 'the first'],
  [
    ['write:inbox#1:after', 'write:receipt#1:before', 'write:receipt#1:after'],
    { catchUp: 'all', overlap: 'replace' },
    'the last',
  ],
  [['commit#2:before', 'commit#2:after', 'delete:inbox#1:before'], {}, 'the last'],
  [['write:schedule#1:before', 'write:schedule#1:after', 'delete:inbox#1:after'], { catchUp: 'coalesce' }, 'the last'],
];
for (const [index, [lives, policy, expected]] of deaths.entries()) {
  test(`of missed slots ${expected} is one run, when controllers die at ${lives.join(', ')}`, async () => {
    const name = `hourly-${index}`;
    const run = { items: [{ id: 'a', ...blocks(script('true')) }] };
    const document = {
      apiVersion: 'pangolin.dev/v1',
      kind: 'Schedule',
      metadata: { name },
      // Half an hour from now: none is due while this test goes on.
      spec: { cron: `${(new Date().getUTCMinutes() + 30) % 60} * * * *`, ...policy, run },
    };
    deployment.drop(`${name}.json`, document);
    await deployment.settle();
    const clock = { NODE_OPTIONS: preload, PANGOLIN_TEST_CLOCK_MS: String((index + 1) * 3 * HOUR_MS) };
    const serve = (at?: string): Controller =>
      deployment.serve({ untilIdle: true, env: { ...clock, ...(at !== undefined && { PANGOLIN_TEST_KILL: at }) } });
    let kills = 0;
    for (const at of lives) if ((await serve(at).end()).signal === 'SIGKILL') kills++;
    assert.ok(kills >= 2, `${kills} kills hit`);
    const last = serve();
    assert.equal((await last.end()).code, 0, last.text);
    const runs = await runsOf(name);
    assert.equal(runs.length, 1, runs.join());
    assert.equal((await deployment.status(runs[0]!)).phase, 'succeeded');
    const { lastRun, recent } = await scheduleOf(name);
    assert.equal(lastRun?.outcome, 'submitted');
    assert.equal(recent.length, (index + 1) * 3, 'what became of each of them is told');
    assert.equal(lastRun.slot, recent.at(expected === 'the last' ? 0 : -1)!.slot);
    assert.deepEqual(readdirSync(join(deployment.storage, 'inbox')), []);
    await deployment.verified(runs[0]!);
    await deployment.cli('orch', 'schedule', 'rm', name);
  });
}
