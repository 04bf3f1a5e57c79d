/**
 * 5,000 tasks against the documented limits, in simulated time: the provider runs at the limit, is never throttled,
 * and keeps nobody waiting behind those who came later. Counts and simulated seconds only.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { taskName } from '@pangolin/contracts/ids';
import type { Clock, EcsApi } from '@pangolin/controller/providers/ecs-calls';
import { createFargateProvider, STARTS_MAX } from '@pangolin/controller/providers/fargate';
import type { TaskStart } from '@pangolin/controller/providers/provider';
import { EcsCluster } from '../ecs/cluster.ts';
import { HandRunner } from '../ecs/hand-runner.ts';
import { configFor } from '../ecs/place.ts';

const TASKS = 5000;
const PER_SECOND = 20;
/** What may be started at once: RunTask on Fargate bursts no higher than its rate. */
const BURST = 20;
const ANSWER_MS = 80;
const RUNS_MS = 90_000;
const IMAGE = `123456789012.dkr.ecr.eu-central-1.amazonaws.com/w@sha256:${'ab'.repeat(32)}`;

/** Time passes when nobody has anything left to do. */
class SimulatedClock implements Clock {
  #now = 0;
  #sleepers: readonly { at: number; wake: () => void }[] = [];
  now(): number {
    return this.#now;
  }
  async sleep(ms: number, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted) return;
    await new Promise<void>((resolve) => {
      this.#sleepers = [...this.#sleepers, { at: this.#now + ms, wake: resolve }];
      signal?.addEventListener('abort', () => resolve(), { once: true });
    });
  }
  /** Runs until `done`. */
  async run(done: () => boolean): Promise<void> {
    while (!done()) {
      await new Promise((resolve) => setImmediate(resolve));
      if (this.#sleepers.length === 0) continue;
      const next = this.#sleepers.reduce((least, each) => Math.min(least, each.at), Infinity);
      this.#now = Math.max(this.#now, next);
      const due = this.#sleepers.filter(({ at }) => at <= this.#now);
      this.#sleepers = this.#sleepers.filter(({ at }) => at > this.#now);
      for (const { wake } of due) wake();
    }
  }
}

test('5,000 tasks start at the limit, in order, without a throttle', async () => {
  const clock = new SimulatedClock();
  const now = (): number => clock.now();
  const runner = new HandRunner(async () => {
    await clock.sleep(RUNS_MS);
    return { exitCode: 0 };
  });
  const cluster = new EcsCluster({ runner, now, limitedBy: now });
  const counts = new Map<string, number>();
  const call =
    (action: keyof EcsCluster['actions']) =>
    async (input: never): Promise<never> => {
      counts.set(action, (counts.get(action) ?? 0) + 1);
      await clock.sleep(ANSWER_MS);
      const output = cluster.actions[action](input) as { tasks?: { createdAt?: unknown; startedAt?: unknown }[] };
      // What the SDK makes of the seconds on the wire.
      for (const task of output.tasks ?? []) {
        for (const field of ['createdAt', 'startedAt'] as const)
          if (typeof task[field] === 'number') task[field] = new Date(task[field] * 1000);
      }
      return output as never;
    };
  const api: EcsApi = {
    runTask: call('RunTask'),
    stopTask: call('StopTask'),
    describeTasks: call('DescribeTasks'),
    listTasks: call('ListTasks'),
    registerTaskDefinition: call('RegisterTaskDefinition'),
    describeTaskDefinition: call('DescribeTaskDefinition'),
  };
  const provider = await createFargateProvider({
    deployment: 'd',
    config: configFor('http://127.0.0.1:1', IMAGE),
    clock,
    api,
  });

  const startedAt: number[] = [];
  const endedAt = new Map<string, number>();
  const names = new Map<string, number>();
  const begun = Array.from({ length: TASKS }, () => 0);
  const startAll = async (): Promise<void> => {
    let next = 0;
    // As the engine does: a bounded number of starts waits, the other items stay ready.
    const starter = async (): Promise<void> => {
      while (next < TASKS) {
        const n = next++;
        const ref = { runId: 'r', itemId: `i${n}`, attempt: 1 };
        const name = taskName('d', ref);
        names.set(name, n);
        begun[n] = clock.now();
        const task: TaskStart = {
          name,
          ref,
          inDir: '/in',
          outDir: '/out',
          manifestSha256: 'a'.repeat(64),
          sandbox: provider.enforce({}),
          graceMs: 10_000,
        };
        await provider.start(task);
        startedAt[n] = clock.now();
      }
    };
    await Promise.all(Array.from({ length: STARTS_MAX }, starter));
  };
  const dirty = new Set<string>();
  const unwatch = provider.watch((name) => dirty.add(name));
  const settle = async (): Promise<void> => {
    while (endedAt.size < TASKS) {
      const asked = [...dirty];
      dirty.clear();
      for (const { name, state } of await provider.observe(asked))
        if (state === 'ended') endedAt.set(name, clock.now());
      await clock.sleep(500);
    }
  };
  let done = false;
  const work = Promise.all([startAll(), settle()]).finally(() => (done = true));
  await clock.run(() => done);
  await work;
  const stop = unwatch.then(async (end) => await end());
  let over = false;
  void stop.finally(() => (over = true));
  await clock.run(() => over);

  assert.equal(cluster.limits!.refused, 0, 'the service refused nothing');
  assert.equal(runner.started.length, TASKS);
  assert.equal(new Set(runner.started).size, TASKS, 'nothing started twice');
  assert.equal(counts.get('RunTask'), TASKS);
  assert.equal(counts.get('RegisterTaskDefinition'), 1);

  // At the limit: after t seconds nearly burst + rate × t have started.
  const order = [...startedAt].sort((a, b) => a - b);
  for (let second = 5; second * PER_SECOND < TASKS; second += 5) {
    const started = order.filter((at) => at <= second * 1000).length;
    assert.ok(started >= 0.97 * PER_SECOND * second - BURST, `${started} after ${second} s`);
  }
  // No starvation: whoever begins to start has started within what is ahead of him, and in order.
  const slack = 2 * ANSWER_MS + 1000;
  for (let n = STARTS_MAX; n < TASKS; n++)
    assert.ok(startedAt[n]! - begun[n]! <= (STARTS_MAX / PER_SECOND) * 1000 + slack, `task ${n}`);
  assert.deepEqual(
    runner.started.map((name) => names.get(name)),
    Array.from({ length: TASKS }, (_, n) => n),
  );

  // 1,800 run at a time: a look at each every few seconds takes at most half of the calls that are allowed.
  const seconds = clock.now() / 1000;
  assert.ok(counts.get('DescribeTasks')! <= 15 * seconds, `${counts.get('DescribeTasks')} calls in ${seconds} s`);
  for (const [name, at] of endedAt)
    assert.ok(at - startedAt[names.get(name)!]! <= RUNS_MS + 15_000, `${name} was seen late`);
});
