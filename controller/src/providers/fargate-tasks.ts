/** The tasks of a deployment that ECS knows, by name: found by tag, then remembered, and described in batches. */
import type { Task } from '@aws-sdk/client-ecs';
import type { Clock, EcsCalls } from './ecs-calls.ts';
import { DESCRIBE_TASKS_MAX } from './ecs-limits.ts';
import { failed } from './fargate-failed.ts';
import { startedBy, TAG } from './fargate-task.ts';

/** ECS is eventually consistent: a task that it has just accepted may be missing for a while. */
const UNSEEN_MS = 60_000;
/** What was described so recently is not asked for again. */
const FRESH_MS = 1000;
/** A name that is not known is looked for in ECS, but not more often. */
const RELOAD_MS = 2000;
/** Of stopped tasks, at 100 a page: those beyond are settled from what they wrote to the storage. */
const STOPPED_PAGES_MAX = 50;

export interface KnownTask {
  readonly arn: string;
  /** As it was described last; undefined when ECS has not shown it yet. */
  readonly task: Task | undefined;
  readonly seenAt: number;
}

export class FargateTasks {
  readonly #calls: EcsCalls;
  readonly #clock: Clock;
  readonly #cluster: string;
  readonly #deployment: string;
  readonly #known = new Map<string, KnownTask>();
  /** Done with; ECS itself shows a stopped task for an hour. */
  readonly #removed = new Set<string>();
  #loadedAt: number | undefined;
  #loading: Promise<void> | undefined;

  constructor(calls: EcsCalls, clock: Clock, { cluster, deployment }: { cluster: string; deployment: string }) {
    this.#calls = calls;
    this.#clock = clock;
    this.#cluster = cluster;
    this.#deployment = deployment;
  }

  /** Looks once at everything there is before the first answer. */
  async find(name: string): Promise<KnownTask | undefined> {
    if (this.#loadedAt === undefined) await this.load();
    return this.#known.get(name);
  }

  started(name: string, arn: string): void {
    this.#removed.delete(name);
    this.#known.set(name, { arn, task: undefined, seenAt: this.#clock.now() });
  }

  forget(name: string): void {
    this.#known.delete(name);
    this.#removed.add(name);
  }

  names(): readonly string[] {
    return [...this.#known.keys()];
  }

  /** Names of tasks that may still change. */
  unfinished(): readonly string[] {
    return [...this.#known].filter(([, { task }]) => task?.lastStatus !== 'STOPPED').map(([name]) => name);
  }

  /** Finds every task of this deployment by its tags: running ones, and those that stopped within the last hour. */
  async load(): Promise<void> {
    this.#loading ??= this.#loadAll().finally(() => (this.#loading = undefined));
    await this.#loading;
  }

  async #loadAll(): Promise<void> {
    const at = this.#clock.now();
    const known = new Set([...this.#known.values()].map(({ arn }) => arn));
    // startedBy cannot be combined with a status, and then means the running ones.
    const running = await this.#listed({ startedBy: startedBy(this.#deployment) }, Infinity);
    const stopped = await this.#listed({ desiredStatus: 'STOPPED' }, STOPPED_PAGES_MAX);
    for (const task of await this.#described([...running, ...stopped].filter((arn) => !known.has(arn)))) {
      const tags = new Map((task.tags ?? []).map(({ key, value }) => [key, value]));
      const name = tags.get(TAG.task);
      if (tags.get(TAG.deployment) !== this.#deployment || name === undefined || this.#removed.has(name)) continue;
      // Of two tasks of one attempt the fence lets one work, and the other stops.
      const other = this.#known.get(name);
      if (other?.task !== undefined && other.task.lastStatus !== 'STOPPED') continue;
      this.#known.set(name, { arn: task.taskArn!, task, seenAt: at });
    }
    this.#loadedAt = at;
  }

  async #listed(
    filter: { readonly startedBy: string } | { readonly desiredStatus: 'STOPPED' },
    pagesMax: number,
  ): Promise<string[]> {
    const arns: string[] = [];
    let nextToken: string | undefined;
    for (let page = 0; page < pagesMax; page++) {
      const answer = await this.#calls.call('ListTasks', (api) =>
        api.listTasks({ cluster: this.#cluster, ...filter, ...(nextToken === undefined ? {} : { nextToken }) }),
      );
      if (!answer.ok) throw failed('list the tasks', answer);
      arns.push(...(answer.output.taskArns ?? []));
      nextToken = answer.output.nextToken;
      if (nextToken === undefined) break;
    }
    return arns;
  }

  /** Describes what is not fresh of `names`. Names that ECS has lost are forgotten. */
  async refresh(names: readonly string[]): Promise<void> {
    const now = this.#clock.now();
    if (this.#loadedAt === undefined) await this.load();
    else if (
      names.some((name) => !this.#known.has(name) && !this.#removed.has(name)) &&
      now - this.#loadedAt >= RELOAD_MS
    )
      await this.load();
    const stale = new Map<string, string>();
    for (const name of names) {
      const known = this.#known.get(name);
      if (known === undefined || known.task?.lastStatus === 'STOPPED') continue;
      if (known.task === undefined || now - known.seenAt >= FRESH_MS) stale.set(known.arn, name);
    }
    const found = new Map((await this.#described([...stale.keys()])).map((task) => [task.taskArn, task]));
    for (const [arn, name] of stale) {
      const known = this.#known.get(name);
      if (known?.arn !== arn) continue;
      const task = found.get(arn);
      if (task !== undefined) this.#known.set(name, { arn, task, seenAt: now });
      else if (known.task !== undefined || now - known.seenAt >= UNSEEN_MS) this.#known.delete(name);
    }
  }

  async #described(arns: readonly string[]): Promise<Task[]> {
    const tasks: Task[] = [];
    for (let at = 0; at < arns.length; at += DESCRIBE_TASKS_MAX) {
      const answer = await this.#calls.call('DescribeTasks', (api) =>
        api.describeTasks({
          cluster: this.#cluster,
          tasks: arns.slice(at, at + DESCRIBE_TASKS_MAX),
          include: ['TAGS'],
        }),
      );
      if (!answer.ok) throw failed('describe the tasks', answer);
      tasks.push(...(answer.output.tasks ?? []));
    }
    return tasks;
  }

  /** Of what `find` and `refresh` know. */
  get(name: string): KnownTask | undefined {
    return this.#known.get(name);
  }
}
