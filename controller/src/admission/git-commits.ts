/** Which commit a workspace means: in a repository of this machine, or of a remote one after fetching it. */
import { mkdir, realpath, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { sha256 } from '@pangolin/contracts/digest';
import { show } from '@pangolin/contracts/formats';
import { git } from './git.ts';
import { bareRepository, formatOfCommit } from './git-pack.ts';
import { readRefName, refCandidates, type GitSource } from './git-source.ts';
import { refuse } from './refusal.ts';

const REMOTE_TIMEOUT_MS = 5 * 60_000;

export interface Wanted {
  readonly commit?: string | undefined;
  readonly ref?: string | undefined;
}

export interface Found {
  readonly commit: string;
  /** Absolute path of the object directory that holds it. */
  readonly objects: string;
}

/** @throws a refusal. */
export async function folderAt(path: string): Promise<string> {
  const place = await realpath(path).catch(() => undefined);
  const isFolder = place !== undefined && (await stat(place)).isDirectory();
  if (isFolder) return place;
  const hint =
    'A relative path starts at the file for `pangolin orch submit`, and where the controller was started for a dropped file.';
  const message = place === undefined ? `there is no folder ${show(path)}` : `${show(path)} is a file and no folder`;
  return refuse('WorkspaceNotFound', message, hint);
}

/** HEAD without `commit` or `ref`. What is not committed is not looked at. @throws a refusal. */
export async function findLocalCommit(path: string, wanted: Wanted): Promise<Found> {
  const place = await folderAt(path);
  const gitDir = await commonGitDir(place, path);
  const objects = join(gitDir, 'objects');
  if (objects.includes('\n')) refuse('UrlRefused', 'the path of the repository holds a line end');
  if (wanted.commit !== undefined) return { commit: await fullCommit(gitDir, wanted.commit), objects };
  const ref = wanted.ref === undefined ? undefined : readRefName(wanted.ref);
  for (const group of refCandidates(ref)) {
    const hits: string[] = [];
    for (const name of group) {
      // A worktree has a HEAD of its own.
      const where = name === 'HEAD' ? { cwd: place, env: ceiling(place) } : { gitDir };
      const { code, stdout } = await git(['rev-parse', '--verify', '--quiet', `${name}^{commit}`], where);
      if (code === 0) hits.push(stdout.toString().trim());
    }
    if (new Set(hits).size > 1) refuseAmbiguous(ref!, group);
    if (hits[0] !== undefined) return { commit: hits[0], objects };
  }
  if (ref === undefined)
    return refuse('RefNotFound', `${show(path)} has no commit yet`, 'Commit something, or use `path`.');
  return refuse(
    'RefNotFound',
    `${show(path)} has no branch or tag ${show(ref)}`,
    'Fetch it there first, or check its name.',
  );
}

/** The repository must be at the path itself: a folder inside of one is not taken for the whole. */
function ceiling(place: string): Readonly<Record<string, string>> {
  return { GIT_CEILING_DIRECTORIES: dirname(place) };
}

async function commonGitDir(place: string, path: string): Promise<string> {
  const args = ['rev-parse', '--path-format=absolute', '--git-common-dir'];
  const { code, stdout } = await git(args, { cwd: place, env: ceiling(place) });
  if (code === 0) return stdout.toString().replace(/\n$/, '');
  return refuse(
    'NotARepository',
    `${show(path)} is not a git repository`,
    'Use `path` instead of `git` for a plain folder.',
  );
}

async function fullCommit(gitDir: string, hex: string): Promise<string> {
  // Not rev-parse of the bare name: a branch may be called like the beginning of a commit.
  const named = await git(['rev-parse', `--disambiguate=${hex}`], { gitDir });
  const check = await git(['cat-file', '--batch-check=%(objecttype) %(objectname)'], { gitDir, input: named.stdout });
  const commits = check.stdout
    .toString()
    .split('\n')
    .flatMap((line) => /^commit ([0-9a-f]+)$/.exec(line)?.[1] ?? []);
  if (commits.length > 1) refuse('CommitAmbiguous', `${commits.length} commits start with ${hex}`, 'Write it in full.');
  const hint = 'A shallow clone has only part of the history; fetch the commit there first.';
  return commits[0] ?? refuse('CommitNotFound', `the repository has no commit ${hex}`, hint);
}

function refuseAmbiguous(ref: string, names: readonly string[]): never {
  refuse('RefAmbiguous', `${show(ref)} is more than one thing`, `Write ${names.join(' or ')}.`);
}

/** One fetch at a time into each directory. */
const fetching = new Map<string, Promise<unknown>>();

/** Fetches one commit, without history, into a bare repository under `cacheDir` that later fetches build on. @throws a refusal. */
export async function fetchCommit(
  source: Extract<GitSource, { kind: 'remote' }>,
  wanted: Wanted,
  cacheDir: string,
): Promise<Found> {
  const { commit } = wanted;
  if (commit !== undefined && commit.length !== 40 && commit.length !== 64) {
    refuse(
      'CommitAmbiguous',
      `the commit ${commit} is shortened`,
      'Of a remote repository write it in full, or use `ref`.',
    );
  }
  const oid = commit ?? (await remoteTip(source, wanted.ref));
  const dir = join(cacheDir, `${sha256(source.url).slice(0, 32)}.git`);
  const before = fetching.get(dir) ?? Promise.resolve();
  const mine = before.catch(() => undefined).then(() => fetchInto(dir, source, oid));
  fetching.set(dir, mine);
  try {
    await mine;
  } finally {
    if (fetching.get(dir) === mine) fetching.delete(dir);
  }
  return { commit: await fullCommit(dir, oid), objects: join(dir, 'objects') };
}

async function fetchInto(dir: string, source: Extract<GitSource, { kind: 'remote' }>, oid: string): Promise<void> {
  await mkdir(dirname(dir), { recursive: true, mode: 0o700 });
  await bareRepository(dir, formatOfCommit(oid));
  const have = await git(['cat-file', '-e', `${oid}^{commit}`], { gitDir: dir });
  if (have.code === 0) return;
  const args = [
    'fetch',
    '--quiet',
    '--depth=1',
    '--no-tags',
    '--no-recurse-submodules',
    '--no-write-fetch-head',
    '--end-of-options',
  ];
  const options = { gitDir: dir, protocol: source.protocol, timeoutMs: REMOTE_TIMEOUT_MS };
  // A ref of its own keeps the commit from being negotiated away by a later fetch.
  const { code } = await git([...args, source.url, `${oid}:refs/pangolin/${oid}`], options);
  if (code === 0) return;
  const hint =
    'The host must answer, the repository be readable without a prompt, and the commit be part of a branch or tag.';
  refuse('FetchFailed', `commit ${oid.slice(0, 12)} cannot be fetched from ${show(source.url)}`, hint);
}

async function remoteTip(source: Extract<GitSource, { kind: 'remote' }>, ref: string | undefined): Promise<string> {
  const name = ref === undefined ? undefined : readRefName(ref);
  const [names] = refCandidates(name);
  const args = [
    'ls-remote',
    '--quiet',
    '--end-of-options',
    source.url,
    ...names!,
    ...names!.map((each) => `${each}^{}`),
  ];
  const { code, stdout } = await git(args, { protocol: source.protocol, timeoutMs: REMOTE_TIMEOUT_MS });
  if (code !== 0) {
    const hint = 'The host must answer and the repository be readable without a prompt.';
    refuse('FetchFailed', `${show(source.url)} does not answer as a repository`, hint);
  }
  const tips = new Map(
    stdout
      .toString()
      .split('\n')
      .map((line) => line.split('\t'))
      .filter((parts): parts is [string, string] => parts.length === 2)
      .map(([oid, at]) => [at, oid]),
  );
  // An annotated tag is listed twice; `^{}` is the commit that it stands for.
  const hits = names!.flatMap((each) => tips.get(`${each}^{}`) ?? tips.get(each) ?? []);
  if (new Set(hits).size > 1) refuseAmbiguous(name!, names!);
  return (
    hits[0] ??
    refuse('RefNotFound', `${show(source.url)} has no branch or tag ${show(name ?? 'HEAD')}`, 'Check its name.')
  );
}
