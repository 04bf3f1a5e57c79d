/**
 * The workspace from a pack that holds one commit: checked out as the raw bytes of its blobs, with a real `.git` for
 * the blocks, and beside it the baseline repository, which only the runner can touch.
 */
import { constants } from 'node:fs';
import { chown, copyFile, mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { PinnedWorkspace } from '@pangolin/contracts/workspace';
import { git, INERT_ATTRIBUTES, type GitOptions } from '../git.ts';
import type { BlockUser } from '../options.ts';
import { inRepo, type Places } from '../places.ts';

/** Kept out of the blocks' own `git status`, as they are out of the patch. */
const EXCLUDE = '/.pangolin/\n/inputs/\n/outputs/\n';

/** The empty baseline repository. */
export async function initRepo(places: Places, commit: string | undefined, signal: AbortSignal): Promise<void> {
  const options = { ...inRepo(places, signal), env: {} };
  await git(['init', '-q', '--bare', '--template=', objectFormat(commit), places.repo], options);
  await mkdir(join(places.repo, 'info'), { recursive: true });
  await writeFile(join(places.repo, 'info', 'attributes'), INERT_ATTRIBUTES);
}

/** Where the pack of the workspace must lie before `stageCommit`. */
export function packPath(places: Places, workspace: PinnedWorkspace): string {
  return join(places.repo, 'objects', 'pack', `pack-${workspace.sha256.slice(0, 40)}.pack`);
}

/** @returns the tree of the commit: the baseline. */
export async function stageCommit(places: Places, workspace: PinnedWorkspace, signal: AbortSignal): Promise<string> {
  const pack = packPath(places, workspace);
  const index = pack.replace(/pack$/, 'idx');
  const repo = inRepo(places, signal);
  await git(['index-pack', '-o', index, pack], repo);
  const tree = (await git(['rev-parse', '--verify', '--quiet', `${workspace.commit}^{tree}`], repo)).toString().trim();
  await checkOut(places, workspace.commit, [pack, index], signal);
  return tree;
}

/** Git runs as the block user here, so that everything it makes belongs to that user and git trusts it later. */
async function checkOut(places: Places, commit: string, pack: readonly string[], signal: AbortSignal): Promise<void> {
  const { workspace, user } = places;
  const options: GitOptions = { cwd: workspace, path: places.path, user, signal };
  const dotGit = join(workspace, '.git');
  await git(['init', '-q', '-b', 'main', '--template=', objectFormat(commit)], options);
  await mkdir(join(dotGit, 'objects', 'pack'), { recursive: true });
  await mkdir(join(dotGit, 'info'));
  await own(join(dotGit, 'info'), user);
  for (const file of pack) {
    const target = join(dotGit, 'objects', 'pack', file.slice(file.lastIndexOf('/') + 1));
    await copyFile(file, target, constants.COPYFILE_FICLONE);
    await own(target, user);
  }
  const attributes = join(dotGit, 'info', 'attributes');
  await give(join(dotGit, 'shallow'), `${commit}\n`, user);
  await give(join(dotGit, 'info', 'exclude'), EXCLUDE, user);
  await give(attributes, INERT_ATTRIBUTES, user);
  await git(['update-ref', 'refs/heads/main', commit], options);
  await git(['reset', '--hard', '-q'], options);
  await rm(attributes);
}

/** A new file of the block user. */
export async function give(path: string, bytes: string | Uint8Array, user: BlockUser | undefined): Promise<void> {
  await writeFile(path, bytes, { flag: 'wx', mode: 0o644 });
  await own(path, user);
}

export async function own(path: string, user: BlockUser | undefined): Promise<void> {
  if (user !== undefined) await chown(path, user.uid, user.gid);
}

/** Git names commits by SHA-1 (40 digits) or by SHA-256 (64). */
function objectFormat(commit: string | undefined): string {
  return `--object-format=${commit?.length === 64 ? 'sha256' : 'sha1'}`;
}
