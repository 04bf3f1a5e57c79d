/** A small file that a block left in the workspace: no link is followed, nobody else's file is read, nothing large. */
import { readSync } from 'node:fs';
import type { Places } from '../places.ts';
import { closeDir, openRoot, withFile } from './safe-fs.ts';

/** Undefined when there is none. @throws Error saying why it is not read */
export async function readOwnFile(
  { workspace, user }: Places,
  path: string,
  bytesMax: number,
): Promise<Buffer | undefined> {
  const root = openRoot(workspace);
  try {
    return await withFile(root, path, async (fd, stats) => {
      if (!stats.isFile() || (user !== undefined && stats.uid !== user.uid)) throw new Error('it is no plain file');
      if (stats.size > bytesMax) throw new Error(`it is larger than ${bytesMax} bytes`);
      const bytes = Buffer.alloc(stats.size);
      return bytes.subarray(0, readSync(fd, bytes, 0, bytes.length, 0));
    });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  } finally {
    closeDir(root);
  }
}
