/** Uploading a stream of unknown length in parts. */
import { Readable } from 'node:stream';
import { Upload } from '@aws-sdk/lib-storage';
import { sha256Stream } from '@pangolin/contracts/digest';
import { assertDigest, bytesOf, type Content } from './bytes.ts';
import type { PutOptions } from './object-store.ts';
import { conditionsOf, objectAt } from './s3-request.ts';
import type { S3Place } from './s3-place.ts';

/**
 * Streams up to this size are one request; longer ones are uploaded in parts of it. The least S3 allows, because
 * several parts and their copies are held in memory; the 10,000 parts that it allows are 48 GiB.
 */
export const PART_BYTES = 5 * 2 ** 20;
/** Parts held and sent at once. */
const PARTS_AT_ONCE = 2;

export type Uploaded =
  | { readonly done: true; readonly content: Content; readonly etag: string | undefined }
  /** Nothing was stored, or this is not known: the server's own error. */
  | { readonly done: false; readonly content: Content; readonly error: unknown };

/** Rethrows what the source throws, and INTEGRITY; then nothing is stored. */
export async function uploadParts(
  place: S3Place,
  key: string,
  source: AsyncIterable<unknown>,
  options: PutOptions,
): Promise<Uploaded> {
  const hash = sha256Stream();
  const content = { size: 0, sha256: '' };
  let failure: { readonly error: unknown } | undefined;
  const hashed = async function* (): AsyncGenerator<Uint8Array, void, undefined> {
    try {
      for await (const chunk of source) {
        const bytes = bytesOf(chunk);
        hash.update(bytes);
        content.size += bytes.length;
        yield bytes;
      }
      content.sha256 = hash.digest('hex');
      // Failing here, before the upload is completed, stores nothing.
      assertDigest(key, options.sha256, content.sha256);
    } catch (error) {
      failure = { error };
      throw error;
    }
  };
  const upload = new Upload({
    client: place.client,
    partSize: PART_BYTES,
    queueSize: PARTS_AT_ONCE,
    params: {
      ...objectAt(place, key),
      ...place.encryption,
      ...conditionsOf(options),
      Body: Readable.from(hashed(), { objectMode: false }),
      // Of every part; the server checks them.
      ChecksumAlgorithm: 'SHA256',
    },
  });
  try {
    const { ETag: etag } = await upload.done();
    return { done: true, content, etag };
  } catch (error) {
    if (failure !== undefined) throw failure.error;
    return { done: false, content, error };
  }
}
