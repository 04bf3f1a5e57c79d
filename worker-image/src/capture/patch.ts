/** The patch: the workspace, byte for byte, against its baseline. `git apply` on a clean checkout gives it back. */
import { PassThrough } from 'node:stream';
import { PATCH_BYTES_MAX, PATCH_NEW_FILES_MAX } from '@pangolin/contracts/limits';
import { attemptFile } from '@pangolin/contracts/layout';
import type { Output } from '@pangolin/contracts/output';
import { copyWhole } from '../attempt-dir.ts';
import { AttemptFailure } from '../failure.ts';
import { endOf, startGit } from '../git.ts';
import { inRepo } from '../places.ts';
import type { Secrets } from '../secrets.ts';
import type { Staged } from '../stage/stage.ts';
import { changesOf, type Change, readTree, writeTree } from './baseline.ts';
import { ignoreRules } from './ignore.ts';
import { RESERVED, scanWorkspace } from './scan.ts';

export type PatchProduct = NonNullable<Output['products']['patch']>;

/**
 * Full ids and binary deltas so that it applies anywhere; no renames, so that every changed file shows; no driver,
 * attribute or configuration of anybody.
 */
const DIFF = ['diff-tree', '-r', '-p', '--binary', '--full-index', '--no-renames', '--no-ext-diff', '--no-textconv'];
const FORMAT = ['--no-color', '--src-prefix=a/', '--dst-prefix=b/', '--submodule=short', '--ignore-submodules=none'];

/**
 * Writes `patch` into the attempt directory. The workspace's own `.git`, and `.pangolin/`, `inputs/` and `outputs/` at
 * its top, are not looked at; the files of capabilities are left out. Directories without files are not in a patch.
 * @throws AttemptFailure OutputTooLarge, or anything else that a step throws
 */
export async function capturePatch(
  { places, baseTree, equipment }: Staged,
  outDir: string,
  secrets: Secrets,
  signal: AbortSignal,
  note: (line: string) => void,
): Promise<PatchProduct> {
  const base = await readTree(places, baseTree, signal);
  const ignore = await ignoreRules(places, base, signal);
  const scan = await scanWorkspace(places.workspace, {
    base,
    hash: baseTree.length === 64 ? 'sha256' : 'sha1',
    ignored: (paths) => ignore.ignored(paths),
    newBytesMax: PATCH_BYTES_MAX,
    newFilesMax: PATCH_NEW_FILES_MAX,
    ownerUid: places.user?.uid,
    signal,
  });
  await ignore.close();
  for (const skipped of scan.skipped) note(`not in the patch: ${skipped}`);
  // Files of capabilities are not the workspace's, whatever the blocks did to them.
  const changes = changesOf(base, scan, RESERVED).filter(({ path }) => !equipment.overlaid.has(path));
  const bytes = changes.reduce((sum, { now }) => sum + (now?.size ?? 0), 0);
  if (bytes > PATCH_BYTES_MAX) {
    throw new AttemptFailure('OutputTooLarge', `the changed files hold ${bytes} bytes, more than ${PATCH_BYTES_MAX}`);
  }
  const tree = changes.length === 0 ? baseTree : await writeTree(places, baseTree, changes, signal, secrets);
  const child = startGit([...DIFF, ...FORMAT, baseTree, tree], inRepo(places, signal));
  const ended = endOf(child, 'diff-tree');
  child.stdin.end();
  // Piped at once: what nobody reads when a process ends is thrown away.
  const stdout = child.stdout.pipe(new PassThrough());
  try {
    const chunks = quoteHeaders(thenEnded(stdout, ended), ambiguousHeaders(changes));
    const checked = secrets.scanned('the patch', chunks);
    const { sha256, size } = await copyWhole(outDir, attemptFile.patch, checked, PATCH_BYTES_MAX);
    return { sha256, size, files: changes.length, baseTree };
  } catch (error) {
    child.kill('SIGKILL');
    throw error;
  }
}

/** A patch of a git that failed is no patch: it must not get its name. */
async function* thenEnded(chunks: AsyncIterable<Buffer>, ended: Promise<void>): AsyncGenerator<Buffer> {
  yield* chunks;
  await ended;
}

/**
 * `diff --git a/x /y b/x /y`: git apply takes a space before a slash for the end of the name, and where no `---` line
 * follows (an empty file, a mode, binary content) it refuses the patch. In quotes it does not.
 */
function ambiguousHeaders(changes: readonly Change[]): ReadonlyMap<string, string> {
  const paths = changes.flatMap(({ path }) => (path.includes(' /') && !needsGitQuotes(path) ? [path] : []));
  return new Map(paths.map((path) => [`diff --git a/${path} b/${path}`, `diff --git "a/${path}" "b/${path}"`]));
}

/** Git puts these in quotes of its own accord. */
function needsGitQuotes(path: string): boolean {
  return /[^ !#-[\]-~]/.test(path);
}

/** No line of a patch but a header starts with `diff --git `: content is indented, and base 85 has no space. */
async function* quoteHeaders(chunks: AsyncIterable<Buffer>, headers: ReadonlyMap<string, string>) {
  if (headers.size === 0) return yield* chunks;
  let rest = '';
  for await (const chunk of chunks) {
    const text = rest + chunk.toString('latin1');
    const end = text.lastIndexOf('\n') + 1;
    rest = text.slice(end);
    const lines = text.slice(0, end).replace(/^diff --git [^\n]*/gm, (line) => headers.get(line) ?? line);
    yield Buffer.from(lines, 'latin1');
  }
  yield Buffer.from(rest, 'latin1');
  return undefined;
}
