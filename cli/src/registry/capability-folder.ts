/** A folder as a Capability file. Links and everything that is no plain file are refused, never followed. */
import { constants } from 'node:fs';
import { open, readdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { PangolinError } from '@pangolin/contracts/errors';
import { CAPABILITY_BYTES_MAX, CAPABILITY_FILES_MAX } from '@pangolin/contracts/limits';
import type { SpecFile } from '../spec-file.ts';

/** One of its files. */
export type Content = { readonly mode: '0644' | '0755' } & ({ readonly text: string } | { readonly base64: string });

/** Without `.git`. @throws PangolinError INVALID, TOO_LARGE. */
export async function capabilityOfFolder(dir: string, name: string): Promise<SpecFile> {
  const files = await filesUnder(dir);
  const document = { apiVersion: 'pangolin.dev/v1', kind: 'Capability', metadata: { name }, spec: { files } };
  return { name: dir, bytes: Buffer.from(JSON.stringify(document)), dir: resolve(dir) };
}

/** Path relative to `dir` → file. Only those that `wanted` takes; of a directory it is asked with a `/` at the end. */
export async function filesUnder(
  dir: string,
  wanted: (path: string) => boolean = () => true,
): Promise<Record<string, Content>> {
  const files: Record<string, Content> = Object.create(null) as Record<string, Content>;
  let bytes = 0;
  const visit = async (prefix: string): Promise<void> => {
    const entries = await readdir(join(dir, prefix), { withFileTypes: true });
    for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
      const path = prefix + entry.name;
      if (entry.name === '.git' || !wanted(entry.isDirectory() ? `${path}/` : path)) continue;
      if (entry.isDirectory()) {
        await visit(`${path}/`);
        continue;
      }
      if (!entry.isFile()) {
        const what = entry.isSymbolicLink() ? 'a symbolic link' : 'no plain file';
        throw new PangolinError('INVALID', `${join(dir, path)} is ${what}`, {
          hint: 'A capability holds plain files only; put a copy there.',
        });
      }
      const file = await readPlain(join(dir, path), CAPABILITY_BYTES_MAX - bytes);
      bytes += file.size;
      files[path] = file.content;
      if (Object.keys(files).length > CAPABILITY_FILES_MAX) {
        throw new PangolinError('TOO_LARGE', `${dir} holds more than ${CAPABILITY_FILES_MAX} files`);
      }
    }
  };
  await visit('');
  return files;
}

/** Opened without following a link, so that what was looked at is what is read. */
async function readPlain(path: string, bytesMax: number): Promise<{ size: number; content: Content }> {
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const stats = await file.stat();
    if (!stats.isFile()) throw new PangolinError('INVALID', `${path} is no plain file`);
    if (stats.size > bytesMax) {
      throw new PangolinError('TOO_LARGE', `with ${path} the capability exceeds ${CAPABILITY_BYTES_MAX} bytes`);
    }
    const bytes = await file.readFile();
    const mode = (stats.mode & 0o100) === 0 ? '0644' : '0755';
    return { size: bytes.length, content: { mode, ...contentOf(bytes) } };
  } finally {
    await file.close();
  }
}

function contentOf(bytes: Buffer): { text: string } | { base64: string } {
  const text = bytes.toString('utf8');
  const whole = !text.includes('\0') && Buffer.from(text).equals(bytes);
  return whole ? { text } : { base64: bytes.toString('base64') };
}
