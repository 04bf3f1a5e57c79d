/** Opens what the user names: a directory, a ustar archive or a JSON document. */
import { open, readFile, stat as statOf } from 'node:fs/promises';
import { PangolinError } from '@pangolin/contracts/errors';
import { looksLikeProof, PROOF_BYTES_MAX } from '@pangolin/contracts/proof';
import type { BundleReader } from '../bundle-reader.ts';
import { directoryReader } from './directory.ts';
import { memoryReader, readDocument } from './memory.ts';
import { tarReader, type RandomAccess } from './tar.ts';

export interface OpenBundle {
  readonly reader: BundleReader;
  close(): Promise<void>;
}

/** The bytes of a file that is the proof of one item and no bundle. */
export async function readIfProof(path: string): Promise<Buffer | undefined> {
  const file = await open(path, 'r').catch(() => undefined);
  if (!file) return undefined;
  try {
    const start = Buffer.alloc(16);
    if (!(await file.stat()).isFile()) return undefined;
    await file.read(start, 0, start.length, 0);
    if (!looksLikeProof(start)) return undefined;
    // One byte more than there may be is enough to refuse it.
    const bytes = Buffer.alloc(Math.min((await file.stat()).size, PROOF_BYTES_MAX + 1));
    for (let at = 0; at < bytes.length;) {
      const { bytesRead } = await file.read(bytes, at, bytes.length - at, at);
      if (bytesRead === 0) throw new PangolinError('UNAVAILABLE', `${path} became shorter while it was read`);
      at += bytesRead;
    }
    return bytes;
  } finally {
    await file.close();
  }
}

/** @throws PangolinError NOT_FOUND, or INVALID for what is neither a directory nor a file. */
export async function openBundle(path: string): Promise<OpenBundle> {
  const stat = await statOf(path).catch((cause: NodeJS.ErrnoException) => {
    throw new PangolinError('NOT_FOUND', `there is no bundle at ${path}`, { cause });
  });
  if (stat.isDirectory()) return { reader: directoryReader(path), close: async () => {} };
  if (!stat.isFile()) throw new PangolinError('INVALID', `${path} is neither a directory nor a file`);
  const file = await open(path, 'r');
  const first = Buffer.alloc(1);
  await file.read(first, 0, 1, 0);
  if (first.toString('latin1') === '{') {
    await file.close();
    return { reader: lazyDocument(path), close: async () => {} };
  }
  const size = stat.size;
  const readExactly = async (offset: number, length: number): Promise<Buffer> => {
    const bytes = Buffer.alloc(length);
    for (let at = 0; at < length;) {
      const { bytesRead } = await file.read(bytes, at, length - at, offset + at);
      if (bytesRead === 0) throw new PangolinError('UNAVAILABLE', `${path} became shorter while it was read`);
      at += bytesRead;
    }
    return bytes;
  };
  return { reader: tarReader({ size, read: throughWindow(size, readExactly) }), close: () => file.close() };
}

/** Bytes that are read at once. */
const WINDOW = 1 << 16;

/** Small files lie side by side in an archive, and are mostly read in their order: one read serves many of them. */
function throughWindow(size: number, readExactly: RandomAccess['read']): RandomAccess['read'] {
  let window: { readonly start: number; readonly bytes: Buffer } = { start: 0, bytes: Buffer.alloc(0) };
  return async (offset, length) => {
    if (length >= WINDOW || offset + length > size) return readExactly(offset, length);
    let held = window;
    if (offset < held.start || offset + length > held.start + held.bytes.length) {
      held = window = { start: offset, bytes: await readExactly(offset, Math.min(WINDOW, size - offset)) };
    }
    // Of the caller's own: some are changed in place.
    return Buffer.from(held.bytes.subarray(offset - held.start, offset - held.start + length));
  };
}

/** A document that is no bundle is a finding about it, made by the first check and not by opening it. */
function lazyDocument(path: string): BundleReader {
  let opened: Promise<BundleReader> | undefined;
  const reader = (): Promise<BundleReader> =>
    (opened ??= readFile(path).then((bytes) => memoryReader(readDocument(bytes))));
  return {
    list: async () => (await reader()).list(),
    read: async (name) => (await reader()).read(name),
    digest: async (name) => (await reader()).digest(name),
  };
}
