/** What every store decides alike about options, pages and refusals. */
import { isSha256 } from '@pangolin/contracts/digest';
import { PangolinError } from '@pangolin/contracts/errors';
import { assertPrefix } from './keys.ts';
import type { PutOptions } from './object-store.ts';

/** `get` reads no more than this unless told. */
export const GET_BYTES_MAX = 256 * 2 ** 20;
/** Objects of one page of a listing, the limit of S3. */
export const PAGE_MAX = 1000;

/** @throws PangolinError INVALID */
export function assertPutOptions(options: PutOptions): void {
  if (options.ifAbsent === true && options.ifMatch !== undefined) {
    throw new PangolinError('INVALID', 'ifAbsent and ifMatch exclude each other');
  }
  if (options.sha256 !== undefined && !isSha256(options.sha256)) {
    throw new PangolinError('INVALID', 'sha256 must be 64 lower-case hexadecimal characters');
  }
}

/** Objects per page: `limit`, but never more than PAGE_MAX. @throws PangolinError INVALID */
export function pageLimit(limit: number = PAGE_MAX): number {
  if (!Number.isInteger(limit) || limit < 1) {
    throw new PangolinError('INVALID', 'the limit of a listing is a whole number from 1 on');
  }
  return Math.min(limit, PAGE_MAX);
}

/** Watching follows directories. @throws PangolinError INVALID */
export function assertWatchPrefix(prefix: string): void {
  assertPrefix(prefix);
  if (prefix !== '' && !prefix.endsWith('/')) {
    throw new PangolinError('INVALID', `a watched prefix ends with a slash: ${prefix}`);
  }
}

export function precondition(key: string, what: string, cause?: unknown): PangolinError {
  return new PangolinError('PRECONDITION', `${key} was left alone: ${what}`, { cause });
}

export function tooLarge(key: string, size: number, maxBytes: number): PangolinError {
  return new PangolinError('TOO_LARGE', `${key} has ${size} bytes; at most ${maxBytes} are read at once`, {
    details: { key, size, maxBytes },
  });
}
