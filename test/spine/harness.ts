/** A deployment of its own for a test: a storage folder, controllers and commands as child processes, small repositories. */
import assert from 'node:assert/strict';
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseCanonical } from '@pangolin/contracts/canonical';
import type { Envelope } from '@pangolin/contracts/dsse';
import type { EgressLine } from '@pangolin/contracts/egress';
import { attemptPrefix, casKey, eventsKey, receiptKey, statementsKey } from '@pangolin/contracts/layout';
import type { LogLine, Output } from '@pangolin/contracts/output';
import type { RunEvent } from '@pangolin/contracts/run-log';
import { predicateTypes, type Statement } from '@pangolin/contracts/statement';
import type { ItemStatus, Receipt, RunStatus } from '@pangolin/contracts/status';
import { dockerAnswers } from '@pangolin/controller/providers/docker';
import { WORKER_IMAGE } from '@pangolin/controller/providers/open';
import { poll } from '../poll.ts';

export type Compute = 'process' | 'docker' | 'fargate';
export const repository = dirname(dirname(import.meta.dirname));
const program = join(repository, 'bin', 'pangolin');
/** On a busy machine too, a task that is stopped has time to keep what it has done. */
const GRACE = '2m';

export interface Result {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}
/** One line of the controller's log. */
export interface Entry {
  readonly msg: string;
  readonly run?: string;
  readonly item?: string;
  readonly task?: string;
  readonly attempt?: number;
  readonly reason?: string;
  readonly deployment?: string;
}
export type Events = readonly RunEvent[];
export type Status = RunStatus & { readonly items: readonly ItemStatus[] };

/** False when a Docker engine and the worker image are here, else why not: for `skip`. @throws Error in CI. */
export async function dockerSkip(): Promise<false | string> {
  const missing = (await dockerAnswers())
    ? hasImage(WORKER_IMAGE)
      ? undefined
      : `there is no image ${WORKER_IMAGE}; run scripts/images.sh worker`
    : 'no Docker engine answers; run scripts/docker-engine.sh up';
  if (missing !== undefined && process.env['CI']) throw new Error(`in CI Docker tests must run: ${missing}`);
  return missing ?? false;
}

function hasImage(image: string): boolean {
  try {
    docker('image', 'inspect', image);
    return true;
  } catch {
    return false;
  }
}

export function docker(...args: readonly string[]): string {
  return execFileSync('docker', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] }).trim();
}

/** Of the test servers; of the controller and of commands, never of a task. */
export const s3Keys = { AWS_ACCESS_KEY_ID: 'testaccess', AWS_SECRET_ACCESS_KEY: 'testsecret' } as const;

export interface ServeOptions {
  readonly untilIdle?: boolean;
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** A running `pangolin orch serve`. */
export class Controller {
  readonly child: ChildProcess;
  readonly log: Entry[] = [];
  readonly #ended: Promise<Ended>;
  text = '';
  #pending = '';
  #listeners: ((entry: Entry) => void)[] = [];

  constructor(child: ChildProcess) {
    this.child = child;
    child.stderr!.on('data', (chunk: Buffer) => this.#read(chunk.toString()));
    this.#ended = new Promise((resolve) => child.once('close', (code, signal) => resolve({ code, signal })));
  }

  /** Its end. @throws Error with its log when it does not come. */
  async end(): Promise<Ended> {
    let ended: Ended | undefined;
    void this.#ended.then((value) => (ended = value));
    return await poll(
      'the controller ends',
      () => ended,
      () => this.text,
    );
  }

  onEntry(listener: (entry: Entry) => void): void {
    this.#listeners.push(listener);
  }

  async logged(what: string, matches: (entry: Entry) => boolean): Promise<Entry> {
    return await poll(
      what,
      () => this.log.find(matches),
      () => this.text,
    );
  }

  async stop(): Promise<void> {
    this.child.kill('SIGTERM');
    const { code } = await this.end();
    assert.equal(code, 0, this.text);
  }

  #read(chunk: string): void {
    this.text += chunk;
    const lines = (this.#pending + chunk).split('\n');
    this.#pending = lines.pop() ?? '';
    for (const line of lines) {
      if (!line.startsWith('{')) continue;
      const entry = JSON.parse(line) as Entry;
      this.log.push(entry);
      for (const listener of this.#listeners) listener(entry);
    }
  }
}

export class Deployment {
  readonly compute: Compute;
  readonly dir: string;
  readonly storage: string;
  readonly repo: string;
  readonly #children = new Set<ChildProcess>();
  /** Every task that was dispatched. */
  readonly #tasks = new Set<string>();
  #id: string | undefined;

  constructor(compute: Compute, storage?: string) {
    this.compute = compute;
    this.dir = mkdtempSync(join(tmpdir(), 'pangolin-spine-'));
    this.storage = storage ?? join(this.dir, 'storage');
    this.repo = join(this.dir, 'repo');
    makeRepo(this.repo);
    if (!this.#remote) mkdirSync(join(this.storage, 'inbox'), { recursive: true });
  }

  /** An s3:// location: then whatever reads the storage here as a folder is not for it. */
  get #remote(): boolean {
    return this.storage.startsWith('s3://');
  }

  /** Of its tasks' names and labels; known once a controller has served. */
  get id(): string | undefined {
    return this.#id;
  }

  /** Runs the shipped command. */
  async cli(...args: readonly string[]): Promise<Result> {
    return await this.cliAs({}, ...args);
  }

  /** The same with other credentials, or whatever else `env` says. */
  async cliAs(env: Readonly<Record<string, string>>, ...args: readonly string[]): Promise<Result> {
    const child = this.#spawn(args, env);
    const [out, err]: [Buffer[], Buffer[]] = [[], []];
    child.stdout!.on('data', (chunk: Buffer) => out.push(chunk));
    child.stderr!.on('data', (chunk: Buffer) => err.push(chunk));
    const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
    return { code, stdout: Buffer.concat(out).toString(), stderr: Buffer.concat(err).toString() };
  }

  /** Its standard output as JSON. */
  async json<T>(...args: readonly string[]): Promise<T> {
    const { code, stdout, stderr } = await this.cli(...args, '-o', 'json');
    assert.equal(code, 0, `${args.join(' ')}: ${stderr}`);
    return JSON.parse(stdout) as T;
  }

  serve({ untilIdle = false, args = [], env = {} }: ServeOptions = {}): Controller {
    const state = this.#remote ? ['--state', join(this.dir, 'state')] : [];
    const flags = ['--grace', GRACE, ...(untilIdle ? ['--until-idle'] : []), ...state, ...args];
    const controller = new Controller(this.#spawn(['orch', 'serve', '--compute', this.compute, ...flags], env));
    controller.onEntry((entry) => {
      this.#id ??= entry.deployment;
      if (entry.task !== undefined) this.#tasks.add(entry.task);
    });
    return controller;
  }

  /** Serves until everything is terminal and sealed. */
  async settle(options: ServeOptions = {}): Promise<Controller> {
    const controller = this.serve({ ...options, untilIdle: true });
    const { code } = await controller.end();
    assert.equal(code, 0, controller.text);
    return controller;
  }

  /** As `mv` does: the file appears whole. */
  drop(name: string, content: string | Uint8Array | object): void {
    const bytes = typeof content === 'string' || content instanceof Uint8Array ? content : JSON.stringify(content);
    const hidden = join(this.storage, 'inbox', `.${name}`);
    writeFileSync(hidden, bytes);
    renameSync(hidden, join(this.storage, 'inbox', name));
  }

  /** As `cp` does. */
  copyIn(file: string, name: string): void {
    copyFileSync(file, join(this.storage, 'inbox', name));
  }

  receipt(submission: string): Receipt | undefined {
    const path = join(this.storage, receiptKey(submission));
    return existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as Receipt) : undefined;
  }

  async status(run: string): Promise<Status> {
    return await this.json<Status>('orch', 'status', run);
  }

  events(run: string): Events {
    const text = readFileSync(join(this.storage, eventsKey(run)), 'utf8');
    return text
      .trimEnd()
      .split('\n')
      .map((line) => parseCanonical(Buffer.from(line)) as RunEvent);
  }

  /** Predicates of the run's in-toto statements of one kind. */
  predicates(run: string, kind: keyof typeof predicateTypes): readonly unknown[] {
    return readFileSync(join(this.storage, statementsKey(run)), 'utf8')
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Envelope)
      .map(({ payload }) => JSON.parse(Buffer.from(payload, 'base64').toString()) as Statement)
      .filter(({ predicateType }) => predicateType === predicateTypes[kind])
      .map(({ predicate }) => predicate);
  }

  output(runId: string, itemId: string, attempt = 1): Output {
    const path = join(this.storage, attemptPrefix({ runId, itemId, attempt }), 'output.json');
    return JSON.parse(readFileSync(path, 'utf8')) as Output;
  }

  /** What the blocks of an attempt printed. */
  printed(runId: string, itemId: string, attempt = 1): string {
    const dir = join(this.storage, attemptPrefix({ runId, itemId, attempt }), 'log');
    if (!existsSync(dir)) return '';
    return readdirSync(dir)
      .filter((name) => name.endsWith('.ndjson'))
      .sort()
      .flatMap((name) => readFileSync(join(dir, name), 'utf8').split('\n'))
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as LogLine)
      .filter(({ stream }) => stream !== 'worker')
      .map(({ line }) => line)
      .join('\n');
  }

  /** What the proxy of an item's last attempt wrote, as it is sealed. */
  egress(run: string, item: string): readonly EgressLine[] {
    const end = this.events(run).findLast((event) => event.kind === 'item.reconciled' && event.itemId === item);
    assert.ok(end?.kind === 'item.reconciled' && end.egress, 'the event that ends the attempt names its egress log');
    const text = readFileSync(join(this.storage, casKey(end.egress.sha256)), 'utf8');
    return text
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as EgressLine);
  }

  /** Exports the run's bundle and has the shipped verifier check it. Answers the bundle's path. */
  async verified(run: string): Promise<string> {
    const bundle = join(this.dir, `${run}.bundle.json`);
    const audit = await this.cli('orch', 'audit', run, '--out', bundle);
    assert.equal(audit.code, 0, audit.stderr);
    const verify = await this.cli('verify', bundle, '--run', run);
    assert.equal(verify.code, 0, verify.stdout + verify.stderr);
    return bundle;
  }

  /** Every process and container of a task that is still there. */
  leftovers(): string[] {
    const left = this.#processes().map(({ pid, command }) => `process ${pid}: ${command}`);
    if (this.compute === 'docker' && this.#id !== undefined)
      left.push(...this.#containers().map((name) => `container ${name}`));
    return left;
  }

  /** Nothing of a task is left; what is on its way out has gone. */
  async swept(): Promise<void> {
    await poll(
      'tasks are gone',
      () => this.leftovers().length === 0,
      () => this.leftovers().join('\n'),
    );
  }

  async dispose(): Promise<void> {
    for (const child of this.#children) child.kill('SIGKILL');
    for (const { pid } of this.#processes()) signal(pid);
    if (this.compute === 'docker' && this.#id !== undefined) {
      const containers = this.#containers();
      if (containers.length > 0) docker('rm', '-f', '-v', ...containers);
    }
    const user = process.getuid?.() ?? 0;
    for (const task of this.#tasks) rmSync(join(tmpdir(), `pangolin-${user}`, task), { recursive: true, force: true });
    // What was killed may still write for a moment.
    for (let tries = 1; ; tries++) {
      try {
        rmSync(this.dir, { recursive: true, force: true, maxRetries: 3 });
        return;
      } catch (error) {
        if (tries === 20) throw error;
        await delay(50);
      }
    }
  }

  #spawn(args: readonly string[], env: Readonly<Record<string, string>>): ChildProcess {
    const child = spawn(program, [...args], {
      cwd: this.dir,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: {
        PATH: process.env['PATH'],
        HOME: process.env['HOME'],
        ...inherited('DOCKER_HOST', 'PANGOLIN_IMAGE_TAG'),
        PANGOLIN_STORAGE: this.storage,
        ...(this.#remote ? { ...s3Keys, XDG_CACHE_HOME: join(this.dir, 'cache') } : {}),
        ...env,
      },
    });
    this.#children.add(child);
    child.once('close', () => this.#children.delete(child));
    return child;
  }

  #containers(): string[] {
    const filter = `label=dev.pangolin.deployment=${this.#id}`;
    return docker('ps', '-a', '--filter', filter, '--format', '{{.Names}}').split('\n').filter(Boolean);
  }

  /** Supervisors name the storage on their command line, workers it and their task in their environment, blocks the task. */
  #processes(): { readonly pid: number; readonly command: string }[] {
    const own = new Set([process.pid, ...[...this.#children].map(({ pid }) => pid)]);
    const names = [`${this.storage}/`, ...this.#tasks];
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name) && !own.has(Number(name)))
      .flatMap((name) => {
        const command = read(`/proc/${name}/cmdline`).replaceAll('\0', ' ').trim();
        const text = `${command} ${read(`/proc/${name}/environ`)}`;
        const mine = names.some((each) => text.includes(each));
        const ended = / [ZX] /.test(read(`/proc/${name}/stat`).replace(/^.*\)/, ''));
        return mine && !ended ? [{ pid: Number(name), command: command.slice(0, 200) }] : [];
      });
  }
}

function inherited(...names: readonly string[]): NodeJS.ProcessEnv {
  return Object.fromEntries(
    names.flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]]])),
  );
}

function read(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return '';
  }
}

function signal(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has ended by itself.
  }
}

export const git = (cwd: string, ...args: readonly string[]): string =>
  execFileSync(
    'git',
    ['-c', 'user.name=t', '-c', 'user.email=t@example.invalid', '-c', 'commit.gpgSign=false', ...args],
    {
      cwd,
      encoding: 'utf8',
    },
  );

/** Two commits: text, a binary file, an executable, a link. */
function makeRepo(dir: string): void {
  mkdirSync(join(dir, 'src'), { recursive: true });
  git(dir, 'init', '-q', '-b', 'main');
  writeFileSync(join(dir, 'README.md'), '# Small\n');
  git(dir, 'add', '-A');
  git(dir, 'commit', '-q', '-m', 'first');
  writeFileSync(join(dir, 'src', 'a.txt'), 'one\ntwo\nthree\n');
  writeFileSync(join(dir, 'src', 'b.txt'), 'alpha\nbeta\n');
  writeFileSync(join(dir, 'src', 'raw.bin'), Buffer.of(0, 255, 254, 10, 13, 0));
  writeFileSync(join(dir, 'run.sh'), '#!/bin/sh\necho fine\n', { mode: 0o755 });
  git(dir, 'add', '-A');
  git(dir, 'commit', '-q', '-m', 'second');
}

export const script = (command: string, rest: object = {}): object => ({ kind: 'script', command, ...rest });
export const patch = { kind: 'capture', what: 'patch', required: true } as const;
export const outputs = { kind: 'capture', what: 'outputs', required: true } as const;
export const blocks = (...list: readonly object[]): object => ({ pipeline: { blocks: list } });

/** An enveloped Run over the deployment's repository. */
export function runOf(name: string, repo: string, items: readonly object[], spec: object = {}): object {
  return {
    apiVersion: 'pangolin.dev/v1',
    kind: 'Run',
    metadata: { name },
    spec: { workspace: { git: { url: repo } }, ...spec, items },
  };
}

/** `phase reason attempts` of every item. */
export const ends = (status: Status): Record<string, string> =>
  Object.fromEntries(status.items.map(({ id, phase, reason, attempts }) => [id, `${phase} ${reason} ${attempts}`]));
