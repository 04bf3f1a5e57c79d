/**
 * Secrets as files: one a secret in a directory of their own, the name percent-encoded (`db/password` is `db%2Fpassword`),
 * the whole content but one final line end the value. Directory and files belong to their owner alone.
 */
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { PangolinError } from '@pangolin/contracts/errors';
import { encodeSegment } from '@pangolin/contracts/ids';
import { SECRET_BYTES_MAX } from '@pangolin/contracts/secrets';
import { checkedSecret, type SecretStore } from './secret-store.ts';

export function createFileSecrets(dir: string): SecretStore {
  return {
    place: dir,
    async get(ref) {
      await checkedRead(dir, constants.O_RDONLY | constants.O_DIRECTORY, ref, dir);
      const bytes = await checkedRead(
        join(dir, encodeSegment(ref)),
        constants.O_RDONLY | constants.O_NOFOLLOW,
        ref,
        dir,
      );
      const end = bytes.at(-1) === 10 ? bytes.length - 1 : bytes.length;
      return checkedSecret(ref, bytes.subarray(0, end), dir);
    },
  };
}

/** What is open is what was checked. Of a directory, nothing is read. */
async function checkedRead(path: string, flags: number, ref: string, dir: string): Promise<Buffer> {
  const file = await open(path, flags | constants.O_NONBLOCK).catch((cause: NodeJS.ErrnoException) => {
    const missing = cause.code === 'ENOENT';
    throw new PangolinError(missing ? 'NOT_FOUND' : 'DENIED', `there is no readable secret ${ref} in ${dir}`, {
      hint: `Write its value to ${join(dir, encodeSegment(ref))}, mode 0600, in a directory of mode 0700.`,
    });
  });
  try {
    const stats = await file.stat();
    const isDirectory = (flags & constants.O_DIRECTORY) !== 0;
    if ((stats.mode & 0o077) !== 0) {
      throw new PangolinError(
        'DENIED',
        `others than their owner may use ${path}, so the secret ${ref} is not taken from it`,
        {
          hint: `chmod ${isDirectory ? '700' : '600'} ${path}`,
        },
      );
    }
    if (isDirectory) return Buffer.alloc(0);
    if (!stats.isFile()) throw new PangolinError('DENIED', `${path} is no plain file`);
    const { buffer, bytesRead } = await file.read(Buffer.alloc(SECRET_BYTES_MAX + 2), 0, SECRET_BYTES_MAX + 2, 0);
    return buffer.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}
