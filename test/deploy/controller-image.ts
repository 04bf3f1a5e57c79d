/** The built controller image as an operator runs it: any user, read-only root, its state on a volume, the engine's socket. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { chownSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { WORKER_IMAGE } from '@pangolin/controller/providers/open';
import { docker, type Result } from '../spine/harness.ts';
import { poll } from '../poll.ts';

export const CONTROLLER_IMAGE = WORKER_IMAGE.replace('worker', 'controller');
const SOCKET = '/var/run/docker.sock';
/** Of nobody here, so that nothing works because of who runs the tests. */
const USER = 4711;

/** Why the image cannot be tested here. @throws Error in CI */
export function imageSkip(): false | string {
  try {
    docker('image', 'inspect', CONTROLLER_IMAGE);
    return false;
  } catch {
    const missing = `there is no image ${CONTROLLER_IMAGE}; run scripts/images.sh controller`;
    if (process.env['CI']) throw new Error(`in CI the image must be there: ${missing}`);
    return missing;
  }
}

export interface ContainerOptions {
  /** Instead of the folder `storage` in its directory. */
  readonly storage?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Of `docker run`. */
  readonly flags?: readonly string[];
}

export class ControllerContainer {
  readonly name = `pangolin-test-controller-${randomUUID().slice(0, 8)}`;
  /** At the same path inside: what the engine mounts into tasks is named by its path out here. */
  readonly dir = mkdtempSync(join(tmpdir(), 'pangolin-image-'));
  readonly #options: ContainerOptions;

  constructor(options: ContainerOptions = {}) {
    this.#options = options;
    mkdirSync(join(this.dir, 'tmp'));
    for (const dir of [this.dir, join(this.dir, 'tmp')]) chownSync(dir, USER, USER);
  }

  start(): void {
    const env = {
      PANGOLIN_STORAGE: this.#options.storage ?? join(this.dir, 'storage'),
      PANGOLIN_STATE: join(this.dir, 'state'),
      TMPDIR: join(this.dir, 'tmp'),
      ...this.#options.env,
    };
    docker(
      ...['run', '-d', '--name', this.name, '--read-only', '--user', `${USER}:${USER}`, '--cap-drop', 'ALL'],
      ...['--security-opt', 'no-new-privileges', '--tmpfs', '/tmp', '-v', `${this.dir}:${this.dir}`],
      ...['-v', `${SOCKET}:${SOCKET}`, '--group-add', String(statSync(SOCKET).gid)],
      ...Object.entries(env).flatMap(([name, value]) => ['-e', `${name}=${value}`]),
      ...(this.#options.flags ?? []),
      ...[CONTROLLER_IMAGE, 'orch', 'serve', '--compute', 'docker', '--image', WORKER_IMAGE],
    );
  }

  /** `docker stop`, which kills after the 30 s that an orchestrator gives. @returns its exit code */
  stop(): number {
    docker('stop', '-t', '30', this.name);
    const code = Number(docker('inspect', '-f', '{{.State.ExitCode}}', this.name));
    return code;
  }

  remove(): void {
    docker('rm', '-f', '-v', this.name);
  }

  log(): string {
    return docker('logs', this.name);
  }

  /** The command line inside of it. */
  async cli(...args: readonly string[]): Promise<Result> {
    return await new Promise((resolve) => {
      execFile('docker', ['exec', this.name, 'pangolin', ...args], (error, stdout, stderr) => {
        resolve({ code: error ? Number(error.code) : 0, stdout, stderr });
      });
    });
  }

  async json<T>(...args: readonly string[]): Promise<T> {
    const { code, stdout, stderr } = await this.cli(...args, '-o', 'json');
    assert.equal(code, 0, `${args.join(' ')}: ${stderr}`);
    return JSON.parse(stdout) as T;
  }

  async live(): Promise<void> {
    await poll(
      'the controller lives',
      async () => (await this.cli('doctor', '--live')).code === 0,
      () => `${docker('inspect', '-f', '{{json .State}}', this.name)}`,
    );
  }

  /** Writes the spec where the command inside finds it, and submits it. */
  async submit(spec: object): Promise<void> {
    const file = join(this.dir, `${randomUUID()}.json`);
    writeFileSync(file, JSON.stringify(spec), { mode: 0o644 });
    const { code, stderr } = await this.cli('orch', 'submit', file);
    assert.equal(code, 0, stderr);
  }

  dispose(): void {
    docker('rm', '-f', '-v', this.name);
    rmSync(this.dir, { recursive: true, force: true });
  }
}
