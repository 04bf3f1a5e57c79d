/**
 * One commit as one packfile: that commit without its history, its trees and its blobs. Packed in a bare directory of
 * our own that merely borrows the objects of the source, so the source's configuration is never read, and without
 * deltas or reuse, so the bytes depend on the commit and the git version alone.
 */
import { mkdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { git, gitToFile } from './git.ts';
import { refuse } from './refusal.ts';

export type ObjectFormat = 'sha1' | 'sha256';

/** A bare repository without refs, hooks or any setting but its format. */
export async function bareRepository(dir: string, format: ObjectFormat): Promise<string> {
  await mkdir(join(dir, 'objects', 'info'), { recursive: true, mode: 0o700 });
  await mkdir(join(dir, 'objects', 'pack'), { recursive: true });
  await mkdir(join(dir, 'refs'), { recursive: true });
  const extra = format === 'sha256' ? '[extensions]\n\tobjectFormat = sha256\n' : '';
  const version = format === 'sha256' ? 1 : 0;
  await writeFile(join(dir, 'config'), `[core]\n\trepositoryformatversion = ${version}\n\tbare = true\n${extra}`);
  await writeFile(join(dir, 'HEAD'), 'ref: refs/heads/none\n');
  return dir;
}

export function formatOfCommit(commit: string): ObjectFormat {
  return commit.length === 64 ? 'sha256' : 'sha1';
}

export interface Pack {
  readonly file: string;
  readonly commit: string;
  readonly sha256: string;
  readonly size: number;
}

/**
 * Packs `commit` of the object directory `objects` into a file in `dir`, and checks the result by reading it back.
 * @throws a refusal when objects are missing or damaged.
 */
export async function packCommit(objects: string, commit: string, dir: string): Promise<Pack> {
  const gitDir = await bareRepository(join(dir, 'pack.git'), formatOfCommit(commit));
  await writeFile(join(gitDir, 'objects', 'info', 'alternates'), `${objects}\n`);
  const list = await git(['rev-list', '--objects', '--no-walk', commit], { gitDir });
  if (list.code !== 0) {
    const hint = 'It may be a partial clone or damaged: run `git fsck` there, or use a full clone.';
    refuse('WorkspaceIncomplete', `the repository lacks objects of commit ${commit.slice(0, 12)}`, hint);
  }
  const file = join(dir, 'workspace.pack');
  const args = [
    'pack-objects',
    '--stdout',
    '--quiet',
    '--window=0',
    '--no-reuse-object',
    '--no-reuse-delta',
    '--threads=1',
  ];
  const packed = await gitToFile(args, file, { gitDir, input: list.stdout });
  if (packed.code !== 0)
    refuse('WorkspaceDamaged', `commit ${commit.slice(0, 12)} cannot be packed: its objects are damaged`);
  const inspected = await inspectPack(file, dir, formatOfCommit(commit));
  if (inspected !== commit) refuse('WorkspaceDamaged', `commit ${commit.slice(0, 12)} is damaged in its repository`);
  return { file, commit, sha256: packed.sha256, size: packed.size };
}

/**
 * The one commit of a pack that holds that commit, all its trees and blobs and nothing else; undefined for any other
 * file. Every object is read and named by its own bytes. The file stays where it is.
 */
export async function inspectPack(file: string, dir: string, format: ObjectFormat): Promise<string | undefined> {
  const gitDir = await bareRepository(join(dir, `inspect-${format}.git`), format);
  const inside = join(gitDir, 'objects', 'pack', 'pack-workspace.pack');
  await rename(file, inside);
  try {
    const indexed = await git(['index-pack', '--threads=1', inside], { gitDir });
    if (indexed.code !== 0) return undefined;
    const check = ['cat-file', '--batch-all-objects', '--unordered', '--batch-check=%(objecttype) %(objectname)'];
    const objects = lines((await git(check, { gitDir })).stdout);
    const commits = objects.filter((line) => line.startsWith('commit '));
    const commit = commits.length === 1 ? commits[0]!.slice(7) : undefined;
    if (commit === undefined) return undefined;
    const reached = await git(['rev-list', '--objects', '--no-walk', commit], { gitDir });
    return reached.code === 0 && lines(reached.stdout).length === objects.length ? commit : undefined;
  } finally {
    await rename(inside, file);
  }
}

/** Paths in the output may hold anything but a line end; only the number of lines and hex names are used. */
function lines(output: Buffer): string[] {
  return output.toString('latin1').split('\n').filter(Boolean);
}
