/**
 * Tasks on AWS Fargate. ECS keeps the only state: tasks are found again by their tags, and a start is idempotent by
 * its client token. Every call is paced by the documented limits (ecs-limits.ts).
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { FargateConfig } from '@pangolin/contracts/config';
import { PangolinError, messageOf } from '@pangolin/contracts/errors';
import type { Sandbox } from '@pangolin/contracts/task';
import { parseDuration } from '@pangolin/contracts/units';
import { assertEnforces, assertTaskName } from './checks.ts';
import { EcsCalls, type Answer, type Clock, type EcsApi } from './ecs-calls.ts';
import { launchLimitOf, type Capacity } from './ecs-limits.ts';
import { failureRefusal } from './ecs-refusals.ts';
import { FargateDefinitions } from './fargate-definitions.ts';
import { isOverdue, observationOf } from './fargate-end.ts';
import { failed } from './fargate-failed.ts';
import { capacitiesFor, definitionOf, digestOf, enforcedSandbox, runInput } from './fargate-task.ts';
import { FargateTasks, type KnownTask } from './fargate-tasks.ts';
import type { ComputeProvider, SandboxRequest, TaskObservation, TaskStart } from './provider.ts';

export interface FargateProviderOptions {
  readonly deployment: string;
  readonly config: FargateConfig;
  /** In tests; the SDK and the real time by default. */
  readonly api?: EcsApi;
  readonly clock?: Clock;
  readonly warn?: (message: string) => void;
}

const PROVISIONING_TIMEOUT = '4m';
/** A look at every task that may change costs a call for 100 of them; half of the allowed rate is left to the rest. */
const POLL_MS = 1000;
const POLL_MS_PER_TASK = 1;
const CONNECT_MS = 5000;
const ANSWER_MS = 30_000;
/** Starts that wait for their token. More stay ready, where they cost nothing and have no deadline. */
export const STARTS_MAX = 64;

const realClock: Clock = {
  now: Date.now,
  sleep: async (ms, signal) => void (await delay(ms, undefined, { ...(signal && { signal }) }).catch(() => undefined)),
};

export async function createFargateProvider(options: FargateProviderOptions): Promise<ComputeProvider> {
  return new FargateProvider({ ...options, api: options.api ?? (await connect(options.config)) });
}

/** Loaded here only. Repetitions are ours: they have to draw on the same buckets. */
async function connect({ region, endpoint }: FargateConfig): Promise<EcsApi> {
  const { ECS } = await import('@aws-sdk/client-ecs');
  return new ECS({
    region,
    ...(endpoint === undefined ? {} : { endpoint }),
    maxAttempts: 1,
    requestHandler: { connectionTimeout: CONNECT_MS, requestTimeout: ANSWER_MS },
  });
}

class FargateProvider implements ComputeProvider {
  readonly name = 'fargate';
  readonly elsewhere = true;
  readonly startsMax = STARTS_MAX;
  readonly #deployment: string;
  readonly #config: FargateConfig;
  readonly #clock: Clock;
  readonly #calls: EcsCalls;
  readonly #tasks: FargateTasks;
  readonly #definitions: FargateDefinitions;
  readonly #provisioningMs: number;
  readonly #warn: (message: string) => void;
  /** Starts under way: whoever wants to stop such a task waits until there is one. */
  readonly #starting = new Map<string, Promise<void>>();
  /** Stopped by us because they did not come up. */
  readonly #overdue = new Set<string>();

  constructor({
    deployment,
    config,
    api,
    clock = realClock,
    warn = () => undefined,
  }: FargateProviderOptions & { api: EcsApi }) {
    this.#deployment = deployment;
    this.#config = config;
    this.#clock = clock;
    this.#calls = new EcsCalls(api, clock);
    this.#tasks = new FargateTasks(this.#calls, clock, { cluster: config.cluster, deployment });
    this.#definitions = new FargateDefinitions(this.#calls, deployment);
    this.#provisioningMs = parseDuration(config.provisioningTimeout ?? PROVISIONING_TIMEOUT);
    this.#warn = warn;
  }

  enforce(request: SandboxRequest): Sandbox {
    return enforcedSandbox(request);
  }

  async resolveImage(image = this.#config.image): Promise<{ readonly ref: string }> {
    if (image === undefined) {
      throw new PangolinError('UNAVAILABLE', 'no worker image is configured for Fargate', {
        hint: 'Name one by its digest in compute.fargate.image of pangolin.yaml.',
        details: { reason: 'ImageUnavailable' },
      });
    }
    digestOf(image);
    return { ref: image };
  }

  async start(task: TaskStart): Promise<void> {
    assertTaskName(task.name);
    assertEnforces(this, task);
    const underWay = this.#starting.get(task.name);
    if (underWay) return await underWay;
    const start = this.#start(task).finally(() => this.#starting.delete(task.name));
    this.#starting.set(task.name, start);
    await start;
  }

  async #start(task: TaskStart): Promise<void> {
    const { ref: image } = await this.resolveImage(task.image);
    if (await this.#tasks.find(task.name)) return;
    const capacities = capacitiesFor(task.ref.attempt, this.#config.capacity);
    for (const [at, capacity] of capacities.entries()) {
      const answer = await this.#run(task, image, capacity);
      if (answer.ok) return this.#tasks.started(task.name, answer.output);
      if (answer.refusal !== 'capacity' || at === capacities.length - 1) throw failed(`start ${task.name}`, answer);
      this.#warn(`no ${capacity} capacity for ${task.name}: ${answer.error.message}`);
    }
  }

  /** The ARN of the task. A definition that was deregistered meanwhile is made again, once. */
  async #run(task: TaskStart, image: string, capacity: Capacity): Promise<Answer<string>> {
    const definition = definitionOf(task, this.#config, image);
    for (let tries = 1; ; tries++) {
      const definitionArn = await this.#definitions.arn(definition);
      const input = runInput(task, { config: this.#config, deployment: this.#deployment, definitionArn, capacity });
      const answer = await this.#calls.call(
        'RunTask',
        (api) => api.runTask(input),
        [launchLimitOf(capacity)],
        ({ tasks, failures = [] }) => {
          if (tasks?.[0]?.taskArn !== undefined) return undefined;
          const failure = failures[0] ?? { reason: 'it answered neither a task nor a failure' };
          const message = [failure.reason, failure.detail].filter((part) => part).join(': ');
          return { refusal: failureRefusal(failure), error: { name: 'RunTask', message, status: 200 } };
        },
      );
      if (answer.ok) return { ok: true, output: answer.output.tasks![0]!.taskArn! };
      // An earlier start of this very task, which a signed address in it made another request.
      const [existing] = answer.resourceIds;
      if (answer.refusal === 'conflict' && existing !== undefined) return { ok: true, output: existing };
      if (answer.refusal !== 'missing' || tries > 1) return answer;
      this.#definitions.forget(definition.family!);
    }
  }

  async observe(names: readonly string[]): Promise<readonly TaskObservation[]> {
    names.forEach(assertTaskName);
    await this.#tasks.refresh(names);
    return await Promise.all(names.map((name) => this.#observation(name, this.#tasks.get(name))));
  }

  async #observation(name: string, known: KnownTask | undefined): Promise<TaskObservation> {
    if (known === undefined) return { name, state: 'gone' };
    if (known.task === undefined) return { name, state: 'starting' };
    if (isOverdue(known.task, this.#clock.now(), this.#provisioningMs)) {
      await this.#stop(known.arn, 'pangolin: not running in time');
      this.#overdue.add(name);
    }
    const observation = observationOf(name, known.task);
    if (!this.#overdue.has(name) || observation.state === 'running') return observation;
    const message = `it was ${known.task.lastStatus ?? 'waiting'} for more than ${this.#provisioningMs} ms`;
    return { name, state: 'ended', reason: 'CapacityUnavailable', message };
  }

  async list(): Promise<readonly string[]> {
    await this.#tasks.load();
    return this.#tasks.names();
  }

  /** The grace is the one of the task's definition: ECS takes none here. */
  async stop(name: string): Promise<void> {
    assertTaskName(name);
    await this.#starting.get(name)?.catch(() => undefined);
    const known = await this.#tasks.find(name);
    if (known && known.task?.lastStatus !== 'STOPPED')
      await this.#stop(known.arn, 'pangolin: stopped by its controller');
  }

  async #stop(arn: string, reason: string): Promise<void> {
    const answer = await this.#calls.call('StopTask', (api) =>
      api.stopTask({ cluster: this.#config.cluster, task: arn, reason }),
    );
    if (!answer.ok && answer.refusal !== 'missing') throw failed('stop a task', answer);
  }

  /** A stopped task has nothing left that could be removed; ECS forgets it within an hour. */
  async remove(name: string): Promise<void> {
    await this.stop(name);
    this.#tasks.forget(name);
    this.#overdue.delete(name);
  }

  async watch(onChange: (name: string) => void): Promise<() => Promise<void>> {
    await this.#tasks.load();
    const stopped = new AbortController();
    const polling = this.#poll(onChange, stopped.signal);
    return async () => {
      stopped.abort();
      await polling;
    };
  }

  async #poll(onChange: (name: string) => void, stopped: AbortSignal): Promise<void> {
    const states = new Map<string, string>();
    while (!stopped.aborted) {
      const names = new Set([...this.#tasks.unfinished(), ...states.keys()]);
      try {
        for (const { name, state } of await this.observe([...names])) {
          if (states.get(name) !== state && !stopped.aborted) onChange(name);
          if (this.#tasks.get(name)?.task?.lastStatus === 'STOPPED' || state === 'gone') states.delete(name);
          else states.set(name, state);
        }
      } catch (error) {
        this.#warn(`the tasks could not be looked at: ${messageOf(error)}`);
      }
      await this.#clock.sleep(Math.max(POLL_MS, names.size * POLL_MS_PER_TASK), stopped);
    }
  }
}
