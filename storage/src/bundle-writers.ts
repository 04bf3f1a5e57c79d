/** The three shapes of an evidence bundle: a directory, a ustar archive, one JSON document. */
import { isUtf8 } from 'node:buffer';
import { createWriteStream } from 'node:fs';
import { mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { BUNDLE_DOCUMENT_BYTES_MAX, BUNDLE_NAME } from '@pangolin/contracts/bundle';
import { canonical } from '@pangolin/contracts/canonical';
import { PangolinError } from '@pangolin/contracts/errors';
import type { BundleFile, BundleFiles } from './bundle.ts';

/**
 * Writes the bundle at `path`: `*.json` a document, `*.tar` an archive, anything else a directory, which must be new or
 * empty. A document or archive appears whole or not at all, and replaces an older one.
 * @throws PangolinError CONFLICT when the directory holds something; TOO_LARGE for a document above 128 MiB.
 */
export async function writeBundle(files: BundleFiles, path: string): Promise<void> {
  if (path.endsWith('.json')) return writeWhole(path, bundleDocument(files));
  if (path.endsWith('.tar')) return writeWhole(path, bundleArchive(files));
  await writeDirectory(files, path);
}

async function writeWhole(path: string, chunks: AsyncIterable<Buffer>): Promise<void> {
  const partial = `${path}.${process.pid}.partial`;
  try {
    await pipeline(Readable.from(chunks, { objectMode: false }), createWriteStream(partial));
    await rename(partial, path);
  } finally {
    await rm(partial, { force: true });
  }
}

async function writeDirectory(files: BundleFiles, dir: string): Promise<void> {
  await mkdir(dir, { recursive: true });
  if ((await readdir(dir)).length > 0) {
    throw new PangolinError('CONFLICT', `${dir} is not empty`, {
      hint: 'Give a new directory, or a .tar or .json file.',
    });
  }
  for await (const { name, body } of checked(files)) {
    await mkdir(dirname(join(dir, name)), { recursive: true });
    await writeFile(join(dir, name), body, { flag: 'wx' });
  }
}

const BLOCK = 512;

/** POSIX ustar, reproducible: owner 0, mode 0644, time 0. */
export async function* bundleArchive(files: BundleFiles): AsyncGenerator<Buffer> {
  for await (const { name, body } of checked(files)) {
    yield tarHeader(name, body.length);
    yield body;
    yield Buffer.alloc(-body.length & (BLOCK - 1));
  }
  yield Buffer.alloc(2 * BLOCK);
}

/** Bundle names are ASCII and at most 91 bytes, files under 8 GiB: no extension record is ever needed. */
function tarHeader(name: string, size: number): Buffer {
  const header = Buffer.alloc(BLOCK);
  const octal = (value: number, digits: number): string => `${value.toString(8).padStart(digits, '0')}\0`;
  header.write(name, 0);
  header.write(octal(0o644, 7), 100);
  header.write(octal(0, 7), 108);
  header.write(octal(0, 7), 116);
  header.write(octal(size, 11), 124);
  header.write(octal(0, 11), 136);
  header.fill(' ', 148, 156);
  header.write('0', 156);
  header.write('ustar\x0000', 257);
  const checksum = header.reduce((sum, byte) => sum + byte, 0);
  header.write(`${checksum.toString(8).padStart(6, '0')}\0 `, 148);
  return header;
}

/** The canonical JSON of a `BundleDocument` (contracts/bundle), in pieces. */
export async function* bundleDocument(files: BundleFiles): AsyncGenerator<Buffer> {
  const members: BundleFile[] = [];
  let bytes = 0;
  for await (const file of checked(files)) {
    bytes += file.body.length;
    if (bytes > BUNDLE_DOCUMENT_BYTES_MAX) {
      throw new PangolinError('TOO_LARGE', 'the bundle is too large for one JSON document', {
        hint: 'Export it as a directory or a .tar file, or export the lean bundle.',
      });
    }
    members.push(file);
  }
  // Pieces, because one string of everything could be longer than the runtime's strings may be.
  yield Buffer.from('{"files":{');
  for (const [at, { name, body }] of members.sort((a, b) => (a.name < b.name ? -1 : 1)).entries()) {
    const value = isUtf8(body) ? body.toString('utf8') : { base64: body.toString('base64') };
    yield Buffer.from(`${at > 0 ? ',' : ''}${canonical(name)}:${canonical(value)}`);
  }
  yield Buffer.from('}}');
}

/** Names become paths: nothing outside the closed set gets that far. */
async function* checked(files: BundleFiles): AsyncGenerator<BundleFile> {
  for await (const file of files) {
    if (!BUNDLE_NAME.test(file.name)) throw new PangolinError('INTERNAL', `${file.name} is not a bundle name`);
    yield file;
  }
}
