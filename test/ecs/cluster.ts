/** An ECS cluster with Fargate capacity: what the API promises, documented limits and failures included. Tasks are run by a `TaskRunner`. */
import { isDeepStrictEqual } from 'node:util';
import { randomBytes } from 'node:crypto';
import type {
  DescribeTasksCommandInput,
  Failure,
  ListTasksCommandInput,
  RegisterTaskDefinitionCommandInput,
  RunTaskCommandInput,
  StopTaskCommandInput,
} from '@aws-sdk/client-ecs';
import { AwsError } from '../aws/json-server.ts';
import { arnOf, Definitions } from './definitions.ts';
import { ServiceLimits } from './limits.ts';
import { checkRun } from './run-rules.ts';
import { EcsTask, type TaskRunner } from './task.ts';

/** What the next RunTask meets instead of success. `stops`: it succeeds, and its task fails to start for this reason. */
export type RunFault =
  | { readonly failure: Failure }
  | { readonly error: AwsError }
  | { readonly stops: string }
  /** It stays in PROVISIONING, and has for so long by its own word. */
  | { readonly provisioningSinceMs: number };

export interface ClusterOptions {
  readonly runner: TaskRunner;
  /** Counts calls against the documented limits of this clock; no limits without it. */
  readonly limitedBy?: () => number;
  readonly now?: () => number;
}

const PAGE = 100;
const CLUSTER = 'pangolin-test';

export class EcsCluster {
  static readonly cluster = CLUSTER;
  static readonly subnet = 'subnet-0123456789abcdef0';
  static readonly securityGroup = 'sg-0123456789abcdef0';
  readonly definitions = new Definitions();
  readonly limits: ServiceLimits | undefined;
  readonly tasks = new Map<string, EcsTask>();
  /** Asked at each RunTask. */
  runFault: ((input: RunTaskCommandInput) => RunFault | undefined) | undefined;
  /** Looks at a task that come too early to see it. */
  hiddenLooks = 0;
  readonly #looks = new Map<string, number>();
  readonly #tokens = new Map<string, { readonly request: unknown; readonly arns: readonly string[] }>();
  readonly #runner: TaskRunner;
  readonly #now: () => number;

  constructor({ runner, limitedBy, now = Date.now }: ClusterOptions) {
    this.#runner = runner;
    this.#now = now;
    this.limits = limitedBy && new ServiceLimits(limitedBy);
  }

  readonly actions = {
    RunTask: (input: RunTaskCommandInput): object => this.#runTask(input),
    StopTask: (input: StopTaskCommandInput): object => this.#stopTask(input),
    DescribeTasks: (input: DescribeTasksCommandInput): object => this.#describeTasks(input),
    ListTasks: (input: ListTasksCommandInput): object => this.#listTasks(input),
    RegisterTaskDefinition: (input: RegisterTaskDefinitionCommandInput): object => {
      this.limits?.take('definition-modify');
      return { taskDefinition: this.definitions.register(input), tags: input.tags ?? [] };
    },
    DescribeTaskDefinition: ({ taskDefinition }: { taskDefinition: string }): object => {
      this.limits?.take('definition-read');
      return { taskDefinition: this.definitions.find(taskDefinition) };
    },
  };

  #runTask(input: RunTaskCommandInput): object {
    this.limits?.take('modify', 'run');
    this.#mine(input.cluster);
    const definition = this.definitions.find(input.taskDefinition!);
    if (definition.status !== 'ACTIVE') throw new AwsError('ClientException', 'TaskDefinition is inactive');
    checkRun(input, definition);
    const { clientToken, ...request } = input;
    const earlier = clientToken === undefined ? undefined : this.#tokens.get(clientToken);
    if (earlier !== undefined) {
      if (isDeepStrictEqual(earlier.request, request)) return { tasks: this.#seen(earlier.arns), failures: [] };
      throw new AwsError(
        'ConflictException',
        'The provided clientToken is already in use with a different RunTask request.',
        { resourceIds: earlier.arns },
      );
    }
    const fault = this.runFault?.(input);
    if (fault !== undefined) {
      if ('error' in fault) throw fault.error;
      if ('failure' in fault) return { tasks: [], failures: [fault.failure] };
    }
    const capacity = input.capacityProviderStrategy?.[0]?.capacityProvider ?? 'FARGATE';
    const hung = fault !== undefined && 'provisioningSinceMs' in fault;
    const arns: string[] = [];
    for (let n = 0; n < (input.count ?? 1); n++) {
      this.limits?.take(capacity);
      const arn = arnOf(`task/${CLUSTER}/${randomBytes(16).toString('hex')}`);
      const task = new EcsTask({
        arn,
        input,
        definition,
        capacity,
        cluster: arnOf(`cluster/${CLUSTER}`),
        now: this.#now,
        ageMs: hung ? fault.provisioningSinceMs : 0,
      });
      this.tasks.set(arn, task);
      arns.push(arn);
      if (fault === undefined) void task.run(this.#runner);
      else if ('stops' in fault) task.failToStart(fault.stops);
    }
    if (clientToken !== undefined) this.#tokens.set(clientToken, { request, arns });
    return { tasks: this.#seen(arns), failures: [] };
  }

  #stopTask({ cluster, task: arn, reason }: StopTaskCommandInput): object {
    this.limits?.take('modify');
    this.#mine(cluster);
    const task = this.#find(arn!);
    if (task === undefined) throw new AwsError('InvalidParameterException', 'The referenced task was not found.');
    void task.stop('UserInitiated', reason ?? 'Task stopped by user');
    return { task: task.seen() };
  }

  #describeTasks({ cluster, tasks = [], include = [] }: DescribeTasksCommandInput): object {
    this.limits?.take('read');
    this.#mine(cluster);
    if (tasks.length === 0 || tasks.length > PAGE)
      throw new AwsError('InvalidParameterException', `Tasks must have 1 to ${PAGE} elements.`);
    const found: object[] = [];
    const failures: Failure[] = [];
    for (const arn of tasks) {
      const task = this.#find(arn);
      const looks = (this.#looks.get(arn) ?? 0) + 1;
      this.#looks.set(arn, looks);
      if (task === undefined || looks <= this.hiddenLooks) failures.push({ arn, reason: 'MISSING' });
      else found.push(task.seen(include.includes('TAGS')));
    }
    return { tasks: found, failures };
  }

  #listTasks(input: ListTasksCommandInput): object {
    this.limits?.take('read');
    this.#mine(input.cluster);
    const { startedBy, desiredStatus, family, maxResults = PAGE, nextToken } = input;
    if (startedBy !== undefined && (desiredStatus ?? family) !== undefined)
      throw new AwsError('InvalidParameterException', 'startedBy must be the only filter.');
    if (maxResults < 1 || maxResults > PAGE)
      throw new AwsError('InvalidParameterException', 'maxResults must be between 1 and 100.');
    const arns = [...this.tasks.values()]
      .filter(
        (task) =>
          (startedBy === undefined || task.input.startedBy === startedBy) &&
          (family === undefined || task.family === family),
      )
      .filter((task) => task.desiredStatus === (desiredStatus ?? 'RUNNING'))
      .map(({ arn }) => arn)
      .sort();
    const from = nextToken === undefined ? 0 : Number(nextToken);
    const page = arns.slice(from, from + maxResults);
    return { taskArns: page, ...(from + maxResults < arns.length ? { nextToken: String(from + maxResults) } : {}) };
  }

  /** The one task of a name that was put into its tags. */
  named(name: string): EcsTask | undefined {
    return [...this.tasks.values()].filter((task) => task.name === name).at(-1);
  }

  #seen(arns: readonly string[]): object[] {
    return arns.map((arn) => this.tasks.get(arn)!.seen());
  }

  #find(arn: string): EcsTask | undefined {
    return this.tasks.get(arn) ?? this.tasks.get(arnOf(`task/${CLUSTER}/${arn}`));
  }

  #mine(cluster: string | undefined): void {
    if (cluster !== CLUSTER && cluster !== arnOf(`cluster/${CLUSTER}`))
      throw new AwsError('ClusterNotFoundException', 'Cluster not found.');
  }

  /** Ends what still runs. */
  async close(): Promise<void> {
    await Promise.all([...this.tasks.values()].map((task) => task.kill()));
  }
}
