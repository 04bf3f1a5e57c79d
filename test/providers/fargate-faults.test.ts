/** The Fargate provider against everything that ECS answers besides success; tasks run nothing. */
import assert from 'node:assert/strict';
import { afterEach, before, beforeEach, describe, it } from 'node:test';
import type { FargateConfig } from '@pangolin/contracts/config';
import { isPangolinError } from '@pangolin/contracts/errors';
import { taskName } from '@pangolin/contracts/ids';
import type { Clock } from '@pangolin/controller/providers/ecs-calls';
import { createFargateProvider } from '@pangolin/controller/providers/fargate';
import type { ComputeProvider, TaskStart } from '@pangolin/controller/providers/provider';
import { AwsError, serveJson, type JsonServer } from '../aws/json-server.ts';
import { modelsSkip } from '../aws/service-model.ts';
import { EcsCluster } from '../ecs/cluster.ts';
import { HandRunner } from '../ecs/hand-runner.ts';
import { configFor, credentials, ecsModel } from '../ecs/place.ts';
import { isUnavailable, observeOne } from './conformance.ts';
import { poll } from '../poll.ts';

const DEPLOYMENT = 'd';
const NO_CAPACITY = 'Capacity is unavailable at this time. Please try again later or in a different availability zone';
const IMAGE = `123456789012.dkr.ecr.eu-central-1.amazonaws.com/w@sha256:${'ab'.repeat(32)}`;

/** Waiting takes no time; what was waited for is kept. */
class HastyClock implements Clock {
  at = Date.now();
  waits: number[] = [];
  now(): number {
    return this.at;
  }
  async sleep(ms: number): Promise<void> {
    this.waits.push(ms);
    this.at += ms;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

describe('the Fargate provider', { skip: modelsSkip() }, () => {
  let runner: HandRunner;
  let cluster: EcsCluster;
  let server: JsonServer;
  let clock: HastyClock;
  let provider: ComputeProvider;
  let count = 0;
  before(() => Object.assign(process.env, credentials));
  beforeEach(async () => {
    runner = new HandRunner();
    cluster = new EcsCluster({ runner });
    server = await serveJson(ecsModel(), cluster.actions);
    clock = new HastyClock();
    provider = await open();
  });
  afterEach(async () => {
    await cluster.close();
    await server.close();
  });
  async function open(more: Partial<FargateConfig> = {}): Promise<ComputeProvider> {
    const config = { ...configFor(server.endpoint, IMAGE), ...more };
    return await createFargateProvider({ deployment: DEPLOYMENT, config, clock });
  }

  function task(attempt = 1): TaskStart {
    const ref = { runId: 'r', itemId: `i${++count}`, attempt };
    return {
      name: taskName(DEPLOYMENT, ref),
      ref,
      inDir: '/in',
      outDir: '/out',
      manifestSha256: 'a'.repeat(64),
      sandbox: provider.enforce({}),
      graceMs: 10_000,
    };
  }
  const calls = (action: string): number => server.calls.filter((call) => call.action === action).length;
  /** A fault for the first `times` calls of an action. */
  function failing(action: string, times: number, fault: AwsError | 'lost' | 'unanswered'): void {
    let left = times;
    server.fault = (called) => (called === action && left-- > 0 ? fault : undefined);
  }

  it('registers one definition for many tasks of a size, and a restarted one none', async () => {
    const tasks = [1, 2, 3, 4, 5].map(() => task());
    await Promise.all(tasks.map((each) => provider.start(each)));
    await (await open()).start(task());
    assert.equal(calls('RegisterTaskDefinition'), 1);
    assert.equal(calls('RunTask'), 6);
    assert.equal(cluster.definitions.families.length, 1);
  });

  it('registers again what somebody deregistered, and what has its name and another content', async () => {
    await provider.start(task());
    cluster.definitions.deregisterAll();
    await provider.start(task());
    assert.equal(calls('RegisterTaskDefinition'), 2);
    const [family] = cluster.definitions.families;
    const {
      taskDefinitionArn: _,
      revision: __,
      status: ___,
      compatibilities: ____,
      placementConstraints: _____,
      ...found
    } = cluster.definitions.find(family!);
    const [container] = found.containerDefinitions!;
    cluster.definitions.register({
      ...found,
      family: family!,
      containerDefinitions: [{ ...container!, image: `${container!.image!.slice(0, -64)}${'0'.repeat(64)}` }],
    });
    const last = task();
    await (await open()).start(last);
    assert.equal(cluster.named(last.name)!.input.taskDefinition!.split(':').at(-1), '4');
  });

  for (const [what, error] of [
    ['a throttle', new AwsError('ThrottlingException', 'Rate exceeded')],
    ['a disguised throttle', new AwsError('InvalidParameterException', 'Rate exceeded')],
    ['an error of the service', new AwsError('ServerException', 'Service Unavailable', { status: 500 })],
  ] as const) {
    it(`waits and tries again after ${what}`, async () => {
      failing('RunTask', 3, error);
      const each = task();
      await provider.start(each);
      assert.equal(calls('RunTask'), 4);
      assert.ok(clock.waits.filter((ms) => ms >= 250).length >= 3, clock.waits.join(' '));
      assert.deepEqual(runner.started, [each.name]);
    });
  }

  it('gives up on throttles that do not end, and says so', async () => {
    failing('RunTask', Infinity, new AwsError('ThrottlingException', 'Rate exceeded'));
    await assert.rejects(provider.start(task()), isUnavailable('CapacityUnavailable'));
    assert.equal(calls('RunTask'), 8);
  });

  it('starts once when the request or its answer is lost', async () => {
    for (const fault of ['lost', 'unanswered'] as const) {
      failing('RunTask', 2, fault);
      const each = task();
      await provider.start(each);
      assert.equal(runner.started.filter((name) => name === each.name).length, 1, fault);
      assert.equal((await observeOne(provider, each.name)).state, 'running');
    }
  });

  it('adopts a task whose starter died before the answer, though the request was another', async () => {
    const each = task();
    failing('RunTask', Infinity, 'unanswered');
    await assert.rejects(provider.start(each));
    server.fault = undefined;
    // ECS does not show it yet.
    const next = await open();
    await next.list();
    cluster.hiddenLooks = 3;
    await next.start({ ...each, manifestSha256: 'b'.repeat(64) });
    await poll('it is seen', async () => (await observeOne(next, each.name)).state === 'running');
    assert.deepEqual(runner.started, [each.name]);
  });

  it('takes a task that ECS does not show yet for one that is starting, and not for gone', async () => {
    cluster.hiddenLooks = 2;
    const each = task();
    await provider.start(each);
    assert.equal((await observeOne(provider, each.name)).state, 'starting');
    assert.equal((await observeOne(provider, each.name)).state, 'starting');
    assert.equal((await observeOne(provider, each.name)).state, 'running');
  });

  it('falls back to on-demand capacity when there is no spare one, and says when there is none at all', async () => {
    const spot = await open({ capacity: ['spot', 'on-demand'] });
    const full = new Set(['FARGATE_SPOT']);
    cluster.runFault = ({ capacityProviderStrategy }) =>
      full.has(capacityProviderStrategy![0]!.capacityProvider!) ? { failure: { reason: NO_CAPACITY } } : undefined;
    const each = task();
    await spot.start(each);
    assert.equal(cluster.named(each.name)!.capacity, 'FARGATE');
    full.add('FARGATE');
    await assert.rejects(spot.start(task()), isUnavailable('CapacityUnavailable'));
    full.clear();
    const [first, second] = [task(1), task(2)];
    await Promise.all([spot.start(first), spot.start(second)]);
    assert.deepEqual(
      [cluster.named(first.name)!.capacity, cluster.named(second.name)!.capacity],
      ['FARGATE_SPOT', 'FARGATE'],
    );
  });

  for (const [what, fault, reason] of [
    ['no interface', { failure: { reason: 'RESOURCE:ENI' } }, 'CapacityUnavailable'],
    ['an unexplained failure', { failure: { reason: 'ATTRIBUTE' } }, 'StartFailed'],
    [
      'no permission',
      { error: new AwsError('AccessDeniedException', 'not authorized to perform: ecs:RunTask') },
      'StartFailed',
    ],
    [
      'the vCPU quota',
      {
        error: new AwsError(
          'ClientException',
          "You've reached the limit on the number of vCPUs you can run concurrently",
        ),
      },
      'CapacityUnavailable',
    ],
  ] as const) {
    it(`says ${reason} of ${what}, and leaves no task`, async () => {
      cluster.runFault = () => fault;
      const each = task();
      await assert.rejects(provider.start(each), isUnavailable(reason));
      assert.equal((await observeOne(provider, each.name)).state, 'gone');
    });
  }

  it('says why a task never started that RunTask had accepted', async () => {
    cluster.runFault = () => ({
      stops: 'Unexpected EC2 error while attempting to Create Network Interface: InsufficientFreeAddressesInSubnet',
    });
    const each = task();
    await provider.start(each);
    const end = await observeOne(provider, each.name);
    assert.deepEqual([end.state, end.reason, end.exitCode], ['ended', 'CapacityUnavailable', undefined]);
    assert.match(end.message!, /InsufficientFreeAddresses/);
  });

  it('stops a task that is provisioned for too long, and says so for good', async () => {
    cluster.runFault = () => ({ provisioningSinceMs: 0 });
    const each = task();
    await provider.start(each);
    assert.equal((await observeOne(provider, each.name)).state, 'starting');
    clock.at += 5 * 60_000;
    const late = await observeOne(provider, each.name);
    assert.deepEqual([late.state, late.reason], ['ended', 'CapacityUnavailable']);
    assert.equal(calls('StopTask'), 1);
    clock.at += 2000;
    assert.equal((await observeOne(provider, each.name)).reason, 'CapacityUnavailable');
    assert.equal(calls('StopTask'), 1);
  });

  it('says of an interrupted task that its capacity was taken back', async () => {
    const spot = await open({ capacity: ['spot', 'on-demand'] });
    const each = task();
    await spot.start(each);
    await cluster.named(each.name)!.interruptSpot();
    const end = await poll('it has ended', async () => {
      clock.at += 2000;
      const seen = await observeOne(spot, each.name);
      return seen.state === 'ended' && seen;
    });
    assert.deepEqual([end.reason, end.exitCode], ['SpotInterrupted', 143]);
  });

  it('asks about 250 tasks in three calls, and not again at once', async () => {
    const tasks = Array.from({ length: 250 }, () => task());
    await Promise.all(tasks.map((each) => provider.start(each)));
    const before = calls('DescribeTasks');
    const seen = await provider.observe(tasks.map(({ name }) => name));
    assert.ok(seen.every(({ state }) => state === 'running'));
    assert.equal(calls('DescribeTasks') - before, 3);
    await provider.observe(tasks.map(({ name }) => name));
    assert.equal(calls('DescribeTasks') - before, 3);
  });

  it('finds its tasks page by page, and leaves those of others alone', async () => {
    const other = await createFargateProvider({
      deployment: 'other',
      config: configFor(server.endpoint, IMAGE),
      clock,
    });
    const tasks = Array.from({ length: 120 }, () => task());
    await Promise.all([
      ...tasks.map((each) => provider.start(each)),
      other.start({ ...task(), name: 'pangolin-other' }),
    ]);
    for (const { name } of tasks.slice(0, 110)) runner.end(name, { exitCode: 0 });
    await poll('they have ended', () =>
      tasks.slice(0, 110).every(({ name }) => cluster.named(name)!.lastStatus === 'STOPPED'),
    );
    assert.deepEqual([...(await (await open()).list())].sort(), tasks.map(({ name }) => name).sort());
    assert.deepEqual(await other.list(), ['pangolin-other']);
  });

  it('refuses an environment that does not fit into a request', async () => {
    const each = { ...task(), manifestSha256: 'a'.repeat(8192) };
    await assert.rejects(provider.start(each), (error) => isPangolinError(error, 'TOO_LARGE'));
    assert.equal(calls('RunTask'), 0);
  });

  it('rejects, and does not say gone, when ECS does not answer', async () => {
    const each = task();
    await provider.start(each);
    server.fault = () => 'lost';
    clock.at += 2000;
    await assert.rejects(provider.observe([each.name]), (error) => isPangolinError(error, 'UNAVAILABLE'));
    await assert.rejects(provider.list(), (error) => isPangolinError(error, 'UNAVAILABLE'));
  });
});
