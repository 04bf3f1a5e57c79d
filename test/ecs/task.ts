/** One task on its way from PROVISIONING to STOPPED. */
import type { RunTaskCommandInput, TaskDefinition, TaskStopCode } from '@aws-sdk/client-ecs';

/** A task as its container engine gets it. */
export interface Runnable {
  readonly arn: string;
  readonly name: string | undefined;
  readonly definition: TaskDefinition;
  /** Of the definition, then of the request. */
  readonly environment: ReadonlyMap<string, string>;
}

export interface Ran {
  readonly exitCode?: number;
  /** Of the container. */
  readonly reason?: string;
}

export interface Container {
  readonly ended: Promise<Ran>;
  /** SIGTERM, then SIGKILL. */
  stop(graceSeconds: number): Promise<void>;
}

export interface TaskRunner {
  /** Resolves when the container runs. @throws Error whose message is the stop reason that ECS gives */
  start(task: Runnable): Promise<Container>;
}

export interface EcsTaskOptions {
  readonly arn: string;
  readonly input: RunTaskCommandInput;
  readonly definition: TaskDefinition;
  readonly capacity: string;
  readonly cluster: string;
  readonly now: () => number;
  /** Its age when it is made. */
  readonly ageMs?: number;
}

const DEFAULT_STOP_S = 30;

export class EcsTask {
  readonly arn: string;
  readonly input: RunTaskCommandInput;
  desiredStatus: 'RUNNING' | 'STOPPED' = 'RUNNING';
  lastStatus = 'PROVISIONING';
  readonly #options: EcsTaskOptions;
  readonly #createdAt: number;
  #startedAt: number | undefined;
  #stoppedAt: number | undefined;
  #stopCode: TaskStopCode | undefined;
  #stoppedReason: string | undefined;
  #ran: Ran | undefined;
  #container: Container | undefined;
  #running: Promise<void> | undefined;
  #killed = false;
  /** A task that failed before it had any. */
  #containers = true;

  constructor(options: EcsTaskOptions) {
    this.#options = options;
    this.arn = options.arn;
    this.input = options.input;
    this.#createdAt = options.now() - (options.ageMs ?? 0);
  }

  get name(): string | undefined {
    return this.input.tags?.find(({ key }) => key === 'pangolin:task')?.value;
  }
  get definition(): TaskDefinition {
    return this.#options.definition;
  }
  get family(): string {
    return this.definition.family!;
  }
  get capacity(): string {
    return this.#options.capacity;
  }

  async run(runner: TaskRunner): Promise<void> {
    this.#running = this.#run(runner);
    await this.#running;
  }

  async #run(runner: TaskRunner): Promise<void> {
    const { definition } = this.#options;
    const overrides = this.input.overrides?.containerOverrides?.[0]?.environment ?? [];
    const environment = new Map(
      [...(definition.containerDefinitions![0]!.environment ?? []), ...overrides].map(({ name, value }) => [
        name!,
        value ?? '',
      ]),
    );
    this.lastStatus = 'PENDING';
    try {
      this.#container = await runner.start({ arn: this.arn, name: this.name, definition, environment });
    } catch (error) {
      return this.failToStart((error as Error).message);
    }
    this.#startedAt = this.#options.now();
    this.lastStatus = 'RUNNING';
    if (this.#killed) void this.#container.stop(0);
    // Stopped before it came up.
    if (this.desiredStatus === 'STOPPED') void this.#container.stop(this.#stopTimeout);
    this.#ran = await this.#container.ended;
    this.desiredStatus = 'STOPPED';
    this.#stopCode ??= 'EssentialContainerExited';
    this.#stoppedReason ??= 'Essential container in task exited';
    this.#settle();
  }

  failToStart(reason: string): void {
    this.#containers = !/address|capacity/i.test(reason);
    this.#stopCode = 'TaskFailedToStart';
    this.#stoppedReason = reason;
    this.#settle();
  }

  #settle(): void {
    this.desiredStatus = 'STOPPED';
    this.lastStatus = 'STOPPED';
    this.#stoppedAt = this.#options.now();
  }

  get #stopTimeout(): number {
    return this.#options.definition.containerDefinitions![0]!.stopTimeout ?? DEFAULT_STOP_S;
  }

  async stop(code: TaskStopCode, reason: string): Promise<void> {
    if (this.desiredStatus === 'STOPPED') return;
    this.desiredStatus = 'STOPPED';
    this.#stopCode = code;
    this.#stoppedReason = reason;
    if (this.#container) await this.#container.stop(this.#stopTimeout);
    else if (this.lastStatus === 'PROVISIONING') this.#settle();
  }

  /** Fargate wants its spare capacity back. */
  async interruptSpot(): Promise<void> {
    await this.stop('SpotInterruption', 'Your Spot Task was interrupted.');
  }

  /** The container is killed by nobody we know. */
  async kill(): Promise<void> {
    this.#killed = true;
    await this.#container?.stop(0);
    await this.#running;
  }

  /** As DescribeTasks shows it. Times are in seconds. */
  seen(tags = false): object {
    const { definition, cluster, capacity } = this.#options;
    const exitCode = this.#ran?.exitCode;
    const at = (name: string, ms: number | undefined): object => (ms === undefined ? {} : { [name]: ms / 1000 });
    return {
      taskArn: this.arn,
      taskDefinitionArn: definition.taskDefinitionArn,
      clusterArn: cluster,
      launchType: 'FARGATE',
      capacityProviderName: capacity,
      cpu: definition.cpu,
      memory: definition.memory,
      startedBy: this.input.startedBy ?? '',
      group: `family:${definition.family}`,
      desiredStatus: this.desiredStatus,
      lastStatus: this.lastStatus,
      version: 1,
      overrides: this.input.overrides ?? { containerOverrides: [] },
      ...at('createdAt', this.#createdAt),
      ...at('startedAt', this.#startedAt),
      ...at('stoppedAt', this.#stoppedAt),
      ...(this.#stopCode === undefined ? {} : { stopCode: this.#stopCode, stoppedReason: this.#stoppedReason }),
      containers: this.#containers
        ? definition.containerDefinitions!.map(({ name, image }) => ({
            name,
            image,
            taskArn: this.arn,
            lastStatus: this.lastStatus === 'PROVISIONING' ? 'PENDING' : this.lastStatus,
            ...(exitCode === undefined ? {} : { exitCode }),
            ...(this.#ran?.reason === undefined ? {} : { reason: this.#ran.reason }),
          }))
        : [],
      attachments: [],
      tags: tags ? (this.input.tags ?? []) : [],
    };
  }
}
