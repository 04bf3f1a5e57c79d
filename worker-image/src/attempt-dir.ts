/** The attempt prefix: everything in it appears whole or not at all, and boot.json is the fence between workers. */
import { randomBytes } from 'node:crypto';
import { constants, read } from 'node:fs';
import { link, mkdir, open, rename, rm, type FileHandle } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { sha256Stream } from '@pangolin/contracts/digest';
import type { ProductRef } from '@pangolin/contracts/output';
import { AttemptFailure } from './failure.ts';

const CHUNK_BYTES = 2 ** 20;

/** Creates `name` with these bytes; false, and nothing changed, when it exists already. */
export async function createOnce(dir: string, name: string, bytes: Uint8Array): Promise<boolean> {
  const temporary = await writeTemporary(dir, (file) => file.writeFile(bytes));
  try {
    await link(temporary, join(dir, name));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  } finally {
    await rm(temporary, { force: true });
  }
  await syncDir(dir);
  return true;
}

/** Writes or replaces `name` (a relative path; its directories are made). */
export async function writeWhole(
  dir: string,
  name: string,
  write: (file: FileHandle) => Promise<unknown>,
): Promise<void> {
  const temporary = await writeTemporary(dir, write);
  const target = join(dir, name);
  try {
    await mkdir(dirname(target), { recursive: true });
    await rename(temporary, target);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  await syncDir(dirname(target));
}

/** Copies the chunks to `name`. @throws AttemptFailure OutputTooLarge above `bytesMax`; then nothing is left. */
export async function copyWhole(
  dir: string,
  name: string,
  chunks: AsyncIterable<Uint8Array>,
  bytesMax: number,
): Promise<ProductRef> {
  const hash = sha256Stream();
  let size = 0;
  await writeWhole(dir, name, async (file) => {
    for await (const chunk of chunks) {
      size += chunk.length;
      if (size > bytesMax) throw new AttemptFailure('OutputTooLarge', `${name} is larger than ${bytesMax} bytes`);
      hash.update(chunk);
      await writeAll(file, chunk);
    }
  });
  return { sha256: hash.digest('hex'), size };
}

/** Reads an open file from its start, without closing it. */
export async function* chunksOf(fd: number): AsyncGenerator<Buffer> {
  // No stream: one that is left early closes the descriptor, whatever it is told.
  for (let position = 0; ;) {
    const { bytesRead, buffer } = await readAt(fd, Buffer.allocUnsafe(CHUNK_BYTES), 0, CHUNK_BYTES, position);
    if (bytesRead === 0) return;
    position += bytesRead;
    yield buffer.subarray(0, bytesRead);
  }
}
const readAt = promisify(read);

export async function writeAll(file: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) at += (await file.write(bytes, at)).bytesWritten;
}

async function writeTemporary(dir: string, write: (file: FileHandle) => Promise<unknown>): Promise<string> {
  const temporary = join(dir, `.tmp-${randomBytes(8).toString('hex')}`);
  const file = await open(temporary, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o644);
  try {
    await write(file);
    await file.sync();
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  } finally {
    await file.close();
  }
  return temporary;
}

async function syncDir(dir: string): Promise<void> {
  const handle = await open(dir, constants.O_RDONLY);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
