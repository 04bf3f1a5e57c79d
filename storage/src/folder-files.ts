/**
 * Opening things below a root without ever leaving it. A worker owns its attempt prefix and may put symbolic
 * links, devices or pipes there, and swap a directory for a link at any moment, so looking first and opening
 * afterwards is not enough. Instead a directory is opened, the kernel is asked where that descriptor really
 * is, and only when the answer is the expected path it is used, through `/proc/self/fd/<n>/<name>`: the same
 * as openat(2), which Node lacks. Off Linux the same question is answered by realpath(3), a moment too late
 * to hold against a process that swaps directories on purpose; hostile workers need Linux.
 */
import { constants, existsSync } from 'node:fs';
import { lstat, mkdir, open, readlink, realpath, type FileHandle } from 'node:fs/promises';
import { errno, errnoOf } from './fs-errors.ts';

const PROC = existsSync('/proc/self/fd');
const DIRECTORY = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;
/** Non-blocking, or opening a pipe would wait for its writer. */
const FILE = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK | constants.O_NOCTTY;

/** `runs/a/` for `runs/a/spec.json`, and the empty string at the top. */
export function directoryOf(key: string): string {
  return key.slice(0, key.lastIndexOf('/') + 1);
}

export function nameOf(key: string): string {
  return key.slice(key.lastIndexOf('/') + 1);
}

export interface Directory {
  /** Names this directory and no other, as long as `handle` is open. */
  readonly path: string;
  readonly handle: FileHandle;
}

/**
 * Calls `use` with an open directory. `root` is absolute and free of links; `dir` is `''` or ends with `/`.
 * @throws what the kernel throws; ENOTDIR or ELOOP where a link or a file is in the way
 */
export async function inDirectory<T>(
  root: string,
  dir: string,
  options: { readonly create: boolean },
  use: (directory: Directory) => Promise<T>,
): Promise<T> {
  const handle = await openDirectory(root, dir).catch((error: unknown) => {
    if (options.create && errnoOf(error) === 'ENOENT') return makeDirectory(root, dir);
    throw error;
  });
  try {
    return await use(asDirectory(handle, join(root, dir)));
  } finally {
    await handle.close();
  }
}

/** Opens a regular file for reading. @throws what the kernel throws; ELOOP for anything but a regular file */
export async function openFile(root: string, key: string): Promise<FileHandle> {
  return await inDirectory(root, directoryOf(key), { create: false }, async (directory) => {
    const handle = await open(`${directory.path}/${nameOf(key)}`, FILE);
    if ((await handle.stat()).isFile()) return handle;
    await handle.close();
    throw errno('ELOOP', `${key} is not a regular file`);
  });
}

/** Size of a regular file, or undefined when there is none. */
export async function sizeIn(directory: Directory, name: string): Promise<number | undefined> {
  const stat = await lstat(`${directory.path}/${name}`).catch(() => undefined);
  return stat?.isFile() === true ? stat.size : undefined;
}

async function openDirectory(root: string, dir: string): Promise<FileHandle> {
  const path = join(root, dir);
  const handle = await open(path, DIRECTORY);
  if (await isAt(handle, path)) return handle;
  await handle.close();
  throw errno('ELOOP', `${dir} is reached through a symbolic link`);
}

/** Every entry that this makes is durable before something is put below it. */
async function makeDirectory(root: string, dir: string): Promise<FileHandle> {
  let path = root;
  let parent = await open(root, DIRECTORY);
  for (const segment of dir.split('/').slice(0, -1)) {
    try {
      const child = `${asDirectory(parent, path).path}/${segment}`;
      if (await makeOne(child, modeOf(dir))) await parent.sync();
      const next = await open(child, DIRECTORY);
      await parent.close();
      parent = next;
      path = `${path}/${segment}`;
    } catch (error) {
      await parent.close();
      throw error;
    }
  }
  return parent;
}

/** false when it was there. */
async function makeOne(path: string, mode: number): Promise<boolean> {
  try {
    await mkdir(path, { mode });
    return true;
  } catch (error) {
    if (errnoOf(error) === 'EEXIST') return false;
    throw error;
  }
}

/** Leases and half-written objects are nobody else's business. */
function modeOf(dir: string): number {
  return dir.startsWith('controller/') || dir.startsWith('.') ? 0o700 : 0o755;
}

function asDirectory(handle: FileHandle, path: string): Directory {
  return { handle, path: PROC ? `/proc/self/fd/${handle.fd}` : path };
}

async function isAt(handle: FileHandle, path: string): Promise<boolean> {
  if (PROC) return (await readlink(`/proc/self/fd/${handle.fd}`)) === path;
  return (await realpath(path)) === path && (await lstat(path)).ino === (await handle.stat()).ino;
}

function join(root: string, dir: string): string {
  return dir === '' ? root : `${root === '/' ? '' : root}/${dir.slice(0, -1)}`;
}
