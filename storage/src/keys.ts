/** What a storage key may be. Every store calls this before a key reaches a disk or a server. */
import { PangolinError } from '@pangolin/contracts/errors';

export const KEY_BYTES_MAX = 1024;
/** The longest file name of the usual file systems: what one store accepts, every store accepts. */
export const SEGMENT_BYTES_MAX = 255;
/** The folder store keeps its temporary files and locks under this name; no key has it as a segment. */
export const PRIVATE_SEGMENT = '.pangolin-store';

/** @throws PangolinError INVALID: a key is relative, `/`-separated UTF-8 without empty, `.` or `..` segments. */
export function assertKey(key: string): void {
  const problem = keyProblem(key);
  if (problem !== undefined) refuse('key', key, problem);
}

/** Any start of a key is a prefix: the empty string, `runs/`, `runs/a`. @throws PangolinError INVALID */
export function assertPrefix(prefix: string): void {
  // A prefix is legal exactly when some key continues it; `x` completes an unfinished last segment.
  const problem = prefix === '' || keyProblem(prefix) === undefined ? undefined : keyProblem(`${prefix}x`);
  if (problem !== undefined) refuse('prefix', prefix, problem);
}

export function isKey(key: string): boolean {
  return keyProblem(key) === undefined;
}

/** Order of listings. JavaScript's own `<` compares UTF-16 units, which differs above U+FFFF. */
export function compareKeys(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

function keyProblem(key: string): string | undefined {
  if (typeof key !== 'string' || key === '') return 'it is empty';
  if (!key.isWellFormed()) return 'it is not valid Unicode';
  if (Buffer.byteLength(key) > KEY_BYTES_MAX) return `it is longer than ${KEY_BYTES_MAX} bytes`;
  if (key.includes('\0')) return 'it holds a NUL character';
  if (key.includes('\\')) return 'it holds a backslash';
  if (key.startsWith('/')) return 'it is absolute';
  for (const segment of key.split('/')) {
    if (segment === '') return 'it has an empty segment';
    if (segment === '.' || segment === '..') return `it has the segment ${segment}`;
    if (segment === PRIVATE_SEGMENT) return `${PRIVATE_SEGMENT} belongs to the store itself`;
    if (Buffer.byteLength(segment) > SEGMENT_BYTES_MAX) return `a segment is longer than ${SEGMENT_BYTES_MAX} bytes`;
  }
  return undefined;
}

function refuse(what: string, text: string, problem: string): never {
  const shown = String(text).toWellFormed().slice(0, 200);
  throw new PangolinError('INVALID', `the storage ${what} ${JSON.stringify(shown)} is not allowed: ${problem}`);
}
