/** Providers whose worker is `sh $PANGOLIN_IN/script`, so that a test writes what its task does. */
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { taskName } from '@pangolin/contracts/ids';
import { createDockerProvider } from '@pangolin/controller/providers/docker';
import { WORKER_IMAGE } from '@pangolin/controller/providers/open';
import { createProcessProvider } from '@pangolin/controller/providers/process';
import type { ComputeProvider, SandboxRequest, TaskStart } from '@pangolin/controller/providers/provider';

export type Kind = 'process' | 'docker';
const SCRIPTED_IMAGE = 'pangolin-test-scripted:dev';

export function openScripted(kind: Kind, stateDir: string, deployment: string): ComputeProvider {
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

export class Bench {
  readonly kind: Kind;
  readonly deployment = `test-${randomBytes(6).toString('hex')}`;
  readonly dir: string;
  readonly provider: ComputeProvider;
  #count = 0;

  constructor(kind: Kind) {
    this.kind = kind;
    this.dir = mkdtempSync(join(tmpdir(), 'pangolin-test-'));
    this.provider = this.open();
  }

  /** Another provider of the same deployment, as a restarted controller has. */
  open(): ComputeProvider {
    return openScripted(this.kind, join(this.dir, 'state'), this.deployment);
  }

  task(script: string, request: SandboxRequest = {}, more: Partial<TaskStart> = {}): TaskStart {
    const ref = { runId: 'run', itemId: `item-${++this.#count}`, attempt: 1 };
    const inDir = join(this.dir, ref.itemId, 'in');
    const outDir = join(this.dir, ref.itemId, 'out');
    mkdirSync(inDir, { recursive: true });
    mkdirSync(outDir, { recursive: true });
    writeFileSync(join(inDir, 'script'), script);
    return {
      name: taskName(this.deployment, ref),
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

/** Polls until there is a value; a test that waits in vain fails with `what`. */
export async function until<T>(
  what: string,
  look: () => Promise<T | undefined | false> | T | undefined | false,
): Promise<T> {
  const giveUpAt = performance.now() + 30_000;
  for (;;) {
    const value = await look();
    if (value !== undefined && value !== false) return value;
    if (performance.now() > giveUpAt) throw new Error(`waited in vain: ${what}`);
    await sleep(20);
  }
}
