/** The files under outputs/, copied into the attempt directory with their digests. */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import {
  OUTPUT_BYTES_MAX,
  OUTPUT_DEPTH_MAX,
  OUTPUT_FILES_MAX,
  OUTPUT_PATH_BYTES_MAX,
} from '@pangolin/contracts/limits';
import { attemptFile } from '@pangolin/contracts/layout';
import type { ProductRef } from '@pangolin/contracts/output';
import { chunksOf, copyWhole } from '../attempt-dir.ts';
import { AttemptFailure } from '../failure.ts';
import type { Places } from '../places.ts';
import type { Secrets } from '../secrets.ts';
import { closeDir, listDir, openDirAt, openRoot, showPath, withFile, type BytePath, type OpenDir } from './safe-fs.ts';

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * Replaces whatever an earlier capture put there. Links and special files are left out and named by `note`.
 * @returns path relative to outputs/ → its bytes. @throws AttemptFailure OutputTooLarge, SecretInProduct or CaptureFailed
 */
export async function captureOutputs(
  places: Places,
  outDir: string,
  secrets: Secrets,
  signal: AbortSignal,
  note: (line: string) => void,
): Promise<Record<string, ProductRef>> {
  const target = join(outDir, attemptFile.outputs);
  await rm(target, { recursive: true, force: true });
  let root: OpenDir;
  try {
    root = openRoot(places.outputs);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return {};
    if (code !== 'ENOTDIR' && code !== 'ELOOP') throw error;
    note('outputs is no directory any more; nothing was taken from it');
    return {};
  }
  try {
    const paths: BytePath[] = [];
    for (const path of walk(root, '', 0, note)) if (paths.push(path) > OUTPUT_FILES_MAX) throw tooMany();
    paths.sort();
    return await copyAll(paths, { root, outDir, secrets, ownerUid: places.user?.uid, signal, note });
  } catch (error) {
    await rm(target, { recursive: true, force: true });
    throw error;
  } finally {
    closeDir(root);
  }
}

interface Copying {
  readonly root: OpenDir;
  readonly outDir: string;
  readonly secrets: Secrets;
  readonly ownerUid: number | undefined;
  readonly signal: AbortSignal;
  readonly note: (line: string) => void;
}

async function copyAll(paths: readonly BytePath[], to: Copying): Promise<Record<string, ProductRef>> {
  const products: Record<string, ProductRef> = Object.create(null) as Record<string, ProductRef>;
  let left = OUTPUT_BYTES_MAX;
  for (const path of paths) {
    to.signal.throwIfAborted();
    const product = await withFile(to.root, path, async (fd, stats) => {
      if (!stats.isFile() || (to.ownerUid !== undefined && stats.uid !== to.ownerUid)) {
        to.note(`not an output: outputs/${showPath(path)} does not belong to the block user`);
        return undefined;
      }
      if (stats.size > left) {
        throw new AttemptFailure('OutputTooLarge', `outputs/ holds more than ${OUTPUT_BYTES_MAX} bytes`);
      }
      to.secrets.refuse('the name of an output', nameOf(path));
      const name = `${attemptFile.outputs}${nameOf(path)}`;
      return copyWhole(to.outDir, name, to.secrets.scanned(name, chunksOf(fd)), left);
    });
    if (product === undefined) continue;
    left -= product.size;
    products[nameOf(path)] = product;
  }
  return products;
}

function* walk(dir: OpenDir, prefix: BytePath, depth: number, note: (line: string) => void): Generator<BytePath> {
  if (depth > OUTPUT_DEPTH_MAX) {
    throw new AttemptFailure('OutputTooLarge', `outputs/ nests deeper than ${OUTPUT_DEPTH_MAX} directories`);
  }
  for (const { name, type } of listDir(dir)) {
    const path = prefix + name;
    if (path.length > OUTPUT_PATH_BYTES_MAX) {
      throw new AttemptFailure('OutputTooLarge', `a path under outputs/ is longer than ${OUTPUT_PATH_BYTES_MAX} bytes`);
    }
    if (type === 'file') {
      yield path;
    } else if (type === 'directory') {
      const child = openDirAt(dir, name);
      try {
        yield* walk(child, `${path}/`, depth + 1, note);
      } finally {
        closeDir(child);
      }
    } else {
      note(`not an output: outputs/${showPath(path)} is no regular file`);
    }
  }
}

const tooMany = (): AttemptFailure =>
  new AttemptFailure('OutputTooLarge', `outputs/ holds more than ${OUTPUT_FILES_MAX} files`);

/** Products are named in JSON: a name that is not UTF-8 has none. */
function nameOf(path: BytePath): string {
  try {
    return utf8.decode(Buffer.from(path, 'latin1'));
  } catch {
    throw new AttemptFailure('CaptureFailed', `the name of outputs/${showPath(path)} is not UTF-8`);
  }
}
