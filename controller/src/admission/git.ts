/**
 * The git program, run so that nothing in a repository or in the environment makes it do more than it is asked:
 * no system or user configuration, no hooks, no prompts, no remote helpers, no lazy fetches, no replaced objects.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { sha256Stream } from '@pangolin/contracts/digest';
import { PangolinError } from '@pangolin/contracts/errors';
import { refuse } from './refusal.ts';

/** Output that is kept in memory. */
const OUTPUT_BYTES_MAX = 256 * 2 ** 20;
const LOCAL_TIMEOUT_MS = 10 * 60_000;

export interface GitOptions {
  readonly cwd?: string;
  readonly gitDir?: string;
  readonly workTree?: string;
  readonly indexFile?: string;
  readonly input?: Uint8Array | string;
  /** Protocols that git may speak, e.g. `https`; without it, none. */
  readonly protocol?: 'https' | 'ssh';
  readonly env?: Readonly<Record<string, string>>;
  readonly timeoutMs?: number;
}

const settings = [
  'core.hooksPath=/dev/null',
  'core.fsmonitor=false',
  'core.untrackedCache=false',
  'core.autocrlf=false',
  'core.fileMode=true',
  'core.symlinks=true',
  'core.excludesFile=/dev/null',
  'core.attributesFile=/dev/null',
  'core.commitGraph=false',
  'core.quotePath=false',
  'credential.helper=',
  'gc.auto=0',
  'maintenance.auto=false',
  'http.followRedirects=false',
  'protocol.allow=never',
  'pack.threads=1',
  'index.threads=1',
  // Repositories of other users are read, never run: everything of theirs that git could execute is off.
  'safe.directory=*',
];

/** What a child may know of our environment: how to find programs, and how to reach hosts. */
const passed = [
  'PATH',
  'TMPDIR',
  'SSH_AUTH_SOCK',
  'HTTPS_PROXY',
  'https_proxy',
  'NO_PROXY',
  'no_proxy',
  'GIT_SSL_CAINFO',
];

function environment(options: GitOptions): NodeJS.ProcessEnv {
  const env: NodeJS.ProcessEnv = {
    HOME: '/nonexistent',
    LC_ALL: 'C',
    GIT_CONFIG_NOSYSTEM: '1',
    GIT_CONFIG_GLOBAL: '/dev/null',
    GIT_ATTR_NOSYSTEM: '1',
    GIT_TERMINAL_PROMPT: '0',
    GIT_ASKPASS: 'true',
    GIT_OPTIONAL_LOCKS: '0',
    GIT_NO_REPLACE_OBJECTS: '1',
    GIT_NO_LAZY_FETCH: '1',
    // An empty list allows none; a lazy fetch of a partial clone then fails instead of reaching out.
    GIT_ALLOW_PROTOCOL: options.protocol ?? 'none',
    GIT_SSH_COMMAND: 'ssh -oBatchMode=yes -oStrictHostKeyChecking=yes -oClearAllForwardings=yes',
    ...options.env,
  };
  for (const name of passed) if (process.env[name] !== undefined) env[name] = process.env[name];
  if (options.gitDir !== undefined) env['GIT_DIR'] = options.gitDir;
  if (options.workTree !== undefined) env['GIT_WORK_TREE'] = options.workTree;
  if (options.indexFile !== undefined) env['GIT_INDEX_FILE'] = options.indexFile;
  return env;
}

export interface GitResult {
  readonly code: number;
  readonly stdout: Buffer;
  /** Trimmed, at most 2000 characters. It may quote addresses and names: show it only where those may be shown. */
  readonly stderr: string;
}

/** Runs to its end, whatever its exit code. @throws a refusal without git, after its time, or of too much output. */
export async function git(args: readonly string[], options: GitOptions = {}): Promise<GitResult> {
  const child = start(args, options);
  const chunks: Buffer[] = [];
  let size = 0;
  child.stdout!.on('data', (chunk: Buffer) => {
    size += chunk.length;
    if (size > OUTPUT_BYTES_MAX) child.kill('SIGKILL');
    else chunks.push(chunk);
  });
  const { code, stderr } = await ended(child, options);
  if (size > OUTPUT_BYTES_MAX) refuse('WorkspaceTooLarge', 'the workspace has too many files');
  return { code, stdout: Buffer.concat(chunks), stderr };
}

/** Streams what git prints into a new file. */
export async function gitToFile(
  args: readonly string[],
  file: string,
  options: GitOptions,
): Promise<{ readonly code: number; readonly stderr: string; readonly sha256: string; readonly size: number }> {
  const child = start(args, options);
  const hash = sha256Stream();
  let size = 0;
  child.stdout!.on('data', (chunk: Buffer) => {
    hash.update(chunk);
    size += chunk.length;
  });
  const written = pipeline(child.stdout!, createWriteStream(file, { flags: 'wx', mode: 0o600 }));
  const [result] = await Promise.all([ended(child, options), written]);
  return { ...result, sha256: hash.digest('hex'), size };
}

function start(args: readonly string[], options: GitOptions): ChildProcess {
  const child = spawn('git', [...settings.flatMap((setting) => ['-c', setting]), ...args], {
    cwd: options.cwd,
    env: environment(options),
    stdio: ['pipe', 'pipe', 'pipe'],
    // A group of its own: a timeout also ends what git started.
    detached: true,
  });
  // git may end without reading everything; how it ended says why.
  child.stdin!.on('error', () => undefined);
  child.stdin!.end(options.input ?? '');
  return child;
}

async function ended(
  child: ChildProcess,
  options: GitOptions,
): Promise<{ readonly code: number; readonly stderr: string }> {
  let stderr = '';
  child.stderr!.setEncoding('utf8').on('data', (text: string) => {
    if (stderr.length < 2000) stderr += text;
  });
  const timeoutMs = options.timeoutMs ?? LOCAL_TIMEOUT_MS;
  let timedOut = false;
  const timer = setTimeout(() => {
    timedOut = true;
    if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
  }, timeoutMs);
  try {
    const code = await new Promise<number>((resolve, reject) => {
      child.once('error', (cause) => {
        const hint = 'Install git 2.32 or later.';
        reject(
          new PangolinError('INVALID', 'git cannot be started', { cause, hint, details: { refusal: 'GitMissing' } }),
        );
      });
      child.once('close', (exit) => resolve(exit ?? 128));
    });
    if (timedOut) refuse('GitTimedOut', `git took longer than ${timeoutMs / 1000} seconds`, 'Submit the run again.');
    return { code, stderr: stderr.trim().slice(0, 2000) };
  } finally {
    clearTimeout(timer);
  }
}
