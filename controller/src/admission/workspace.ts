/**
 * Pins a workspace to bytes in cas/: a packfile with one commit, its trees and blobs, and no history.
 *
 * - `git`: the named commit, ref or HEAD of a repository of this machine or of an allowed host. Only what is committed:
 *   uncommitted changes of a local checkout are NOT part of it. Submodules stay as empty directories.
 * - `path`: a plain folder as it is now, by the rules of folder-commit.ts. The way to take uncommitted changes along.
 * - `ref`: such a pack that is in cas/ already.
 */
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { isSha256, parseDigest, sha256Stream, type Sha256 } from '@pangolin/contracts/digest';
import { isPangolinError } from '@pangolin/contracts/errors';
import { casKey } from '@pangolin/contracts/layout';
import type { PinnedWorkspace, Workspace } from '@pangolin/contracts/workspace';
import type { ObjectStore } from '@pangolin/storage/object-store';
import { fetchCommit, findLocalCommit, type Found } from './git-commits.ts';
import { inspectPack, packCommit } from './git-pack.ts';
import { readGitUrl, readLocalPath, type SourceRules } from './git-source.ts';
import { commitFolder } from './folder-commit.ts';
import { refusalOf, refuse, type Refusal } from './refusal.ts';

export interface WorkspaceContext extends SourceRules {
  readonly store: ObjectStore;
  /** Ours alone: scratch space, fetched repositories, and which pack a commit became. Made when missing. */
  readonly gitCacheDir: string;
}

export type PackedWorkspace =
  { readonly ok: true; readonly workspace: PinnedWorkspace } | { readonly ok: false; readonly refusal: Refusal };

/** Scratch of a controller that died is removed after this. */
const SCRATCH_MAX_AGE_MS = 24 * 60 * 60_000;

/** Repeatable: the same files or commit give the same pin. @throws PangolinError UNAVAILABLE when the store does not answer. */
export async function packWorkspace(workspace: Workspace, context: WorkspaceContext): Promise<PackedWorkspace> {
  try {
    return { ok: true, workspace: await withScratch(context, (scratch) => pin(workspace, context, scratch)) };
  } catch (error) {
    const refusal = refusalOf(error);
    if (refusal) return { ok: false, refusal };
    throw error;
  }
}

async function pin(workspace: Workspace, context: WorkspaceContext, scratch: string): Promise<PinnedWorkspace> {
  if ('ref' in workspace) return pinRef(workspace.ref, context, scratch);
  if ('path' in workspace) {
    const found = await commitFolder(readLocalPath(workspace.path, context), scratch);
    return { ...(await pinCommit(found, context, scratch)), url: workspace.path };
  }
  const { url, commit, ref } = workspace.git;
  const source = readGitUrl(url, context);
  const known = source.kind === 'remote' && commit !== undefined ? await recall(context, commit) : undefined;
  if (known) return { ...known, url };
  const wanted = { commit, ref };
  const found =
    source.kind === 'local'
      ? await findLocalCommit(source.path, wanted)
      : await fetchCommit(source, wanted, join(context.gitCacheDir, 'repos'));
  return { ...(await pinCommit(found, context, scratch)), url };
}

async function pinCommit(found: Found, context: WorkspaceContext, scratch: string): Promise<PinnedWorkspace> {
  const known = await recall(context, found.commit);
  if (known) return known;
  const pack = await packCommit(found.objects, found.commit, scratch);
  try {
    await context.store.put(casKey(pack.sha256), createReadStream(pack.file), { ifAbsent: true, sha256: pack.sha256 });
  } catch (error) {
    if (!isPangolinError(error, 'PRECONDITION')) throw error;
  }
  const pinned = { kind: 'git', commit: pack.commit, sha256: pack.sha256, size: pack.size } as const;
  await remember(context, pack.commit, pinned);
  return pinned;
}

async function pinRef(ref: string, context: WorkspaceContext, scratch: string): Promise<PinnedWorkspace> {
  const digest = parseDigest(ref);
  if (digest === undefined)
    return refuse('WorkspaceNotFound', 'the workspace is no digest', 'Write sha256:<64 hex digits>.');
  const known = await recall(context, `sha256-${digest}`);
  if (known) return known;
  const info = await context.store.head(casKey(digest));
  if (!info) refuse('WorkspaceNotFound', `no workspace ${ref} is in the storage`, 'Pack it first.');
  const file = join(scratch, 'workspace.pack');
  const hash = sha256Stream();
  const stream = await context.store.getStream(casKey(digest));
  stream.on('data', (chunk: Buffer) => hash.update(chunk));
  await pipeline(stream, createWriteStream(file, { flags: 'wx', mode: 0o600 }));
  if (hash.digest('hex') !== digest) refuse('WorkspaceDamaged', `the storage holds other bytes under ${ref}`);
  const commit = (await inspectPack(file, scratch, 'sha1')) ?? (await inspectPack(file, scratch, 'sha256'));
  const hint = 'It must hold one commit, all its trees and blobs, and nothing else.';
  if (commit === undefined) return refuse('WorkspaceInvalid', `${ref} is not a workspace pack`, hint);
  const pinned = { kind: 'git', commit, sha256: digest, size: info!.size } as const;
  await remember(context, `sha256-${digest}`, pinned);
  return pinned;
}

/* ---- what a commit became, so that the next run of the same commit packs nothing ---- */

function memoPath(context: WorkspaceContext, key: string): string {
  return join(context.gitCacheDir, 'packs', `${key}.json`);
}

/** Only while the pack is still in the store. */
async function recall(context: WorkspaceContext, key: string): Promise<PinnedWorkspace | undefined> {
  let memo: { readonly commit?: unknown; readonly sha256?: unknown };
  try {
    memo = JSON.parse(await readFile(memoPath(context, key), 'utf8')) as typeof memo;
  } catch {
    // Absent, or half written when a machine lost its power: the pack is made again.
    return undefined;
  }
  if (!isSha256(memo.sha256) || typeof memo.commit !== 'string') return undefined;
  const info = await context.store.head(casKey(memo.sha256));
  return info && { kind: 'git', commit: memo.commit, sha256: memo.sha256, size: info.size };
}

async function remember(
  context: WorkspaceContext,
  key: string,
  pinned: { commit: string; sha256: Sha256 },
): Promise<void> {
  const path = memoPath(context, key);
  await mkdir(join(context.gitCacheDir, 'packs'), { recursive: true });
  const whole = `${path}.${process.pid}.${Math.random().toString(36).slice(2)}`;
  await writeFile(whole, JSON.stringify({ commit: pinned.commit, sha256: pinned.sha256 }));
  await rename(whole, path);
}

/* ---- scratch ---- */

const swept = new Set<string>();

async function withScratch<T>(context: WorkspaceContext, use: (scratch: string) => Promise<T>): Promise<T> {
  const parent = join(context.gitCacheDir, 'tmp');
  await mkdir(parent, { recursive: true, mode: 0o700 });
  if (!swept.has(parent)) {
    swept.add(parent);
    await sweep(parent);
  }
  const scratch = await mkdtemp(join(parent, 'pack-'));
  try {
    return await use(scratch);
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

async function sweep(parent: string): Promise<void> {
  for (const name of await readdir(parent)) {
    const path = join(parent, name);
    const age = Date.now() - ((await stat(path).catch(() => undefined))?.mtimeMs ?? Date.now());
    if (age > SCRATCH_MAX_AGE_MS) await rm(path, { recursive: true, force: true });
  }
}
