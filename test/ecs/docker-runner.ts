/** Runs the tasks of a cluster as containers of the local Docker engine, with what Fargate gives a container. */
import Docker from 'dockerode';
import { REGION } from './definitions.ts';
import type { Container, Ran, Runnable, TaskRunner } from './task.ts';

/** Every container of a test cluster has it. */
export const LABEL = 'dev.pangolin.test-ecs';

export interface DockerRunnerOptions {
  /** Marks its containers. */
  readonly id: string;
  /** A network that the test has made. */
  readonly network: string;
  /** What a test puts into a task's container, as `source:target[:ro]`. */
  readonly binds?: (taskName: string | undefined) => readonly string[];
}

export class DockerRunner implements TaskRunner {
  readonly #docker = new Docker();
  readonly #options: DockerRunnerOptions;

  constructor(options: DockerRunnerOptions) {
    this.#options = options;
  }

  async start(task: Runnable): Promise<Container> {
    const image = await this.#pulled(task.definition.containerDefinitions![0]!.image!);
    const container = await this.#docker.createContainer(this.#settings(task, image)).catch((error: unknown) => {
      throw new Error(`CannotCreateContainerError: ${String(error)}`);
    });
    try {
      await container.start();
    } catch (error) {
      await container.remove({ force: true, v: true }).catch(() => undefined);
      throw new Error(`CannotStartContainerError: ${String(error)}`, { cause: error });
    }
    return {
      ended: this.#ended(container),
      stop: async (graceSeconds) => void (await container.stop({ t: graceSeconds }).catch(() => undefined)),
    };
  }

  /** The engine cannot reach a registry; what it holds under the digest is taken as the repository's image. */
  async #pulled(image: string): Promise<string> {
    const id = image.slice(image.indexOf('@') + 1);
    try {
      await this.#docker.getImage(id).inspect();
      return id;
    } catch {
      throw new Error(
        `CannotPullContainerError: pull image manifest has been retried 1 time(s): failed to resolve ref ${image}: not found`,
      );
    }
  }

  #settings(task: Runnable, image: string): Docker.ContainerCreateOptions {
    const { id, network, binds } = this.#options;
    const { definition, environment } = task;
    const container = definition.containerDefinitions![0]!;
    const memory = Number(definition.memory) * 2 ** 20;
    const provided = [
      `AWS_EXECUTION_ENV=AWS_ECS_FARGATE`,
      `AWS_REGION=${REGION}`,
      'ECS_CONTAINER_METADATA_URI_V4=http://169.254.170.2/v4/test',
    ];
    return {
      Image: image,
      ...(container.user === undefined ? {} : { User: container.user }),
      Env: [...provided, ...[...environment].map(([name, value]) => `${name}=${value}`)],
      Labels: { [LABEL]: id, 'dev.pangolin.test-ecs.task': task.name ?? '' },
      HostConfig: {
        ReadonlyRootfs: container.readonlyRootFilesystem === true,
        CapDrop: container.linuxParameters?.capabilities?.drop ?? [],
        // Volumes of a Fargate task are empty, belong to root and have the mode 0755.
        Mounts: container.mountPoints!.map(({ containerPath, readOnly }) => ({
          Type: 'volume' as const,
          Source: '',
          Target: containerPath!,
          ReadOnly: readOnly === true,
          VolumeOptions: { NoCopy: true, Labels: {}, DriverConfig: { Name: 'local', Options: {} } },
        })),
        Binds: [...(binds?.(task.name) ?? [])],
        Memory: memory,
        MemorySwap: memory,
        NanoCpus: Math.min(Number(definition.cpu) / 1024, 2) * 1e9,
        NetworkMode: network,
      },
    };
  }

  /** Fargate takes the machine away with its task, so nothing of it stays. */
  async #ended(container: Docker.Container): Promise<Ran> {
    try {
      const { StatusCode } = (await container.wait()) as { StatusCode: number };
      const { State } = await container.inspect();
      return {
        exitCode: StatusCode,
        ...(State.OOMKilled && StatusCode !== 0
          ? { reason: 'OutOfMemoryError: Container killed due to memory usage' }
          : {}),
      };
    } catch {
      return {};
    } finally {
      await container.remove({ force: true, v: true }).catch(() => undefined);
    }
  }
}
