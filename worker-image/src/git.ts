/** The git command, deaf to every configuration but what is given here. */
import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import type { BlockUser } from './options.ts';

export interface GitOptions {
  readonly cwd: string;
  readonly path: string;
  /** Added to the neutral environment: GIT_DIR, GIT_INDEX_FILE, GIT_WORK_TREE. */
  readonly env?: Readonly<Record<string, string>>;
  readonly user?: BlockUser | undefined;
  readonly signal?: AbortSignal;
}

/** Standard output that is collected may be this long: the names of a tree of some million files. */
const STDOUT_BYTES_MAX = 2 ** 30;
const STDERR_BYTES_MAX = 4096;

/** No filter, hook, monitor or attribute of anybody; checked-out bytes are the bytes of the blobs. */
const NEUTRAL = [
  ['core.hooksPath', '/dev/null'],
  ['core.fsmonitor', 'false'],
  ['core.attributesFile', '/dev/null'],
  ['core.excludesFile', '/dev/null'],
  ['core.autocrlf', 'false'],
  ['core.symlinks', 'true'],
  ['core.fileMode', 'true'],
  ['core.commitGraph', 'false'],
  ['gc.auto', '0'],
  ['maintenance.auto', 'false'],
  ['submodule.recurse', 'false'],
  ['protocol.allow', 'never'],
  ['fastimport.unpackLimit', '1'],
] as const;
/** For `info/attributes`, which wins over every .gitattributes of a tree. */
export const INERT_ATTRIBUTES =
  '* -text !eol -filter -ident !working-tree-encoding !diff !merge !conflict-marker-size\n';

export function startGit(args: readonly string[], options: GitOptions): ChildProcessWithoutNullStreams {
  const config = NEUTRAL.flatMap(([key, value]) => ['-c', `${key}=${value}`]);
  return spawn('git', [...config, ...args], {
    cwd: options.cwd,
    env: {
      PATH: options.path,
      LC_ALL: 'C',
      HOME: '/nonexistent',
      GIT_CONFIG_NOSYSTEM: '1',
      GIT_CONFIG_GLOBAL: '/dev/null',
      GIT_ATTR_NOSYSTEM: '1',
      GIT_NO_REPLACE_OBJECTS: '1',
      GIT_NO_LAZY_FETCH: '1',
      GIT_TERMINAL_PROMPT: '0',
      ...options.env,
    },
    ...(options.signal === undefined ? {} : { signal: options.signal, killSignal: 'SIGKILL' as const }),
    ...options.user,
  });
}

/** Runs git to its end. @returns standard output. @throws Error with what git said. */
export async function git(args: readonly string[], options: GitOptions, input: Uint8Array = Buffer.alloc(0)) {
  const child = startGit(args, options);
  const ended = endOf(child, args[0] ?? '');
  child.stdin.on('error', () => undefined);
  child.stdin.end(input);
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of child.stdout as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > STDOUT_BYTES_MAX) child.kill('SIGKILL');
    else chunks.push(chunk);
  }
  await ended;
  return Buffer.concat(chunks);
}

/** Resolves when the child exits with one of `good`, rejects with its last words otherwise. */
export function endOf(
  child: ChildProcessWithoutNullStreams,
  name: string,
  good: readonly number[] = [0],
): Promise<void> {
  let words = '';
  child.stderr.on('data', (chunk: Buffer) => {
    words = (words + chunk.toString('utf8')).slice(-STDERR_BYTES_MAX);
  });
  const ended = new Promise<void>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) =>
      code !== null && good.includes(code)
        ? resolve()
        : reject(new Error(`git ${name} ended with ${signal ?? code}: ${words.trim()}`)),
    );
  });
  ended.catch(() => undefined);
  return ended;
}
