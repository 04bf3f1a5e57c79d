/**
 * Tasks as child processes: the embedded default. Isolates little, and `enforce` says so: the host's file system and
 * the controller's own user, a network namespace where the kernel gives one.
 *
 * Everything known about a task lies in files, so that a controller killed at any point finds its tasks again:
 *
 *     <stateDir>/tasks/<name>/record.json   what this provider must remember: deployment, work directory
 *     <stateDir>/tasks/<name>/claim/        made by the one supervisor that may go on
 *     <stateDir>/tasks/<name>/supervisor    who the supervisor is; `worker`: who the worker is; `namespace`: its network
 *     <stateDir>/tasks/<name>/output.log    what the worker printed
 *     <stateDir>/exits/<name>               exit status; its appearance is the event that `watch` waits for
 *
 * They need not survive a crash of the machine: no process does either, and such a task counts as `gone` or `Lost`.
 */
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { mkdirSync, watch as watchDirectory, type FSWatcher } from 'node:fs';
import { access, mkdir, open, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { PangolinError, messageOf } from '@pangolin/contracts/errors';
import type { Sandbox } from '@pangolin/contracts/task';
import { assertEnforces, assertTaskName, refuseAllowList, unsupported } from './checks.ts';
import { probeConfinement, supervisorCommand, type Confinement } from './process-supervisor.ts';
import { isAlive, killFamily, ownsSession, parseIdentity, signal, type ProcessId } from './process-table.ts';
import { defaultWorkerCommand, workBase } from './process-worker.ts';
import type { ComputeProvider, SandboxRequest, TaskObservation, TaskStart } from './provider.ts';

export interface ProcessProviderOptions {
  /** The provider's own directory on this machine; made when missing. */
  readonly stateDir: string;
  readonly deployment: string;
  /** Runs agents as well, as isolated as everything else here: hardly. */
  readonly unsandboxed?: boolean;
  /** argv of the worker; the one of this checkout by default. */
  readonly workerCommand?: readonly string[];
}

interface TaskRecord {
  readonly deployment: string;
  readonly work: string;
}

/** How long a supervisor may take from its claim to the worker's pid. */
const CLAIM_MS = 5000;
const LOG_TAIL_BYTES = 500;

export function createProcessProvider(options: ProcessProviderOptions): ComputeProvider {
  return new ProcessProvider(options);
}

class ProcessProvider implements ComputeProvider {
  readonly name = 'process';
  readonly #deployment: string;
  readonly #unsandboxed: boolean;
  readonly #tasks: string;
  readonly #exits: string;
  readonly #workBase: string;
  readonly #worker: readonly string[];
  readonly #confinement: Confinement;
  readonly #starting = new Map<string, Promise<void>>();
  readonly #escalations = new Map<string, NodeJS.Timeout>();
  readonly #listeners = new Set<(name: string) => void>();

  constructor(options: ProcessProviderOptions) {
    this.#deployment = options.deployment;
    this.#unsandboxed = options.unsandboxed === true;
    this.#tasks = join(options.stateDir, 'tasks');
    this.#exits = join(options.stateDir, 'exits');
    mkdirSync(this.#tasks, { recursive: true });
    mkdirSync(this.#exits, { recursive: true });
    this.#workBase = workBase();
    this.#worker = options.workerCommand ?? defaultWorkerCommand();
    this.#confinement = probeConfinement();
  }

  enforce(request: SandboxRequest): Sandbox {
    refuseAllowList(request.network, 'process');
    if (request.agent === true && !this.#unsandboxed) {
      throw unsupported(
        'subagent',
        'an agent would run on this machine with the rights of the controller’s user',
        'Serve with --compute docker; or with --unsandboxed, when this machine may be lost.',
      );
    }
    for (const field of ['memoryBytes', 'cpuMillis', 'image'] as const) {
      if (request[field] !== undefined) throw cannotHonour(field);
    }
    const isolated = this.#confinement.network !== undefined;
    if (request.network === 'none' && !isolated) throw cannotHonour('network');
    return {
      network: typeof request.network === 'string' ? request.network : isolated ? 'none' : 'open',
      rootfs: 'host',
      user: 'same',
      noNewPrivileges: this.#confinement.privileges !== undefined,
      runtime: 'process',
    };
  }

  async resolveImage(): Promise<undefined> {
    return undefined;
  }

  async start(task: TaskStart): Promise<void> {
    assertTaskName(task.name);
    assertEnforces(this, task);
    const starting = this.#starting.get(task.name) ?? this.#start(task).finally(() => this.#starting.delete(task.name));
    this.#starting.set(task.name, starting);
    await starting;
  }

  async #start(task: TaskStart): Promise<void> {
    const dir = join(this.#tasks, task.name);
    await mkdir(dir, { recursive: true });
    if (await exists(join(dir, 'claim'))) return;
    const record: TaskRecord = { deployment: this.#deployment, work: join(this.#workBase, task.name) };
    await writeFile(join(dir, 'record.json'), JSON.stringify(record));
    await mkdir(record.work, { recursive: true, mode: 0o700 });
    const child = await this.#spawn(task, dir, record.work);
    // Crash here: a supervisor that runs without us. It has its claim, and the next start finds that.
    child.once('exit', () => this.#tell(task.name));
    child.unref();
  }

  async #spawn(task: TaskStart, dir: string, work: string): Promise<ChildProcess> {
    const [file = '', ...args] = supervisorCommand({
      confinement: this.#confinement,
      isolateNetwork: task.sandbox.network === 'none',
      taskDir: dir,
      exitFile: join(this.#exits, task.name),
      worker: this.#worker,
    });
    const log = await open(join(dir, 'output.log'), 'a');
    try {
      const child = spawn(file, args, {
        detached: true,
        cwd: work,
        env: workerEnvironment(task, work),
        stdio: ['ignore', log.fd, log.fd],
      });
      await new Promise<void>((resolve, reject) => child.once('spawn', resolve).once('error', reject));
      return child;
    } catch (cause) {
      throw new PangolinError('UNAVAILABLE', `the process of ${task.name} cannot be started: ${messageOf(cause)}`, {
        cause,
        details: { reason: 'StartFailed' },
      });
    } finally {
      await log.close();
    }
  }

  async observe(names: readonly string[]): Promise<readonly TaskObservation[]> {
    return await Promise.all(names.map((name) => this.#observe(name)));
  }

  async #observe(name: string): Promise<TaskObservation> {
    assertTaskName(name);
    const dir = join(this.#tasks, name);
    const ended = await this.#ended(name, dir);
    if (ended) return ended;
    if (!(await exists(dir))) return { name, state: 'gone' };
    const supervisor = await identityIn(join(dir, 'supervisor'));
    if (!supervisor) return { name, state: (await isStale(dir)) ? 'gone' : 'starting' };
    if (isAlive(supervisor)) return { name, state: 'running' };
    const worker = await identityIn(join(dir, 'worker'));
    if (worker && isAlive(worker)) return { name, state: 'running' };
    // The supervisor writes the status just before it ends, so only now does its absence mean something.
    return (
      (await this.#ended(name, dir)) ?? { name, state: 'ended', reason: 'Lost', message: 'its processes were killed' }
    );
  }

  async #ended(name: string, dir: string): Promise<TaskObservation | undefined> {
    const text = await readText(join(this.#exits, name));
    if (text === undefined) return undefined;
    const exitCode = Number(text);
    // The shell's own codes for a command that it cannot run; the worker has no such.
    if (exitCode !== 126 && exitCode !== 127) return { name, state: 'ended', exitCode };
    const log = (await readText(join(dir, 'output.log'))) ?? '';
    return { name, state: 'ended', exitCode, reason: 'StartFailed', message: log.slice(-LOG_TAIL_BYTES).trim() };
  }

  async list(): Promise<readonly string[]> {
    const names = await readdir(this.#tasks);
    const records = await Promise.all(names.map((name) => this.#record(name)));
    // A task without a readable record was cut short before it was spawned: whoever lists may sweep it.
    return names.filter((_, index) => (records[index]?.deployment ?? this.#deployment) === this.#deployment);
  }

  async stop(name: string, graceMs: number): Promise<void> {
    assertTaskName(name);
    if (await this.#preventStart(name)) return;
    const dir = join(this.#tasks, name);
    const worker = await this.#workerOf(name, dir);
    if (!worker || !signal(worker, 'SIGTERM') || this.#escalations.has(name)) return;
    // A controller that dies meanwhile asks again when it comes back.
    const escalation = setTimeout(() => void this.#kill(dir).finally(() => this.#escalations.delete(name)), graceMs);
    this.#escalations.set(name, escalation.unref());
  }

  /** Takes the claim of a task whose supervisor has not come to it yet: it will never run. */
  async #preventStart(name: string): Promise<boolean> {
    try {
      await mkdir(join(this.#tasks, name, 'claim'));
    } catch {
      return false;
    }
    await writeFile(join(this.#exits, name), '143\n');
    return true;
  }

  /** The worker's pid, which the supervisor notes within milliseconds of its claim. Undefined when the task has ended. */
  async #workerOf(name: string, dir: string): Promise<ProcessId | undefined> {
    for (const giveUpAt = performance.now() + CLAIM_MS; performance.now() < giveUpAt; await sleep(5)) {
      const worker = await identityIn(join(dir, 'worker'));
      if (worker) return worker;
      const supervisor = await identityIn(join(dir, 'supervisor'));
      if (supervisor && !isAlive(supervisor)) return undefined;
      if (!(await exists(join(dir, 'claim'))) || (await isStale(dir))) return undefined;
      if (await exists(join(this.#exits, name))) return undefined;
    }
    return undefined;
  }

  /** Kills the worker and all that it left behind; the supervisor then notes the status and ends. */
  async #kill(dir: string, spareSupervisor = true): Promise<boolean> {
    const supervisor = await identityIn(join(dir, 'supervisor'));
    const worker = await identityIn(join(dir, 'worker'));
    if (!supervisor && !worker) return true;
    if (supervisor && !spareSupervisor) signal(supervisor, 'SIGKILL');
    const [id, mark] = ((await readText(join(dir, 'namespace'))) ?? '').split(' ');
    const work = (await this.#record(basename(dir)))?.work;
    return await killFamily({
      members: worker ? [worker] : [],
      ...(supervisor && ownsSession(supervisor) ? { session: supervisor.pid } : {}),
      ...(supervisor && spareSupervisor ? { spare: supervisor } : {}),
      // The first is the worker's own, the second what it gives its blocks, which lead sessions of their own.
      ...(work === undefined ? {} : { variables: [`PANGOLIN_WORK=${work}\0`, `PANGOLIN_OUTPUTS=${work}/`] }),
      ...(id && mark ? { networkNamespace: { id, mark } } : {}),
    });
  }

  async remove(name: string): Promise<void> {
    assertTaskName(name);
    const dir = join(this.#tasks, name);
    clearTimeout(this.#escalations.get(name));
    this.#escalations.delete(name);
    if (!(await exists(dir))) return;
    if (!(await this.#preventStart(name))) {
      await this.#workerOf(name, dir);
      if (!(await this.#kill(dir, false))) {
        throw new PangolinError('UNAVAILABLE', `processes of ${name} do not die; they wait in the kernel`);
      }
    }
    const record = await this.#record(name);
    if (record) await removeTree(record.work);
    await rm(join(this.#exits, name), { force: true });
    // Last, so that a crash before this leaves a task that `list` still names.
    await removeTree(dir);
  }

  async #record(name: string): Promise<TaskRecord | undefined> {
    try {
      return JSON.parse((await readText(join(this.#tasks, name, 'record.json'))) ?? '') as TaskRecord;
    } catch {
      return undefined;
    }
  }

  async watch(onChange: (name: string) => void): Promise<() => Promise<void>> {
    let watcher: FSWatcher;
    try {
      watcher = watchDirectory(this.#exits, { persistent: false }, (_event, name) => name && onChange(name));
    } catch (cause) {
      throw new PangolinError('UNAVAILABLE', `cannot watch ${this.#exits}: ${messageOf(cause)}`, {
        cause,
        hint: 'Raise fs.inotify.max_user_watches and max_user_instances.',
      });
    }
    // Only a hint is lost with it: the caller's slow resync goes on.
    watcher.on('error', () => watcher.close());
    this.#listeners.add(onChange);
    return async () => {
      this.#listeners.delete(onChange);
      watcher.close();
    };
  }

  #tell(name: string): void {
    for (const listener of this.#listeners) listener(name);
  }
}

/** Default deny: nothing of the controller's own environment but the search path reaches a worker. */
function workerEnvironment(task: TaskStart, work: string): NodeJS.ProcessEnv {
  return {
    PATH: process.env['PATH'] ?? '/usr/local/bin:/usr/bin:/bin',
    LANG: process.env['LANG'] ?? 'C.UTF-8',
    PANGOLIN_IN: task.inDir,
    ...(task.outDir !== undefined && { PANGOLIN_OUT: task.outDir }),
    ...(task.storeDir !== undefined && { PANGOLIN_STORE_SOCKET: join(task.storeDir, 'store.sock') }),
    PANGOLIN_WORK: work,
    PANGOLIN_MANIFEST_SHA256: task.manifestSha256,
    PANGOLIN_GRACE_MS: String(task.graceMs),
  };
}

function cannotHonour(field: string): PangolinError {
  return unsupported(
    field,
    'the process provider cannot honour it',
    'Use --compute docker, or leave it out of the item.',
  );
}

async function identityIn(file: string): Promise<ProcessId | undefined> {
  const text = await readText(file);
  return text === undefined ? undefined : parseIdentity(text);
}

/** Its supervisor is of an earlier boot of this machine. */
async function isStale(dir: string): Promise<boolean> {
  const text = await readText(join(dir, 'supervisor'));
  return text !== undefined && text.endsWith('\nend\n') && parseIdentity(text) === undefined;
}

async function exists(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  );
}

async function readText(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** Blocks may leave directories that not even their owner may enter. */
async function removeTree(path: string): Promise<void> {
  try {
    await rm(path, { recursive: true, force: true, maxRetries: 3 });
  } catch {
    await promisify(execFile)('chmod', ['-R', 'u+rwX', path]);
    await rm(path, { recursive: true, force: true, maxRetries: 3 });
  }
}
