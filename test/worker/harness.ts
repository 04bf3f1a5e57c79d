/** Drives the bundled worker as a child process, the way the providers do. */
import assert from 'node:assert/strict';
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { generateKeyPairSync, sign } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after } from 'node:test';
import { canonicalBytes } from '@pangolin/contracts/canonical';
import type { Capability } from '@pangolin/contracts/capability';
import { sha256 } from '@pangolin/contracts/digest';
import type { EnvBundle } from '@pangolin/contracts/env-bundle';
import { keyIdOf, signEnvelope } from '@pangolin/contracts/dsse';
import type { LogLine, Output } from '@pangolin/contracts/output';
import type { Block, ScriptBlock } from '@pangolin/contracts/pipeline';
import type { Pin, Pins } from '@pangolin/contracts/admitted-run';
import type { PinnedWorkspace } from '@pangolin/contracts/workspace';
import type { Subagent } from '@pangolin/contracts/subagent';
import { predicateTypes, statementBytes } from '@pangolin/contracts/statement';
import type { DispatchManifest, Task, Sandbox } from '@pangolin/contracts/task';

export const isRoot = process.getuid?.() === 0;
/** Every test file is a process of its own, and a worker kills everything that runs as its block user. */
export const BLOCK_UID = 100_000 + process.pid;
/** A worker that is not root itself. */
const PLAIN_UID = 4_500_000 + process.pid;

const root = join(import.meta.dirname, '..', '..');
export const scratch = mkdtempSync(join(tmpdir(), 'pangolin-worker-test-'));
chmodSync(scratch, 0o755);
after(() => rmSync(scratch, { recursive: true, force: true }));

let built: string | undefined;
export function bundle(): string {
  if (built === undefined) {
    execFileSync(process.execPath, [join(root, 'scripts', 'build.mjs'), 'worker', scratch]);
    built = join(scratch, 'worker.mjs');
  }
  return built;
}

export type User = 'separate' | 'same' | 'plain';

export interface TaskSpec {
  readonly blocks: readonly Block[];
  /** name → content, committed as the workspace. */
  readonly files?: Readonly<Record<string, string>>;
  /** name → target of a symbolic link, committed too. */
  readonly links?: Readonly<Record<string, string>>;
  readonly inputs?: Readonly<Record<string, string>>;
  readonly params?: Readonly<Record<string, unknown>>;
  readonly subagent?: Subagent;
  readonly capabilities?: readonly Capability[];
  readonly env?: readonly EnvBundle[];
  readonly timeoutMs?: number;
  readonly idleTimeoutMs?: number;
  readonly graceMs?: number;
  /** Changes the finished task before it is written. */
  readonly tamper?: (task: Record<string, unknown>) => void;
  readonly user?: User;
  /** What the manifest says is enforced, beside what this harness does. */
  readonly sandbox?: Partial<Sandbox>;
}

export interface Dirs {
  readonly base: string;
  readonly in: string;
  readonly out: string;
  readonly work: string;
  readonly env: Record<string, string>;
  readonly uid: number | undefined;
}

export interface Ended {
  readonly code: number | null;
  readonly stderr: string;
  readonly dirs: Dirs;
}

export interface Finished extends Ended {
  readonly output: Output;
  readonly patch: string | undefined;
  readonly log: readonly LogLine[];
  /** Standard output of all blocks, line by line. */
  readonly printed: string;
  readonly notes: string;
}

export const script = (command: string, rest: Partial<ScriptBlock> = {}): ScriptBlock => ({
  kind: 'script',
  command,
  ...rest,
});

const { privateKey, publicKey } = generateKeyPairSync('ed25519');
const signer = {
  keyid: keyIdOf(publicKey),
  publicKey: publicKey.export({ format: 'der', type: 'spki' }),
  sign: (bytes: Uint8Array): Buffer => sign(null, bytes, privateKey),
};

/** The input directory of one attempt, as a provider lays it out. */
export async function prepare(spec: TaskSpec): Promise<Dirs> {
  const base = mkdtempSync(join(scratch, 'attempt-'));
  const dirs = { base, in: join(base, 'in'), out: join(base, 'out'), work: join(base, 'work') };
  chmodSync(base, 0o755);
  for (const dir of [dirs.in, dirs.out, dirs.work]) mkdirSync(dir);
  const workspace = spec.files === undefined ? undefined : pack(spec, join(dirs.in, 'workspace.pack'));
  for (const [key, content] of Object.entries(spec.inputs ?? {})) writeFileSync(join(dirs.in, `input-${key}`), content);
  const { pins, things } = layThings(spec, dirs.in);
  const manifest = { ...manifestOf(spec, workspace), ...pins };
  const payload = statementBytes(predicateTypes.dispatch, [], manifest);
  const task: Task = {
    schema: 'task/1',
    manifest: await signEnvelope(signer, payload),
    grants: {
      ...(workspace === undefined ? {} : { workspace: { path: 'workspace.pack' } }),
      inputs: Object.fromEntries(Object.keys(spec.inputs ?? {}).map((key) => [key, { path: `input-${key}` }])),
      things,
    },
    ...(spec.params === undefined ? {} : { params: spec.params }),
  };
  const written = structuredClone(task) as unknown as Record<string, unknown>;
  spec.tamper?.(written);
  writeFileSync(join(dirs.in, 'task.json'), JSON.stringify(written));
  const user = spec.user ?? (isRoot ? 'separate' : 'plain');
  const uid = user === 'plain' && isRoot ? PLAIN_UID : undefined;
  if (uid !== undefined) execFileSync('chown', ['-R', `${uid}:${uid}`, base]);
  const env: Record<string, string> = {
    PATH: process.env['PATH'] ?? '',
    PANGOLIN_IN: dirs.in,
    PANGOLIN_OUT: dirs.out,
    PANGOLIN_WORK: dirs.work,
    PANGOLIN_MANIFEST_SHA256: sha256(payload),
    PANGOLIN_GRACE_MS: String(spec.graceMs ?? 3000),
    WORKER_ONLY: 'runner-secret-7f3a',
    ...(user === 'separate' ? { PANGOLIN_BLOCK_UID: String(BLOCK_UID), PANGOLIN_BLOCK_GID: String(BLOCK_UID) } : {}),
  };
  return { ...dirs, env, uid };
}

function layThings(spec: TaskSpec, inDir: string): { pins: Pins; things: Record<string, { path: string }> } {
  const things: Record<string, { path: string }> = {};
  const lay = (ref: string, thing: unknown): Pin => {
    const bytes = canonicalBytes(thing);
    const digest = sha256(bytes);
    writeFileSync(join(inDir, digest), bytes);
    things[digest] = { path: digest };
    return { ref, sha256: digest };
  };
  const list = (name: string, all: readonly unknown[] | undefined): Pin[] | undefined =>
    all?.map((thing, index) => lay(`${name}-${index}`, thing));
  const capabilities = list('capability', spec.capabilities);
  const env = list('env', spec.env);
  const pins = {
    ...(spec.subagent && { subagent: lay('subagent', spec.subagent) }),
    ...(capabilities && { capabilities }),
    ...(env && { env }),
  };
  return { pins, things };
}

function manifestOf(spec: TaskSpec, workspace: PinnedWorkspace | undefined): DispatchManifest {
  const pipeline = { blocks: [...spec.blocks] };
  return {
    schema: 'dispatch/1',
    runId: 'run-1',
    itemId: 'item-a',
    attempt: 1,
    engine: { name: 'pangolin', version: '0.1.0' },
    provider: 'process',
    task: 'pangolin-test',
    pipeline: { sha256: sha256(canonicalBytes(pipeline)), spec: pipeline },
    ...(workspace === undefined ? {} : { workspace }),
    inputs: Object.fromEntries(
      Object.entries(spec.inputs ?? {}).map(([key, content]) => [key, { sha256: sha256(content), from: 'submission' }]),
    ),
    ...(spec.params === undefined ? {} : { params: { sha256: sha256(canonicalBytes(spec.params)) } }),
    limits: {
      timeoutMs: spec.timeoutMs ?? 60_000,
      graceMs: spec.graceMs ?? 3000,
      ...(spec.idleTimeoutMs === undefined ? {} : { idleTimeoutMs: spec.idleTimeoutMs }),
    },
    sandbox: {
      asked: {},
      enforced: {
        network: 'open',
        rootfs: 'host',
        user: 'same',
        noNewPrivileges: false,
        runtime: 'process',
        ...spec.sandbox,
      },
    },
  };
}

const identity = ['-c', 'user.name=t', '-c', 'user.email=t@example.invalid', '-c', 'commit.gpgSign=false'];

/** Two commits, so that the packed one has a parent that the pack does not hold. */
function pack({ files = {}, links = {} }: TaskSpec, target: string): PinnedWorkspace {
  const repo = mkdtempSync(join(scratch, 'repo-'));
  const run = (args: string[], input = ''): Buffer => execFileSync('git', [...identity, ...args], { cwd: repo, input });
  run(['init', '-q']);
  run(['commit', '-q', '--allow-empty', '-m', 'before']);
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(repo, name)), { recursive: true });
    writeFileSync(join(repo, name), content);
  }
  for (const [name, to] of Object.entries(links)) symlinkSync(to, join(repo, name));
  run(['add', '-A', '-f']);
  run(['commit', '-q', '-m', 'base']);
  const commit = run(['rev-parse', 'HEAD']).toString().trim();
  const objects = run(['rev-list', '--objects', '-1', commit]).toString();
  const bytes = run(['pack-objects', '--stdout', '-q'], objects.replace(/ .*$/gm, ''));
  writeFileSync(target, bytes);
  return { kind: 'git', commit, sha256: sha256(bytes), size: bytes.length };
}

export function start(dirs: Dirs): { readonly child: ChildProcess; readonly ended: Promise<Ended> } {
  const child = spawn(process.execPath, [bundle()], {
    env: dirs.env,
    cwd: '/',
    stdio: ['ignore', 'ignore', 'pipe'],
    ...(dirs.uid === undefined ? {} : { uid: dirs.uid, gid: dirs.uid }),
  });
  let stderr = '';
  child.stderr!.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  const ended = new Promise<Ended>((resolve) => child.once('close', (code) => resolve({ code, stderr, dirs })));
  return { child, ended };
}

export async function run(spec: TaskSpec): Promise<Finished> {
  return finished(await start(await prepare(spec)).ended);
}

/** Reads the attempt directory and checks what every attempt promises: digests that hold, no temporary files. */
export function finished(ended: Ended): Finished {
  const { out } = ended.dirs;
  assert.ok(existsSync(join(out, 'output.json')), `no output.json; exit ${ended.code}: ${ended.stderr}`);
  const output = JSON.parse(readFileSync(join(out, 'output.json'), 'utf8')) as Output;
  assert.deepEqual(
    readdirSync(out).filter((name) => name.startsWith('.tmp')),
    [],
  );
  const { patch, outputs } = output.products;
  for (const [path, ref] of Object.entries(outputs)) assert.deepEqual(refOf(join(out, 'outputs', path)), ref);
  for (const { file, ...ref } of output.logs) assert.deepEqual(refOf(join(out, file)), ref);
  if (patch !== undefined) assert.deepEqual(refOf(join(out, 'patch')), { sha256: patch.sha256, size: patch.size });
  assert.equal(existsSync(join(out, 'patch')), patch !== undefined);
  const log = output.logs.flatMap(({ file }) => linesOf(join(out, file)));
  const of = (stream: string): string => log.flatMap((l) => (l.stream === stream ? [l.line] : [])).join('\n');
  return {
    ...ended,
    output,
    patch: patch === undefined ? undefined : readFileSync(join(out, 'patch'), 'latin1'),
    log,
    printed: of('stdout'),
    notes: of('worker'),
  };
}

export function linesOf(file: string): LogLine[] {
  if (!existsSync(file)) return [];
  const text = readFileSync(file, 'utf8');
  return text
    .slice(0, text.lastIndexOf('\n') + 1)
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as LogLine);
}

function refOf(file: string): { sha256: string; size: number } {
  const bytes = readFileSync(file);
  return { sha256: sha256(bytes), size: bytes.length };
}

/** Root is needed to give blocks a user of their own; CI has it. */
export const needsRoot = isRoot ? {} : process.env['CI'] ? {} : { skip: 'needs root to switch users' };
