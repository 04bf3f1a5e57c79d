/** One attempt in a real container: as the Docker provider makes it, or weakened in one way that only tests know. */
import { chmodSync } from 'node:fs';
import Docker, { type ContainerCreateOptions } from 'dockerode';
import type { Sandbox } from '@pangolin/contracts/task';
import { containerOptions, enforcedSandbox } from '@pangolin/controller/providers/docker-container';
import { WORKER_IMAGE } from '@pangolin/controller/providers/open';
import type { SandboxRequest } from '@pangolin/controller/providers/provider';
import { finished, prepare, type Finished, type TaskSpec } from '../worker/harness.ts';

export type Weaken = (options: ContainerCreateOptions) => void;

export interface Attack extends TaskSpec {
  readonly asked?: SandboxRequest;
  readonly weaken?: Weaken;
}

let attempts = 0;

/** Runs it to its end, and removes everything but what the worker wrote. */
export async function attempt({ asked = {}, weaken = () => undefined, ...spec }: Attack): Promise<Finished> {
  const sandbox: Sandbox = { ...enforcedSandbox(asked), ...spec.sandbox };
  const dirs = await prepare({ ...spec, user: 'separate', sandbox });
  for (const dir of [dirs.in, dirs.out]) chmodSync(dir, 0o700);
  const options = containerOptions(
    {
      name: `pangolin-redteam-${process.pid}-${++attempts}`,
      ref: { runId: 'run-1', itemId: 'item-a', attempt: 1 },
      inDir: dirs.in,
      outDir: dirs.out,
      manifestSha256: dirs.env['PANGOLIN_MANIFEST_SHA256'] ?? '',
      sandbox,
      graceMs: 3000,
    },
    `redteam-${process.pid}`,
    WORKER_IMAGE,
  );
  weaken(options);
  const container = await new Docker().createContainer(options);
  try {
    await container.start();
    const { StatusCode: code } = (await container.wait()) as { StatusCode: number };
    const stderr = (await container.logs({ stdout: true, stderr: true })).toString('latin1');
    return finished({ code, stderr, dirs });
  } finally {
    await container.remove({ force: true, v: true });
  }
}
