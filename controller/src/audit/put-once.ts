/** Writes an object that never changes: again and again with one result, and never over something else. */
import type { Readable } from 'node:stream';
import { PangolinError, isPangolinError } from '@pangolin/contracts/errors';
import type { Sha256 } from '@pangolin/contracts/digest';
import type { ObjectStore } from '@pangolin/storage/object-store';

/**
 * @param body Called once a try; its bytes have the digest `sha256`.
 * @throws PangolinError CONFLICT when other bytes are there.
 */
export async function putOnce(
  store: ObjectStore,
  key: string,
  sha256: Sha256,
  body: () => Buffer | Readable,
): Promise<void> {
  try {
    await store.put(key, body(), { ifAbsent: true, sha256 });
    return;
  } catch (error) {
    if (!isPangolinError(error, 'PRECONDITION')) throw error;
  }
  const there = await store.head(key);
  if (there?.sha256 === sha256) return;
  throw new PangolinError('CONFLICT', `${key} holds other bytes than the evidence says`, {
    hint: 'A second controller or a restored database wrote this storage; keep the object and start a new deployment.',
  });
}
