/**
 * The storage prefix as a folder.
 *
 * - Writing is: a temporary file, fsync, then link (create only) or rename (replace), then fsync of the
 *   directory. A reader, and a machine that lost power, sees the old object or the new one.
 * - Create-only is decided by link(2). What replaces or deletes an object holds the lock of its key, so
 *   comparing and swapping is one step for every process on this machine. Folders on network file systems
 *   shared by several machines are as good as that file system's POSIX locks.
 * - Digests are computed from the bytes in the file. Nothing beside it says what they should be.
 * - Only regular files are objects; see folder-files.ts for how links are kept out.
 *
 * Files that others drop into the folder, as `cp spec.yaml inbox/` does, appear before they are complete, and
 * `watch` calls back at once. Who reads such a file takes it only when two `head` calls some tenths of a
 * second apart return the same etag, and looks again later otherwise. Whoever renames files into place, as
 * `put` does, is not affected.
 */
import type { BigIntStats } from 'node:fs';
import { link, lstat, mkdir, realpath, rename, rm, unlink, type FileHandle } from 'node:fs/promises';
import { resolve } from 'node:path';
import { Readable } from 'node:stream';
import { sha256, type Sha256 } from '@pangolin/contracts/digest';
import { PangolinError } from '@pangolin/contracts/errors';
import { assertDigest, bytesOf, digestOf, type Content } from './bytes.ts';
import { SharedMutex } from './file-lock.ts';
import { directoryOf, inDirectory, nameOf, openFile } from './folder-files.ts';
import { listFolder } from './folder-list.ts';
import { DirectorySync } from './folder-sync.ts';
import { TempFiles, type TempFile } from './folder-temp.ts';
import { FolderWatch } from './folder-watch.ts';
import { errnoOf, fsError, isMissing } from './fs-errors.ts';
import { assertKey, assertPrefix, PRIVATE_SEGMENT } from './keys.ts';
import type { ListPage, ObjectInfo, ObjectStore, PutOptions } from './object-store.ts';
import { assertPutOptions, assertWatchPrefix, GET_BYTES_MAX, pageLimit, precondition, tooLarge } from './rules.ts';

const LOCKS = 16;
const CHUNK_BYTES = 2 ** 20;
const DIGESTS_MAX = 4_096;

/** Creates the folder when it is missing, and removes what killed writers left in it. */
export async function openFolderStore(root: string): Promise<ObjectStore> {
  try {
    const absolute = resolve(root);
    await mkdir(absolute, { recursive: true });
    const real = await realpath(absolute);
    const temps = new TempFiles(real);
    // Sweeping is best effort: a user who may only read must be able to open the folder.
    await temps.sweep().catch(() => undefined);
    return new FolderStore(real, temps);
  } catch (error) {
    throw fsError(error, `open the storage folder ${root}`);
  }
}

class FolderStore implements ObjectStore {
  readonly kind = 'folder';
  readonly location: string;
  readonly #temps: TempFiles;
  readonly #synced = new DirectorySync();
  readonly #locks = new Map<number, SharedMutex>();
  /**
   * Digests of files that this store itself wrote, by identity. Never of files that it merely read: another
   * process can change a file it has mapped into memory without changing any of its times.
   */
  readonly #digests = new Map<string, Sha256>();

  constructor(root: string, temps: TempFiles) {
    this.location = root;
    this.#temps = temps;
  }

  async get(key: string, options: { readonly maxBytes?: number } = {}): Promise<Buffer> {
    const maxBytes = options.maxBytes ?? GET_BYTES_MAX;
    const handle = await this.#open(key);
    try {
      const { size } = await handle.stat();
      if (size > maxBytes) throw tooLarge(key, size, maxBytes);
      const chunks: Buffer[] = [];
      for await (const chunk of chunksOf(handle, size)) chunks.push(chunk);
      return Buffer.concat(chunks);
    } catch (error) {
      throw fsError(error, `read ${key}`);
    } finally {
      await handle.close();
    }
  }

  async getStream(key: string): Promise<Readable> {
    const handle = await this.#open(key);
    const { size } = await handle.stat();
    if (size > 0) return handle.createReadStream({ start: 0, end: size - 1, highWaterMark: CHUNK_BYTES });
    await handle.close();
    return Readable.from([]);
  }

  async head(key: string): Promise<ObjectInfo | undefined> {
    assertKey(key);
    try {
      const content = await this.#contentOf(key);
      return content && infoOf(key, content);
    } catch (error) {
      throw fsError(error, `read ${key}`);
    }
  }

  async put(key: string, body: Uint8Array | string | Readable, options: PutOptions = {}): Promise<ObjectInfo> {
    try {
      assertKey(key);
      assertPutOptions(options);
      // Only saves the writing; link(2) decides.
      if (options.ifAbsent === true && (await this.#exists(key))) throw precondition(key, 'it exists');
      return infoOf(key, await this.#store(key, body instanceof Readable ? body : [bytesOf(body)], options));
    } catch (error) {
      throw errnoOf(error) === undefined ? error : fsError(error, `write ${key}`);
    } finally {
      if (body instanceof Readable) body.destroy();
    }
  }

  async list(prefix: string, options: { readonly after?: string; readonly limit?: number } = {}): Promise<ListPage> {
    assertPrefix(prefix);
    const limit = pageLimit(options.limit);
    try {
      return await listFolder(this.location, prefix, options.after, limit);
    } catch (error) {
      throw fsError(error, `list ${prefix}`);
    }
  }

  async delete(key: string): Promise<void> {
    assertKey(key);
    try {
      await inDirectory(this.location, directoryOf(key), { create: false }, async (directory) => {
        const path = `${directory.path}/${nameOf(key)}`;
        await this.#locked(key, async () => {
          if (!(await lstat(path)).isDirectory()) await unlink(path);
        });
        await this.#synced.sync(directoryOf(key), directory);
      });
    } catch (error) {
      if (!isMissing(error)) throw fsError(error, `delete ${key}`);
    }
  }

  async copy(from: string, to: string, options: PutOptions = {}): Promise<ObjectInfo> {
    assertKey(to);
    return await this.put(to, await this.getStream(from), options);
  }

  async watch(prefixes: readonly string[], onChange: (prefix: string) => void): Promise<() => Promise<void>> {
    prefixes.forEach(assertWatchPrefix);
    const watches = prefixes.map((prefix) => new FolderWatch(this.location, prefix, () => onChange(prefix)));
    await Promise.all(watches.map((watch) => watch.start()));
    return async () => {
      await Promise.all(watches.map((watch) => watch.stop()));
    };
  }

  localPath(key: string): string {
    assertKey(key);
    return resolve(this.location, key);
  }

  async #open(key: string): Promise<FileHandle> {
    assertKey(key);
    try {
      return await openFile(this.location, key);
    } catch (error) {
      if (isMissing(error)) throw new PangolinError('NOT_FOUND', `there is no object ${key}`, { cause: error });
      throw fsError(error, `read ${key}`);
    }
  }

  async #exists(key: string): Promise<boolean> {
    return await openFile(this.location, key).then(
      async (handle) => {
        await handle.close();
        return true;
      },
      () => false,
    );
  }

  async #contentOf(key: string): Promise<Content | undefined> {
    let handle: FileHandle;
    try {
      handle = await openFile(this.location, key);
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw error;
    }
    try {
      const stat = await handle.stat({ bigint: true });
      const known = this.#digests.get(identityOf(stat));
      if (known !== undefined) return { size: Number(stat.size), sha256: known };
      return await digestOf(chunksOf(handle, Number(stat.size)));
    } finally {
      await handle.close();
    }
  }

  async #store(key: string, chunks: Iterable<unknown> | AsyncIterable<unknown>, options: PutOptions): Promise<Content> {
    const temp = await this.#temps.create();
    try {
      const content = await digestOf(chunks, (chunk) => temp.handle.writeFile(chunk));
      assertDigest(key, options.sha256, content.sha256);
      await temp.handle.sync();
      await this.#commit(key, temp, options);
      this.#remember(await temp.handle.stat({ bigint: true }), content.sha256);
      return content;
    } catch (error) {
      await rm(temp.path, { force: true });
      throw error;
    } finally {
      await temp.handle.close();
    }
  }

  async #commit(key: string, temp: TempFile, options: PutOptions): Promise<void> {
    await inDirectory(this.location, directoryOf(key), { create: true }, async (directory) => {
      const path = `${directory.path}/${nameOf(key)}`;
      if (options.ifAbsent === true) {
        await link(temp.path, path).catch((error: unknown) => {
          throw errnoOf(error) === 'EEXIST' ? precondition(key, 'it exists') : error;
        });
        // Crash here: the object is there and its temporary name is swept by the next open.
        await unlink(temp.path);
      } else {
        await this.#locked(key, async () => {
          if (options.ifMatch !== undefined) await this.#assertVersion(key, options.ifMatch);
          await rename(temp.path, path);
        });
      }
      await this.#synced.sync(directoryOf(key), directory);
    });
  }

  async #assertVersion(key: string, etag: string): Promise<void> {
    const current = await this.#contentOf(key);
    if (current?.sha256 !== etag) throw precondition(key, current ? 'it is another version' : 'it is gone');
  }

  async #locked<T>(key: string, critical: () => Promise<T>): Promise<T> {
    const dir = `${PRIVATE_SEGMENT}/lock/`;
    const index = Number.parseInt(sha256(key).slice(0, 8), 16) % LOCKS;
    let mutex = this.#locks.get(index);
    if (mutex === undefined) {
      await inDirectory(this.location, dir, { create: true }, () => Promise.resolve());
      mutex = this.#locks.get(index) ?? new SharedMutex(resolve(this.location, dir, String(index)));
      this.#locks.set(index, mutex);
    }
    return await mutex.run(critical);
  }

  #remember(stat: BigIntStats, digest: Sha256): void {
    const [oldest] = this.#digests.keys();
    if (this.#digests.size >= DIGESTS_MAX && oldest !== undefined) this.#digests.delete(oldest);
    this.#digests.set(identityOf(stat), digest);
  }
}

function infoOf(key: string, content: Content): ObjectInfo {
  return { key, size: content.size, etag: content.sha256, sha256: content.sha256 };
}

function identityOf(stat: BigIntStats): string {
  return [stat.dev, stat.ino, stat.size, stat.mtimeNs, stat.ctimeNs].join(':');
}

/** At most the bytes that were there when the file was opened: its writer may never stop. */
async function* chunksOf(handle: FileHandle, size: number): AsyncGenerator<Buffer, void, undefined> {
  for (let position = 0; position < size;) {
    const buffer = Buffer.allocUnsafe(Math.min(CHUNK_BYTES, size - position));
    const { bytesRead } = await handle.read(buffer, 0, buffer.length, position);
    if (bytesRead === 0) return;
    position += bytesRead;
    yield buffer.subarray(0, bytesRead);
  }
}
