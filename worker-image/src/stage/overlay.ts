/** Lays the files of capabilities over the workspace. No block has run yet; the workspace itself may hold any link. */
import { appendFile, chmod, lstat, mkdir, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { AttemptFailure } from '../failure.ts';
import type { Places } from '../places.ts';
import type { OverlayFile } from './things.ts';
import { own } from './workspace.ts';

/** @throws AttemptFailure StageFailed where a link or a directory is in the way. */
export async function overlay(files: ReadonlyMap<string, OverlayFile>, places: Places): Promise<void> {
  for (const [path, file] of files) await layFile(places.workspace, path, file, places);
  await hideFromGit([...files.keys()], places);
}

/** Under `root`, owned by the block user. A file that is there is replaced; links are never followed. */
export async function layFile(
  root: string,
  path: string,
  { mode, bytes }: OverlayFile,
  { user }: Pick<Places, 'user'>,
): Promise<void> {
  const names = path.split('/');
  for (let depth = 1; depth < names.length; depth++) {
    const dir = join(root, ...names.slice(0, depth));
    const there = await lstat(dir).catch(() => undefined);
    if (there?.isDirectory()) continue;
    if (there !== undefined) throw inTheWay(path, names.slice(0, depth).join('/'));
    await mkdir(dir, { mode: 0o755 });
    await own(dir, user);
  }
  const target = join(root, path);
  const there = await lstat(target).catch(() => undefined);
  if (there !== undefined && !there.isFile()) throw inTheWay(path, path);
  await rm(target, { force: true });
  await writeFile(target, bytes, { flag: 'wx', mode });
  await chmod(target, mode);
  await own(target, user);
}

function inTheWay(path: string, what: string): AttemptFailure {
  return new AttemptFailure('StageFailed', `the capability file ${path} cannot be laid out: ${what} is in the way`);
}

/** A block that adds everything to a commit should not add these. */
async function hideFromGit(paths: readonly string[], { workspace }: Places): Promise<void> {
  const exclude = join(workspace, '.git', 'info', 'exclude');
  if (paths.length === 0 || (await stat(exclude).catch(() => undefined)) === undefined) return;
  const lines = paths.map((path) => `/${path.replace(/[\\*?[\]!# ]/g, '\\$&')}\n`);
  await appendFile(exclude, lines.join(''));
}
