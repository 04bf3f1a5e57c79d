/** Providers whose worker is `sh $PANGOLIN_IN/script`, so that a test writes what its task does. */
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { FargateConfig } from '@pangolin/contracts/config';
import { taskName } from '@pangolin/contracts/ids';
import { createDockerProvider } from '@pangolin/controller/providers/docker';
import { WORKER_IMAGE } from '@pangolin/controller/providers/open';
import { createFargateProvider } from '@pangolin/controller/providers/fargate';
import { createProcessProvider } from '@pangolin/controller/providers/process';
import type { ComputeProvider, SandboxRequest, TaskStart } from '@pangolin/controller/providers/provider';

export type Kind = 'process' | 'docker' | 'fargate';
export const SCRIPTED_IMAGE = 'pangolin-test-scripted:dev';
/** Set by the test that has the ECS server: a `FargateConfig` as JSON, for this process and its children. */
export const ECS_CONFIG = 'PANGOLIN_TEST_ECS_CONFIG';
/** Where the tasks of the benches have their directories, for servers that cannot see a `TaskStart`. */
export const directories = new Map<string, Pick<TaskStart, 'inDir' | 'outDir'>>();

export async function openScripted(kind: Kind, stateDir: string, deployment: string): Promise<ComputeProvider> {
  if (kind === 'fargate') {
    const config = JSON.parse(process.env[ECS_CONFIG] ?? '') as FargateConfig;
    return await createFargateProvider({ deployment, config });
  }
  if (kind === 'docker') return createDockerProvider({ deployment, image: SCRIPTED_IMAGE });
  return createProcessProvider({ stateDir, deployment, workerCommand: ['sh', '-c', 'exec sh "$PANGOLIN_IN/script"'] });
}

/** The worker image with another entry point; everything else of it is as in production. */
export async function buildScriptedImage(): Promise<void> {
  const lines = [`FROM ${WORKER_IMAGE}`, 'ENTRYPOINT ["tini", "--", "sh", "/pangolin/in/script"]', ''];
  const build = execFile('docker', ['build', '-q', '-t', SCRIPTED_IMAGE, '-'], {
    env: { ...process.env, DOCKER_BUILDKIT: '0' },
  });
  build.stdin?.end(lines.join('\n'));
  const code = await new Promise<number | null>((resolve) => build.once('exit', resolve));
  if (code !== 0) throw new Error(`docker build of ${SCRIPTED_IMAGE} failed with ${code}`);
}

export async function docker(...args: string[]): Promise<string> {
  const { stdout } = await promisify(execFile)('docker', args);
  return stdout.trim();
}

/** A task of a folder store. */
export type FolderTask = TaskStart & { readonly outDir: string };

export class Bench {
  readonly kind: Kind;
  readonly deployment: string;
  readonly dir: string;
  readonly provider: ComputeProvider;
  #count = 0;

  private constructor(kind: Kind, deployment: string, dir: string, provider: ComputeProvider) {
    this.kind = kind;
    this.deployment = deployment;
    this.dir = dir;
    this.provider = provider;
  }

  static async make(kind: Kind): Promise<Bench> {
    const deployment = `test-${randomBytes(6).toString('hex')}`;
    const dir = mkdtempSync(join(tmpdir(), 'pangolin-test-'));
    return new Bench(kind, deployment, dir, await openScripted(kind, join(dir, 'state'), deployment));
  }

  /** Another provider of the same deployment, as a restarted controller has. */
  async open(): Promise<ComputeProvider> {
    return await openScripted(this.kind, join(this.dir, 'state'), this.deployment);
  }

  task(script: string, request: SandboxRequest = {}, more: Partial<TaskStart> = {}): FolderTask {
    const ref = { runId: 'run', itemId: `item-${++this.#count}`, attempt: 1 };
    const inDir = join(this.dir, ref.itemId, 'in');
    const outDir = join(this.dir, ref.itemId, 'out');
    mkdirSync(inDir, { recursive: true });
    mkdirSync(outDir, { recursive: true });
    writeFileSync(join(inDir, 'script'), script);
    const name = taskName(this.deployment, ref);
    directories.set(name, { inDir, outDir });
    return {
      name,
      ref,
      inDir,
      outDir,
      graceMs: 1000,
      manifestSha256: 'a'.repeat(64),
      sandbox: this.provider.enforce(request),
      ...more,
    };
  }
}
