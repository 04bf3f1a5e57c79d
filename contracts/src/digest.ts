/** SHA-256 addressing. Nothing else in the project calls a hash function on content. */
import { createHash, type Hash } from 'node:crypto';

/** 64 lower-case hexadecimal characters. */
export type Sha256 = string;

const HEX = /^[0-9a-f]{64}$/;

export function isSha256(value: unknown): value is Sha256 {
  return typeof value === 'string' && HEX.test(value);
}

export function sha256(bytes: Uint8Array | string): Sha256 {
  return createHash('sha256').update(bytes).digest('hex');
}

/** For streams: `update` with every chunk, then `digest('hex')`. */
export function sha256Stream(): Hash {
  return createHash('sha256');
}

/** `sha256:<hex>`, the form that users read and write. */
export function formatDigest(digest: Sha256): string {
  return `sha256:${digest}`;
}

/** The hex of `sha256:<hex>`, or undefined. */
export function parseDigest(text: string): Sha256 | undefined {
  const hex = text.startsWith('sha256:') ? text.slice(7) : undefined;
  return isSha256(hex) ? hex : undefined;
}

/** The digest form inside evidence (evidence.md §3.1). */
export interface DigestSet {
  readonly sha256: Sha256;
}

/** The id that git gives a blob of `size` bytes: `update` with them, then `digest('hex')`. Names, never evidence. */
export function gitBlobStream(format: 'sha1' | 'sha256', size: number): Hash {
  return createHash(format).update(`blob ${size}\0`);
}
