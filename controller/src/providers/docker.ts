/**
 * Tasks as containers of a Docker engine, hardened as design §8 says (docker-container.ts). Changes come from the engine's
 * event stream; nothing is polled. Containers are found again by name and label, so there is no state besides them.
 */
import { chown, mkdir } from 'node:fs/promises';
import { basename } from 'node:path';
import type { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import type Docker from 'dockerode';
import type { EgressConfig } from '@pangolin/contracts/config';
import { PangolinError, messageOf } from '@pangolin/contracts/errors';
import type { Reason } from '@pangolin/contracts/reasons';
import type { Sandbox } from '@pangolin/contracts/task';
import { assertEnforces, assertTaskName, refuseInternal, unsupported } from './checks.ts';
import {
  containerOptions,
  DEFAULT_RUNTIME,
  enforcedSandbox,
  isPullable,
  LABEL,
  MEMORY_BYTES_MIN,
  observationOf,
} from './docker-container.ts';
import { EGRESS_UID, egressDirectory, egressName, egressOptions, stdoutOf } from './docker-egress.ts';
import { followEvents } from './docker-events.ts';
import { createLimiter } from './limiter.ts';
import type { ComputeProvider, SandboxRequest, TaskObservation, TaskStart } from './provider.ts';

export interface DockerProviderOptions {
  readonly deployment: string;
  /** The worker image of items that name none. */
  readonly image: string;
  /** Of the proxies of tasks with an allow-list. */
  readonly egress?: EgressConfig;
  /** What the engine can do; without it, nothing beyond its defaults is asked of it. */
  readonly engine?: DockerEngine;
  /** Default: DOCKER_HOST, else the usual socket. */
  readonly socketPath?: string;
}

/** Per provider. More makes an engine slower, not faster. */
const CALLS_MAX = 8;
/** Each may last as long as its grace, and occupies nothing but a connection. */
const STOPS_MAX = 64;
const CALL_TIMEOUT_MS = 60_000;
const ANSWER_TIMEOUT_MS = 2000;
/** The engine reserves a name before it shows the container, and frees it after that is gone. */
const NAME_TAKEN_MS = 10_000;
const NAME_LOOK_MS = 25;

export interface DockerEngine {
  /** Names of its runtimes: runc, runsc, … */
  readonly runtimes: readonly string[];
  /** Those that filter system calls by the engine's default profile; one with a kernel of its own does not. DEFAULT_RUNTIME may be among them. */
  readonly filtering: readonly string[];
}

/** By the name of their program: the profile is the kernel's to hold, and these hand it over. */
const HANDS_OVER_SECCOMP = /^(?:runc|crun)$/;

/** @throws what the engine says, or that there is none */
export async function dockerEngine(socketPath?: string): Promise<DockerEngine> {
  const docker = await connect(socketPath, ANSWER_TIMEOUT_MS);
  const { Runtimes, DefaultRuntime, SecurityOptions } = (await docker.info()) as {
    Runtimes?: Record<string, { readonly path?: string }>;
    DefaultRuntime?: string;
    SecurityOptions?: string[];
  };
  const runtimes = Object.keys(Runtimes ?? {});
  const seccomp = (SecurityOptions ?? []).some((option) => /^name=seccomp,profile=(default|builtin)/.test(option));
  const filtering = runtimes.filter(
    (name) => seccomp && HANDS_OVER_SECCOMP.test(basename(Runtimes![name]!.path ?? '')),
  );
  return {
    runtimes,
    filtering: filtering.includes(DefaultRuntime ?? '') ? [DEFAULT_RUNTIME, ...filtering] : filtering,
  };
}

/** Whether a Docker engine can be used from here: the default of --compute. */
export async function dockerAnswers(socketPath?: string): Promise<boolean> {
  try {
    const docker = await connect(socketPath, ANSWER_TIMEOUT_MS);
    await docker.ping();
    return true;
  } catch {
    return false;
  }
}

export function createDockerProvider(options: DockerProviderOptions): ComputeProvider {
  return new DockerProvider(options);
}

class DockerProvider implements ComputeProvider {
  readonly name = 'docker';
  readonly #options: DockerProviderOptions;
  readonly #limited = createLimiter(CALLS_MAX);
  readonly #limitedStops = createLimiter(STOPS_MAX);
  #calls: Promise<Docker> | undefined;
  #streams: Promise<Docker> | undefined;

  constructor(options: DockerProviderOptions) {
    this.#options = options;
  }

  enforce(request: SandboxRequest): Sandbox {
    refuseInternal(request.network, this.#options.egress?.internal ?? []);
    if (request.memoryBytes !== undefined && request.memoryBytes < MEMORY_BYTES_MIN) {
      throw unsupported('memoryBytes', 'a Docker engine gives a task no less than 6Mi of memory', 'Ask for more.');
    }
    const { runtime } = request;
    const { runtimes, filtering } = this.#options.engine ?? { runtimes: [], filtering: [DEFAULT_RUNTIME] };
    if (runtime !== undefined && runtime !== DEFAULT_RUNTIME && !runtimes.includes(runtime)) {
      const known = runtimes.length === 0 ? 'none but its default' : runtimes.join(', ');
      throw unsupported('runtime', `the Docker engine has no runtime ${runtime}`, `It has ${known}.`);
    }
    const { seccomp: filter, ...sandbox } = enforcedSandbox(request);
    return { ...sandbox, ...(filter && filtering.includes(sandbox.runtime!) && { seccomp: filter }) };
  }

  async resolveImage(image = this.#options.image): Promise<{ readonly ref: string; readonly id: string }> {
    return { ref: image, id: (await this.#imageId(image)) ?? (await this.#pulled(image)) };
  }

  async start(task: TaskStart): Promise<void> {
    assertTaskName(task.name);
    assertEnforces(this, task);
    await this.#startEgress(task);
    // Crash here: a proxy without its task. The next start finds it, and `list` names the task for the sweep.
    const image = task.image ?? this.#options.image;
    await this.#run(task.name, containerOptions(task, this.#options.deployment, image), image);
  }

  async #startEgress(task: TaskStart): Promise<void> {
    const { network } = task.sandbox;
    if (typeof network === 'string') return;
    const { deployment, image, egress: config = {} } = this.#options;
    const directory = egressDirectory(task.inDir);
    await mkdir(directory, { recursive: true, mode: 0o700 });
    const [uid, gid] = [process.getuid?.() ?? 0, process.getgid?.() ?? 0];
    if (uid === 0) await chown(directory, EGRESS_UID, EGRESS_UID);
    const user = uid === 0 ? `${EGRESS_UID}:${EGRESS_UID}` : `${uid}:${gid}`;
    const settings = egressOptions(task, network.allow, { deployment, image, config, user });
    await this.#run(egressName(task.name), settings, image);
  }

  /** Creates and starts a container, unless one of that name was started before. */
  async #run(name: string, settings: Docker.ContainerCreateOptions, image: string): Promise<void> {
    if (!(await this.#created(name, settings, image))) return;
    const run = (docker: Docker): Promise<unknown> => docker.getContainer(name).start();
    try {
      await this.#call(run, [304]);
    } catch {
      // Under load the runtime sometimes loses a container at its birth, and a second try works.
      await this.#call(run, [304], (error) => startFailed(name, error));
    }
  }

  /** False when a container of that name has been started before. */
  async #created(name: string, settings: Docker.ContainerCreateOptions, image: string): Promise<boolean> {
    let pulled = false;
    for (const giveUpAt = performance.now() + NAME_TAKEN_MS; ;) {
      try {
        await this.#limited(async () => await (await this.#api()).createContainer(settings));
        return true;
      } catch (error) {
        const status = statusOf(error);
        if (status === 409 && performance.now() < giveUpAt) {
          const existing = await this.#inspect(name);
          if (existing) return this.#adopted(name, existing);
          await sleep(NAME_LOOK_MS);
        } else if (status === 404 && !pulled) {
          await this.#pulled(image);
          pulled = true;
        } else throw startFailed(name, error);
      }
    }
  }

  #adopted(name: string, existing: Docker.ContainerInspectInfo): boolean {
    if (existing.Config.Labels[LABEL.deployment] !== this.#options.deployment) {
      throw unavailable(`the container ${name} exists and belongs to somebody else`, 'StartFailed', undefined);
    }
    // Crash after create and before start: it is started now.
    return existing.State.Status === 'created';
  }

  async observe(names: readonly string[]): Promise<readonly TaskObservation[]> {
    return await Promise.all(
      names.map(async (name): Promise<TaskObservation> => {
        assertTaskName(name);
        const found = await this.#inspect(name);
        return found ? observationOf(name, found.State) : { name, state: 'gone' };
      }),
    );
  }

  async list(): Promise<readonly string[]> {
    const filters = { label: [`${LABEL.deployment}=${this.#options.deployment}`] };
    const found = await this.#call((docker) => docker.listContainers({ all: true, filters }));
    const names = (found ?? []).flatMap(({ Labels }) => Labels[LABEL.task] ?? Labels[LABEL.egress] ?? []);
    return [...new Set(names)];
  }

  async stop(name: string, graceMs: number): Promise<void> {
    assertTaskName(name);
    const found = await this.#inspect(name);
    if (!found || observationOf(name, found.State).state === 'ended') return;
    // One that was created and never started has nobody to ask: it is taken away.
    if (found.State.Status === 'created') return await this.remove(name);
    // The engine answers when the container is dead, and escalates by itself even if we die before that. An error
    // here means that the engine went away; whoever still waits for the end then asks again.
    const request = this.#limitedStops(async () => {
      await (await this.#stream()).getContainer(name).stop({ t: Math.ceil(graceMs / 1000) });
    });
    request.catch(() => undefined);
  }

  async remove(name: string): Promise<void> {
    assertTaskName(name);
    await this.#remove(name);
    // Last, so that a crash before this leaves a proxy by which `list` still names the task.
    await this.#remove(egressName(name));
  }

  async #remove(container: string): Promise<void> {
    // 409: its removal is already in progress.
    await this.#call((docker) => docker.getContainer(container).remove({ force: true, v: true }), [404, 409]);
  }

  async egressLog(name: string): Promise<Buffer | undefined> {
    assertTaskName(name);
    const proxy = egressName(name);
    await this.#call((docker) => docker.getContainer(proxy).stop(), [304, 404]);
    const stream = await this.#call((docker) => docker.getContainer(proxy).logs({ stdout: true }), [404]);
    return stream && stdoutOf(stream);
  }

  async watch(onChange: (name: string) => void): Promise<() => Promise<void>> {
    const filters = JSON.stringify({
      type: ['container'],
      event: ['start', 'die', 'destroy'],
      label: [`${LABEL.deployment}=${this.#options.deployment}`],
    });
    const connectEvents = async (signal: AbortSignal): Promise<AsyncIterable<Uint8Array | string>> => {
      const stream = (await (await this.#stream()).getEvents({ filters })) as Readable;
      signal.addEventListener('abort', () => stream.destroy(), { once: true });
      return stream;
    };
    try {
      return await followEvents({ connect: connectEvents, names: () => this.list() }, onChange);
    } catch (error) {
      throw unavailable('the Docker engine gives no events', undefined, error);
    }
  }

  async #inspect(name: string): Promise<Docker.ContainerInspectInfo | undefined> {
    return await this.#call((docker) => docker.getContainer(name).inspect(), [404]);
  }

  async #imageId(image: string): Promise<string | undefined> {
    return (await this.#call((docker) => docker.getImage(image).inspect(), [404]))?.Id;
  }

  /** Pulls once; the id of what came. */
  async #pulled(image: string): Promise<string> {
    let cause: unknown;
    if (isPullable(image)) {
      try {
        const docker = await this.#stream();
        const progress = await docker.pull(image);
        await new Promise<void>((resolve, reject) =>
          docker.modem.followProgress(progress, (error) => (error ? reject(error) : resolve())),
        );
      } catch (error) {
        cause = error;
      }
    }
    const id = await this.#imageId(image);
    if (id !== undefined) return id;
    throw new PangolinError(
      'UNAVAILABLE',
      `the image ${image} is not here${cause ? ` and cannot be pulled: ${words(cause)}` : ''}`,
      {
        cause,
        hint: 'Build it with scripts/images.sh, or name one with its registry.',
        details: { reason: 'ImageUnavailable' satisfies Reason },
      },
    );
  }

  /** The answer, or undefined for a status among `expected`. */
  async #call<T>(
    call: (docker: Docker) => Promise<T>,
    expected: readonly number[] = [],
    failure = (error: unknown) => unavailable('the Docker engine did not do what it was asked', undefined, error),
  ): Promise<T | undefined> {
    return await this.#limited(async () => {
      try {
        return await call(await this.#api());
      } catch (error) {
        if (expected.includes(statusOf(error) ?? 0)) return undefined;
        throw failure(error);
      }
    });
  }

  async #api(): Promise<Docker> {
    return await (this.#calls ??= connect(this.#options.socketPath, CALL_TIMEOUT_MS));
  }

  /** For answers that take as long as they take. */
  async #stream(): Promise<Docker> {
    return await (this.#streams ??= connect(this.#options.socketPath));
  }
}

/** Loaded here only: it brings gRPC and SSH along. */
async function connect(socketPath: string | undefined, timeout?: number): Promise<Docker> {
  const { default: Client } = await import('dockerode');
  return new Client({ ...(socketPath ? { socketPath } : {}), ...(timeout ? { timeout } : {}) });
}

function statusOf(error: unknown): number | undefined {
  return (error as { statusCode?: number }).statusCode;
}

/** The engine's own words, bounded. */
function words(error: unknown): string {
  const message = (error as { json?: { message?: unknown } }).json?.message;
  return (typeof message === 'string' ? message : messageOf(error)).slice(0, 500);
}

const noRoom = /no space left|cannot allocate memory|resource temporarily unavailable|too many open files/i;

function startFailed(name: string, error: unknown): PangolinError {
  const reason = noRoom.test(words(error)) ? 'CapacityUnavailable' : 'StartFailed';
  return unavailable(`the Docker engine did not start ${name}`, reason, error);
}

function unavailable(sentence: string, reason: Reason | undefined, cause: unknown): PangolinError {
  return new PangolinError('UNAVAILABLE', cause === undefined ? sentence : `${sentence}: ${words(cause)}`, {
    cause,
    hint: 'See `docker info` and the log of the engine.',
    ...(reason === undefined ? {} : { details: { reason } }),
  });
}
