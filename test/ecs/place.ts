/** A test ECS server with a cluster whose tasks are containers on a Docker network of its own. */
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { promisify } from 'node:util';
import type { FargateConfig } from '@pangolin/contracts/config';
import { serveJson, type JsonServer } from '../aws/json-server.ts';
import { ServiceModel } from '../aws/service-model.ts';
import { EcsCluster } from './cluster.ts';
import { ACCOUNT, REGION } from './definitions.ts';
import { DockerRunner, LABEL } from './docker-runner.ts';
import type { TaskRunner } from './task.ts';

/** What the SDK's default chain finds; the server checks that requests are signed, not by whom. */
export const credentials = { AWS_ACCESS_KEY_ID: 'testaccess', AWS_SECRET_ACCESS_KEY: 'testsecret' };

const docker = async (...args: readonly string[]): Promise<string> =>
  (await promisify(execFile)('docker', args)).stdout.trim();

export interface EcsPlace {
  readonly cluster: EcsCluster;
  readonly server: JsonServer;
  /** Address of this machine on the network of the tasks. */
  readonly gateway: string;
  readonly config: FargateConfig;
  /** Names of the containers that are there. */
  containers(taskName?: string): Promise<string[]>;
  close(): Promise<void>;
}

export const ecsModel = (): ServiceModel => new ServiceModel('ecs', '2014-11-13');

/** `registry/name@sha256:…` of an image that the engine holds. */
async function byDigest(image: string): Promise<string> {
  const id = await docker('image', 'inspect', '-f', '{{.Id}}', image);
  return `${ACCOUNT}.dkr.ecr.${REGION}.amazonaws.com/pangolin-worker@${id}`;
}

export function configFor(endpoint: string, image: string): FargateConfig {
  return {
    region: REGION,
    endpoint,
    cluster: EcsCluster.cluster,
    subnets: [EcsCluster.subnet],
    securityGroups: [EcsCluster.securityGroup],
    executionRoleArn: `arn:aws:iam::${ACCOUNT}:role/pangolin-execution`,
    image,
  };
}

export interface EcsPlaceOptions {
  /** The image of tasks, as the engine knows it. */
  readonly image: string;
  readonly binds?: (taskName: string | undefined) => readonly string[];
  readonly limited?: boolean;
  /** In front of the runner that starts containers. */
  readonly wrap?: (runner: TaskRunner) => TaskRunner;
}

export async function openEcsPlace({
  image,
  binds,
  limited = true,
  wrap = (runner) => runner,
}: EcsPlaceOptions): Promise<EcsPlace> {
  const id = randomBytes(6).toString('hex');
  const network = `pangolin-test-ecs-${id}`;
  await docker('network', 'create', '--label', `${LABEL}=${id}`, network);
  const gateway = await docker('network', 'inspect', '-f', '{{(index .IPAM.Config 0).Gateway}}', network);
  const runner = wrap(new DockerRunner({ id, network, ...(binds && { binds }) }));
  const cluster = new EcsCluster({ runner, ...(limited && { limitedBy: Date.now }) });
  const server = await serveJson(ecsModel(), cluster.actions);
  const containers = async (taskName?: string): Promise<string[]> => {
    const filters = [`label=${LABEL}=${id}`, ...(taskName === undefined ? [] : [`label=${LABEL}.task=${taskName}`])];
    return (await docker('ps', '-aq', ...filters.flatMap((filter) => ['--filter', filter])))
      .split('\n')
      .filter(Boolean);
  };
  return {
    cluster,
    server,
    gateway,
    config: configFor(server.endpoint, await byDigest(image)),
    containers,
    close: async () => {
      await cluster.close();
      await server.close();
      const left = await containers();
      if (left.length > 0) await docker('rm', '-fv', ...left).catch(() => undefined);
      await docker('network', 'rm', network);
    },
  };
}
