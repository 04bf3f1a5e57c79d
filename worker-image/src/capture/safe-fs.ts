/**
 * Reading a tree that somebody hostile wrote. Every step is relative to an open directory and follows no link, so a
 * directory that is swapped for a link between two steps changes nothing.
 *
 * Names are bytes. A path here is a latin1 string: one character is one byte, joined with `/`.
 */
import { closeSync, constants, fstatSync, openSync, readdirSync, readlinkSync, type Dirent, type Stats } from 'node:fs';
import { join } from 'node:path';

export type BytePath = string;

const DIR_FLAGS = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;
/** O_NONBLOCK: opening a FIFO must not wait for a writer. */
const FILE_FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

export interface OpenDir {
  readonly fd: number;
  /** For systems without /proc, and for messages. */
  readonly path: Buffer;
}

export interface DirEntry {
  readonly name: BytePath;
  readonly type: 'file' | 'directory' | 'link' | 'special';
}

export function openRoot(path: string): OpenDir {
  return { fd: openSync(path, DIR_FLAGS), path: Buffer.from(path) };
}

export function openDirAt(dir: OpenDir, name: BytePath): OpenDir {
  return { fd: openSync(at(dir, name), DIR_FLAGS), path: Buffer.concat([dir.path, Buffer.from(`/${name}`, 'latin1')]) };
}

export function openFileAt(dir: OpenDir, name: BytePath): number {
  return openSync(at(dir, name), FILE_FLAGS);
}

export function readLinkAt(dir: OpenDir, name: BytePath): Buffer {
  return readlinkSync(at(dir, name), { encoding: 'buffer' });
}

export function listDir(dir: OpenDir): DirEntry[] {
  const entries = readdirSync(at(dir), { withFileTypes: true, encoding: 'buffer' });
  return entries.map((entry) => ({ name: entry.name.toString('latin1'), type: typeOf(entry) }));
}

export function closeDir(dir: OpenDir): void {
  closeSync(dir.fd);
}

/** Runs `use` with an open file below `root`, and closes everything again. */
export async function withFile<T>(root: OpenDir, path: BytePath, use: (fd: number, stats: Stats) => Promise<T>) {
  const names = path.split('/');
  const last = names.pop() ?? '';
  const dirs: OpenDir[] = [];
  try {
    for (const name of names) dirs.push(openDirAt(dirs.at(-1) ?? root, name));
    const fd = openFileAt(dirs.at(-1) ?? root, last);
    try {
      return await use(fd, fstatSync(fd));
    } finally {
      closeSync(fd);
    }
  } finally {
    dirs.forEach(closeDir);
  }
}

/** For people: the bytes as UTF-8, control characters escaped. */
export function showPath(path: BytePath): string {
  return JSON.stringify(Buffer.from(path, 'latin1').toString('utf8')).slice(1, -1);
}

/** `/proc/self/fd/N/name` is the openat that Node lacks. */
function at(dir: OpenDir, name?: BytePath): Buffer {
  const base = process.platform === 'linux' ? Buffer.from(join('/proc/self/fd', String(dir.fd))) : dir.path;
  return name === undefined ? base : Buffer.concat([base, Buffer.from(`/${name}`, 'latin1')]);
}

function typeOf(entry: Dirent<Buffer>): DirEntry['type'] {
  if (entry.isFile()) return 'file';
  if (entry.isDirectory()) return 'directory';
  return entry.isSymbolicLink() ? 'link' : 'special';
}
