/** A bundle in a directory: plain files in the known folders, nothing else. */
import { constants, createReadStream } from 'node:fs';
import { lstat, open, readdir, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { sha256Stream } from '@pangolin/contracts/digest';
import type { BundleFile, BundleReader } from '../bundle-reader.ts';
import { quote, refuse } from '../refusal.ts';

/** Entries of one bundle; more is hostile. */
export const FILES_MAX = 2_000_000;

export function directoryReader(root: string): BundleReader {
  return {
    list: () => listFiles(root),
    async read(name) {
      const file = await openPlain(root, name);
      try {
        return await file.readFile();
      } finally {
        await file.close();
      }
    },
    async digest(name) {
      const file = await openPlain(root, name);
      const hash = sha256Stream();
      for await (const chunk of createReadStream('', { fd: file })) hash.update(chunk as Buffer);
      return hash.digest('hex');
    },
  };
}

/** Never through a symbolic link, and never a device or pipe, which would block. */
async function openPlain(root: string, name: string): Promise<FileHandle> {
  const file = await open(join(root, name), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  if ((await file.stat()).isFile()) return file;
  await file.close();
  return refuse(`${quote(name)} is not a plain file`);
}

async function listFiles(root: string): Promise<BundleFile[]> {
  const files: BundleFile[] = [];
  for (const entry of await readdir(root, { withFileTypes: true })) {
    if (!entry.isDirectory()) {
      files.push(await plainFile(root, entry.name));
      continue;
    }
    for (const name of await readdir(join(root, entry.name))) {
      files.push(await plainFile(root, `${entry.name}/${name}`));
      if (files.length > FILES_MAX) refuse(`the bundle has more than ${FILES_MAX} files`);
    }
  }
  return files;
}

async function plainFile(root: string, name: string): Promise<BundleFile> {
  const stat = await lstat(join(root, name));
  if (!stat.isFile()) refuse(`${quote(name)} is not a plain file`);
  return { name, size: stat.size };
}
