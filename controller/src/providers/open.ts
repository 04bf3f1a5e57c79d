/** The provider that `--compute` names, or the best that is there. */
import type { Logger } from 'pino';
import type { EgressConfig, FargateConfig } from '@pangolin/contracts/config';
import { PangolinError, isPangolinError } from '@pangolin/contracts/errors';
import type { ComputeProvider } from './provider.ts';

export type Compute = 'process' | 'docker' | 'fargate' | 'kubernetes';

/** What scripts/images.sh builds. */
export const WORKER_IMAGE = `pangolin-worker:${process.env.PANGOLIN_IMAGE_TAG || 'dev'}`;

export interface OpenProviderOptions {
  /** Default: docker when an engine answers that has the worker image, else process with one line of warning. */
  readonly compute?: Compute | undefined;
  readonly stateDir: string;
  readonly unsandboxed?: boolean | undefined;
  readonly deployment: string;
  /** Worker image of items that name none; WORKER_IMAGE by default, for fargate the one of its configuration. */
  readonly image?: string | undefined;
  readonly egress?: EgressConfig | undefined;
  /** `compute.fargate` of pangolin.yaml. */
  readonly fargate?: FargateConfig | undefined;
  readonly log: Pick<Logger, 'warn'>;
}

/**
 * @throws PangolinError UNAVAILABLE when docker is asked for and no engine answers or the image is not there; INVALID or
 * UNSUPPORTED when fargate is asked for and not configured.
 */
export async function openProvider(options: OpenProviderOptions): Promise<ComputeProvider> {
  switch (options.compute) {
    case 'process':
      return await openProcess(options);
    case 'docker':
      return await openDocker(options);
    case 'fargate':
      return await openFargate(options);
    case undefined:
      return await openBest(options);
    default:
      throw new PangolinError('UNSUPPORTED', `this build has no ${options.compute} provider`, {
        hint: 'Use --compute docker, fargate or process.',
      });
  }
}

async function openBest(options: OpenProviderOptions): Promise<ComputeProvider> {
  try {
    return await openDocker(options);
  } catch (error) {
    if (!isPangolinError(error, 'UNAVAILABLE')) throw error;
    options.log.warn(`tasks run as plain processes of this machine, hardly isolated: ${error.message}`);
    return await openProcess(options);
  }
}

async function openProcess(options: OpenProviderOptions): Promise<ComputeProvider> {
  const { stateDir, deployment, unsandboxed } = options;
  const { createProcessProvider } = await import('./process.ts');
  return createProcessProvider({ stateDir, deployment, ...(unsandboxed === true && { unsandboxed }) });
}

async function openFargate({ deployment, fargate, image, log }: OpenProviderOptions): Promise<ComputeProvider> {
  if (fargate === undefined) {
    throw new PangolinError('INVALID', 'nothing says where on AWS tasks run', {
      hint: 'Set compute.fargate in pangolin.yaml: region, cluster, subnets and securityGroups (docs/fargate.md).',
    });
  }
  const { createFargateProvider } = await import('./fargate.ts');
  const config = image === undefined ? fargate : { ...fargate, image };
  const provider = await createFargateProvider({ deployment, config, warn: (message) => log.warn(message) });
  await provider.resolveImage(undefined);
  return provider;
}

async function openDocker({
  deployment,
  image = WORKER_IMAGE,
  egress = {},
}: OpenProviderOptions): Promise<ComputeProvider> {
  const { createDockerProvider, dockerEngine } = await import('./docker.ts');
  const engine = await dockerEngine().catch(() => undefined);
  if (engine === undefined) {
    throw new PangolinError('UNAVAILABLE', 'no Docker engine answers', {
      hint: 'Start one, or use --compute process.',
    });
  }
  const provider = createDockerProvider({ deployment, image, egress, engine });
  await provider.resolveImage(undefined);
  return provider;
}
