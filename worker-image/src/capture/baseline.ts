/** Trees in the baseline repository: reading them, and building new ones from what a scan found. */
import { once } from 'node:events';
import { readlink } from 'node:fs/promises';
import { join } from 'node:path';
import { chunksOf } from '../attempt-dir.ts';
import { AttemptFailure } from '../failure.ts';
import { endOf, git, startGit } from '../git.ts';
import { inRepo, type Places } from '../places.ts';
import type { Secrets } from '../secrets.ts';
import { closeDir, openRoot, showPath, withFile, type BytePath, type OpenDir } from './safe-fs.ts';
import { scanWorkspace, type FileMode, type Scan, type TreeEntries, type TreeEntry } from './scan.ts';

export interface Change {
  readonly path: BytePath;
  /** What it is now; undefined when it is gone. */
  readonly now: (TreeEntry & { readonly size: number }) | undefined;
}

/** Every file of a tree. */
export async function readTree(places: Places, tree: string, signal: AbortSignal): Promise<TreeEntries> {
  const listing = await git(['ls-tree', '-r', '-z', '--full-tree', tree], inRepo(places, signal));
  const entries = new Map<BytePath, TreeEntry>();
  // <mode> SP <type> SP <oid> TAB <path> NUL
  for (let at = 0; at < listing.length;) {
    const end = listing.indexOf(0, at);
    const line = listing.toString('latin1', at, end);
    const tab = line.indexOf('\t');
    const [mode, , oid] = line.slice(0, tab).split(' ');
    entries.set(line.slice(tab + 1), { mode: normalMode(mode ?? ''), oid: oid ?? '' });
    at = end + 1;
  }
  return entries;
}

/** Old repositories hold 100664. */
function normalMode(mode: string): FileMode {
  if (mode === '120000' || mode === '160000') return mode;
  return (Number.parseInt(mode, 8) & 0o100) === 0 ? '100644' : '100755';
}

/** Takes the workspace as it is for the baseline, ignored files included: nothing in it can be hidden later. */
export async function importBaseline(places: Places, signal: AbortSignal): Promise<string> {
  const unlimited = { newBytesMax: Infinity, newFilesMax: Infinity };
  const rules = { base: new Map(), hash: 'sha1', ownerUid: places.user?.uid, signal, ...unlimited } as const;
  const scan = await scanWorkspace(places.workspace, { ...rules, ignored: async () => new Set() });
  return writeTree(places, undefined, changesOf(new Map(), scan), signal);
}

/** What differs, in the order of the paths. Reserved names are in no scan, so the baseline's stay as they are. */
export function changesOf(base: TreeEntries, scan: Scan, reserved: ReadonlySet<BytePath> = new Set()): Change[] {
  const gone = [...base.keys()].filter(
    (path) => !scan.entries.has(path) && !reserved.has(path.includes('/') ? path.slice(0, path.indexOf('/')) : path),
  );
  const changed: Change[] = gone.map((path) => ({ path, now: undefined }));
  for (const [path, now] of scan.entries) {
    const before = base.get(path);
    if (before?.oid !== now.oid || before.mode !== now.mode) changed.push({ path, now });
  }
  return changed.sort((a, b) => (a.path < b.path ? -1 : 1));
}

/** Stores the changed contents and the tree that results. @returns its id. @throws AttemptFailure SecretInProduct */
export async function writeTree(
  places: Places,
  base: string | undefined,
  changes: readonly Change[],
  signal: AbortSignal,
  secrets?: Secrets,
): Promise<string> {
  await storeBlobs(places, changes, signal, secrets);
  const repo = inRepo(places, signal, { GIT_INDEX_FILE: join(places.private, 'index') });
  await git(base === undefined ? ['read-tree', '--empty'] : ['read-tree', base], repo);
  // Removals first: a file may have made room for a directory of its name.
  const lines = [
    ...changes.filter(({ now }) => now === undefined).map(({ path }) => `0 ${'0'.repeat(40)}\t${path}\0`),
    ...changes.flatMap(({ path, now }) => (now === undefined ? [] : [`${now.mode} ${now.oid}\t${path}\0`])),
  ];
  await git(['update-index', '-z', '--index-info'], repo, Buffer.from(lines.join(''), 'latin1'));
  const tree = (await git(['write-tree'], repo)).toString().trim();
  const names = ['-r', '-z', '--name-only'];
  const list = base === undefined ? ['ls-tree', ...names, tree] : ['diff-tree', ...names, '--no-renames', base, tree];
  const took = await git(list, repo);
  refuseIgnored(changes, took.toString('latin1').split('\0'));
  return tree;
}

/** Git leaves out, without an error, names that could be taken for a `.git` somewhere (`.GIT`, `git~1`). */
function refuseIgnored(changes: readonly Change[], took: readonly BytePath[]): void {
  const known = new Set(took);
  const ignored = changes.find(({ path }) => !known.has(path));
  if (ignored === undefined) return;
  throw new AttemptFailure(
    'CaptureFailed',
    `git refuses the name ${showPath(ignored.path)}; a patch with it would not apply`,
  );
}

async function storeBlobs(places: Places, changes: readonly Change[], signal: AbortSignal, secrets?: Secrets) {
  for (const { path } of changes) secrets?.refuse('a path of the patch', Buffer.from(path, 'latin1'));
  const wanted = new Map<string, BytePath>();
  for (const { path, now } of changes) if (now !== undefined && now.mode !== '160000') wanted.set(now.oid, path);
  if (wanted.size === 0) return;
  const links = new Set(changes.flatMap(({ path, now }) => (now?.mode === '120000' ? [path] : [])));
  const child = startGit(['fast-import', '--quiet', '--done'], inRepo(places, signal));
  const ended = endOf(child, 'fast-import');
  child.stdin.on('error', () => undefined);
  const put = async (bytes: Uint8Array | string): Promise<void> => {
    if (!child.stdin.write(bytes)) await Promise.race([once(child.stdin, 'drain', { signal }), ended]);
  };
  const root = openRoot(places.workspace);
  try {
    for (const path of wanted.values()) {
      if (links.has(path)) await putLink(places, path, put, secrets);
      else await putFile(root, path, put, secrets);
    }
    await put('done\n');
  } catch (error) {
    child.kill('SIGKILL');
    throw error;
  } finally {
    closeDir(root);
    child.stdin.end();
  }
  await ended;
}

type Put = (bytes: Uint8Array | string) => Promise<void>;

async function putFile(root: OpenDir, path: BytePath, put: Put, secrets?: Secrets): Promise<void> {
  await withFile(root, path, async (fd, { size }) => {
    await put(`blob\ndata ${size}\n`);
    let left = size;
    // The patch has binary content in a form of its own, so it is looked at here.
    const chunks = secrets ? secrets.scanned(showPath(path), chunksOf(fd)) : chunksOf(fd);
    for await (const chunk of chunks) {
      left -= chunk.length;
      if (left < 0) break;
      await put(chunk);
    }
    if (left !== 0) throw new AttemptFailure('CaptureFailed', `${showPath(path)} changed while it was read`);
    await put('\n');
  });
}

/** A link's target is read, never opened. What it replaces meanwhile would have another id, and git would miss that. */
async function putLink({ workspace }: Places, path: BytePath, put: Put, secrets?: Secrets): Promise<void> {
  const full = Buffer.concat([Buffer.from(`${workspace}/`), Buffer.from(path, 'latin1')]);
  const target = await readlink(full, { encoding: 'buffer' });
  secrets?.refuse(showPath(path), target);
  await put(`blob\ndata ${target.length}\n`);
  await put(target);
  await put('\n');
}
