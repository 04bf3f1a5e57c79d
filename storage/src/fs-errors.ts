/** Errors of the operating system as PangolinErrors. */
import { PangolinError, isPangolinError, messageOf, type ErrorCode } from '@pangolin/contracts/errors';

/** errno → what it means to a caller of the store. What is not listed is UNAVAILABLE: trying again may help. */
const meanings: Readonly<Record<string, { readonly code: ErrorCode; readonly hint: string }>> = {
  ENOENT: { code: 'NOT_FOUND', hint: 'Something removed it meanwhile.' },
  EACCES: { code: 'DENIED', hint: 'Give this user read and write permission on the storage folder.' },
  EPERM: { code: 'DENIED', hint: 'Give this user read and write permission on the storage folder.' },
  EROFS: { code: 'DENIED', hint: 'The file system is mounted read-only.' },
  ENOSPC: { code: 'UNAVAILABLE', hint: 'The disk is full: free some space or inodes.' },
  EDQUOT: { code: 'UNAVAILABLE', hint: 'The disk quota is used up.' },
  EMFILE: { code: 'UNAVAILABLE', hint: 'Raise the limit of open files (ulimit -n).' },
  EXDEV: { code: 'UNSUPPORTED', hint: 'The storage folder must lie on one file system.' },
  EISDIR: { code: 'CONFLICT', hint: 'A key cannot be both an object and the start of other keys in a folder.' },
  ENOTDIR: { code: 'CONFLICT', hint: 'A key cannot be both an object and the start of other keys in a folder.' },
  ENOTEMPTY: { code: 'CONFLICT', hint: 'A key cannot be both an object and the start of other keys in a folder.' },
  EEXIST: { code: 'INVALID', hint: 'It is a file; name a folder.' },
  ELOOP: { code: 'CONFLICT', hint: 'Symbolic links are not followed below the storage folder.' },
};

export function errnoOf(error: unknown): string | undefined {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  return typeof code === 'string' ? code : undefined;
}

/** Nothing that counts as an object is there: absent, or reached through a link or a file. */
export function isMissing(error: unknown): boolean {
  return ['ENOENT', 'ENOTDIR', 'ELOOP'].includes(errnoOf(error) ?? '');
}

/** An error that reads like the kernel's, for what this package finds itself. */
export function errno(code: string, message: string): Error {
  return Object.assign(new Error(`${code}: ${message}`), { code });
}

export function fsError(error: unknown, doing: string): PangolinError {
  if (isPangolinError(error)) return error;
  const { code, hint } = meanings[errnoOf(error) ?? ''] ?? { code: 'UNAVAILABLE' as const, hint: undefined };
  const options = hint === undefined ? { cause: error } : { cause: error, hint };
  return new PangolinError(code, `cannot ${doing}: ${messageOf(error)}`, options);
}
