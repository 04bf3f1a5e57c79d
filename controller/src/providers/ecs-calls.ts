/** Calls of the ECS API: paced by its documented limits, repeated where a repetition is safe and may help. */
import type {
  DescribeTaskDefinitionCommandInput,
  DescribeTaskDefinitionCommandOutput,
  DescribeTasksCommandInput,
  DescribeTasksCommandOutput,
  ListTasksCommandInput,
  ListTasksCommandOutput,
  RegisterTaskDefinitionCommandInput,
  RegisterTaskDefinitionCommandOutput,
  RunTaskCommandInput,
  RunTaskCommandOutput,
  StopTaskCommandInput,
  StopTaskCommandOutput,
} from '@aws-sdk/client-ecs';
import { messageOf } from '@pangolin/contracts/errors';
import { ecsLimits, limitsOfAction, type EcsAction, type EcsLimit } from './ecs-limits.ts';
import { refusalOf, type EcsError, type Refusal } from './ecs-refusals.ts';
import { TokenBucket } from './token-bucket.ts';

/** What is used of the SDK's `ECS`. */
export interface EcsApi {
  runTask(input: RunTaskCommandInput): Promise<RunTaskCommandOutput>;
  stopTask(input: StopTaskCommandInput): Promise<StopTaskCommandOutput>;
  describeTasks(input: DescribeTasksCommandInput): Promise<DescribeTasksCommandOutput>;
  listTasks(input: ListTasksCommandInput): Promise<ListTasksCommandOutput>;
  registerTaskDefinition(input: RegisterTaskDefinitionCommandInput): Promise<RegisterTaskDefinitionCommandOutput>;
  describeTaskDefinition(input: DescribeTaskDefinitionCommandInput): Promise<DescribeTaskDefinitionCommandOutput>;
}

/** Milliseconds since the epoch, and waiting: injected, so that hours can be simulated. */
export interface Clock {
  now(): number;
  /** Ends early, and well, when `signal` says so. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

export type Answer<T> =
  | { readonly ok: true; readonly output: T }
  | {
      readonly ok: false;
      readonly refusal: Refusal;
      readonly error: EcsError;
      readonly resourceIds: readonly string[];
    };

/** Tries of one call, the first included. Throttles pass; a service that is down is left to the caller sooner. */
const TRIES_MAX = { throttled: 8, transient: 4 } as const;
const BACKOFF_MS = 500;
const BACKOFF_MAX_MS = 20_000;

export class EcsCalls {
  readonly #api: EcsApi;
  readonly #clock: Clock;
  readonly #buckets = new Map<EcsLimit, TokenBucket>();

  constructor(api: EcsApi, clock: Clock) {
    this.#api = api;
    this.#clock = clock;
    for (const [name, limit] of Object.entries(ecsLimits)) {
      this.#buckets.set(name as EcsLimit, new TokenBucket(limit));
    }
  }

  /**
   * Never throws. `besides`: limits that this call draws on beside those of its action. `refusedBy`: what refuses it
   * inside an answer that is a success to HTTP.
   */
  async call<T>(
    action: EcsAction,
    send: (api: EcsApi) => Promise<T>,
    besides: readonly EcsLimit[] = [],
    refusedBy: (output: T) => { readonly refusal: Refusal; readonly error: EcsError } | undefined = () => undefined,
  ): Promise<Answer<T>> {
    const buckets = [...limitsOfAction[action], ...besides].map((limit) => this.#buckets.get(limit)!);
    for (let tries = 1; ; tries++) {
      const now = this.#clock.now();
      const waitMs = Math.max(...buckets.map((bucket) => bucket.take(now)));
      if (waitMs > 0) await this.#clock.sleep(waitMs);
      const answer = await attempt(send, this.#api, refusedBy);
      if (answer.ok) return answer;
      const { refusal } = answer;
      if (!(refusal === 'throttled' || refusal === 'transient') || tries >= TRIES_MAX[refusal]) return answer;
      const backoffMs = Math.min(BACKOFF_MAX_MS, BACKOFF_MS * 2 ** (tries - 1)) * (0.5 + Math.random() / 2);
      // Others in this account use the same buckets: whoever comes next waits as long.
      if (refusal === 'throttled') buckets.forEach((bucket) => bucket.drain(this.#clock.now(), backoffMs));
      else await this.#clock.sleep(backoffMs);
    }
  }
}

async function attempt<T>(
  send: (api: EcsApi) => Promise<T>,
  api: EcsApi,
  refusedBy: (output: T) => { readonly refusal: Refusal; readonly error: EcsError } | undefined,
): Promise<Answer<T>> {
  try {
    const output = await send(api);
    const refused = refusedBy(output);
    return refused ? { ok: false, resourceIds: [], ...refused } : { ok: true, output };
  } catch (thrown) {
    const { name, $metadata, resourceIds } = thrown as {
      name?: string;
      $metadata?: { httpStatusCode?: number };
      resourceIds?: readonly string[];
    };
    const error = { name: name ?? 'Error', message: messageOf(thrown), status: $metadata?.httpStatusCode };
    return { ok: false, refusal: refusalOf(error), error, resourceIds: resourceIds ?? [] };
  }
}
