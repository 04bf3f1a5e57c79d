/**
 * Which new files stay out of the patch: those that the .gitignore files of the *baseline* ignore. What a block writes
 * into a .gitignore hides nothing. Git itself applies the rules, on a directory that holds the baseline's .gitignore
 * files and nothing of the workspace but the names of directories, because `name/` patterns match directories only.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { endOf, git, startGit } from '../git.ts';
import { inRepo, type Places } from '../places.ts';
import type { BytePath } from './safe-fs.ts';
import type { TreeEntries } from './scan.ts';

export interface IgnoreRules {
  /** Directories end with `/`. A parent must have been asked about before. */
  ignored(paths: readonly BytePath[]): Promise<ReadonlySet<BytePath>>;
  close(): Promise<void>;
}

const NONE: IgnoreRules = { ignored: async () => new Set(), close: async () => undefined };

export async function ignoreRules(places: Places, base: TreeEntries, signal: AbortSignal): Promise<IgnoreRules> {
  const sources = [...base].filter(([path, { mode }]) => isIgnoreFile(path) && mode.startsWith('100'));
  if (sources.length === 0) return NONE;
  const shadow = join(places.private, 'ignore');
  await mkdir(shadow, { recursive: true });
  for (const [path, { oid }] of sources) {
    const target = under(shadow, path);
    mkdirSync(parentOf(target), { recursive: true });
    writeFileSync(target, await git(['cat-file', 'blob', oid], inRepo(places, signal)));
  }
  return checkIgnore(places, shadow, signal);
}

/** One `git check-ignore` answers all questions; it flushes after each. */
function checkIgnore(places: Places, shadow: string, signal: AbortSignal): IgnoreRules {
  const env = { GIT_WORK_TREE: shadow, GIT_INDEX_FILE: join(places.private, 'no-index') };
  const child = startGit(['-c', 'core.bare=false', 'check-ignore', '--no-index', '-z', '-v', '-n', '--stdin'], {
    ...inRepo(places, signal, env),
    cwd: shadow,
  });
  // 1: none of the paths is ignored.
  const ended = endOf(child, 'check-ignore', [0, 1]);
  child.stdin.on('error', () => undefined);
  const answers = fieldsOf(child.stdout);
  return {
    async ignored(paths) {
      for (const path of paths) if (path.endsWith('/')) mkdirSync(under(shadow, path), { recursive: true });
      // `./` keeps a leading `:` from being read as pathspec magic.
      const question = paths.map((path) => `./${path.replace(/\/$/, '')}\0`).join('');
      child.stdin.write(Buffer.from(question, 'latin1'));
      const found = new Set<BytePath>();
      for (const path of paths) {
        // source, line, pattern, path; the first three are empty when nothing matches.
        const answer = [await answers.next(), await answers.next(), await answers.next(), await answers.next()];
        if (answer.some(({ done }) => done === true)) await ended.then(() => Promise.reject(new Error('no answer')));
        const pattern = answer[2]!.value as string;
        if (pattern !== '' && !pattern.startsWith('!')) found.add(path);
      }
      return found;
    },
    async close() {
      child.stdin.end();
      await ended;
    },
  };
}

async function* fieldsOf(stream: AsyncIterable<Buffer>): AsyncGenerator<string, undefined> {
  let rest = '';
  for await (const chunk of stream) {
    const fields = (rest + chunk.toString('latin1')).split('\0');
    rest = fields.pop() ?? '';
    yield* fields;
  }
  return undefined;
}

function isIgnoreFile(path: BytePath): boolean {
  return path === '.gitignore' || path.endsWith('/.gitignore');
}

function under(dir: string, path: BytePath): Buffer {
  return Buffer.concat([Buffer.from(`${dir}/`), Buffer.from(path, 'latin1')]);
}

function parentOf(path: Buffer): Buffer {
  return path.subarray(0, path.lastIndexOf('/'));
}
