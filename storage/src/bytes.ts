/** Bodies of objects: what callers give, as bytes with their digest. */
import { sha256Stream, type Sha256 } from '@pangolin/contracts/digest';
import { PangolinError } from '@pangolin/contracts/errors';

export interface Content {
  readonly size: number;
  readonly sha256: Sha256;
}

/** Strings are UTF-8. @throws PangolinError INVALID for anything that is no bytes */
export function bytesOf(body: unknown): Uint8Array {
  if (typeof body === 'string') return Buffer.from(body);
  if (body instanceof Uint8Array) return body;
  throw new PangolinError('INVALID', 'an object is stored from bytes, a string or a stream of them');
}

/** Size and digest of the chunks, each of which goes through `sink` on the way. */
export async function digestOf(
  chunks: Iterable<unknown> | AsyncIterable<unknown>,
  sink?: (chunk: Uint8Array) => Promise<void>,
): Promise<Content> {
  const hash = sha256Stream();
  let size = 0;
  for await (const chunk of chunks) {
    const bytes = bytesOf(chunk);
    hash.update(bytes);
    size += bytes.length;
    await sink?.(bytes);
  }
  return { size, sha256: hash.digest('hex') };
}

/** @throws PangolinError INTEGRITY unless nothing was stated or it is what the bytes have */
export function assertDigest(key: string, stated: Sha256 | undefined, actual: Sha256): void {
  if (stated === undefined || stated === actual) return;
  throw new PangolinError('INTEGRITY', `the bytes for ${key} have another digest than stated`, {
    details: { key, stated, actual },
  });
}
