/** Copying inside the server, as far as that server does it well. */
import { randomUUID } from 'node:crypto';
import { CopyObjectCommand, DeleteObjectCommand, PutObjectCommand } from '@aws-sdk/client-s3';
import { sha256 } from '@pangolin/contracts/digest';
import { PangolinError, isPangolinError } from '@pangolin/contracts/errors';
import type { Content } from './bytes.ts';
import { PRIVATE_SEGMENT } from './keys.ts';
import type { PutOptions } from './object-store.ts';
import { faultOf } from './s3-errors.ts';
import type { S3Place } from './s3-place.ts';
import { base64Of, conditionsOf, objectAt } from './s3-request.ts';

/** What the server copies in one request. */
export const COPY_BYTES_MAX = 5 * 2 ** 30;

export interface CopyAbility {
  /** The copy has the SHA-256 of the whole object. */
  readonly checksums: boolean;
  /** If-None-Match and If-Match hold. */
  readonly conditions: boolean;
}

/**
 * Copies one version of `from`. The result is checked: `content` is what the server said of the source.
 * @returns the etag of the copy
 * @throws PangolinError INTEGRITY, with nothing stored unless it says so; otherwise what the SDK throws
 */
export async function copyVersion(
  place: S3Place,
  from: { readonly key: string; readonly etag: string },
  to: string,
  content: Content,
  options: PutOptions,
): Promise<string | undefined> {
  const { CopyObjectResult: result } = await place.client.send(
    new CopyObjectCommand({
      ...objectAt(place, to),
      ...place.encryption,
      ...conditionsOf(options),
      CopySource: encodeURIComponent(`${place.bucket}/${place.prefix}${from.key}`),
      CopySourceIfMatch: from.etag,
      ChecksumAlgorithm: 'SHA256',
      // The writer of the source does not choose the content type or the metadata of the copy.
      MetadataDirective: 'REPLACE',
    }),
  );
  if (result?.ChecksumSHA256 === base64Of(content.sha256)) return result.ETag;
  // The version was right and the bytes are not: MD5 collided, or the server has no checksum to show.
  const what = `the copy of ${from.key} has another digest than its source`;
  try {
    await place.client.send(new DeleteObjectCommand(objectAt(place, to)));
  } catch (cause) {
    // Whoever may write under cas/ need not be allowed to remove there.
    throw new PangolinError('INTEGRITY', `${what}, and ${to} cannot be removed`, {
      hint: `Remove ${place.prefix}${to} from the bucket ${place.bucket}: it holds other bytes than its name says.`,
      cause,
    });
  }
  throw new PangolinError('INTEGRITY', what);
}

/** Ceph RGW, for one, copies without checksum and ignores conditions on copies, so this is tried. */
export async function tryCopies(place: S3Place): Promise<CopyAbility> {
  const [from, to] = [`${PRIVATE_SEGMENT}/${randomUUID()}`, `${PRIVATE_SEGMENT}/${randomUUID()}`];
  const content = { size: from.length, sha256: sha256(from) };
  try {
    const { ETag: etag = '' } = await place.client.send(
      new PutObjectCommand({
        ...objectAt(place, from),
        ...place.encryption,
        Body: from,
        ChecksumAlgorithm: 'SHA256',
        ChecksumSHA256: base64Of(content.sha256),
      }),
    );
    const copy = (options: PutOptions) => copyVersion(place, { key: from, etag }, to, content, options);
    const outcome = (options: PutOptions) =>
      copy(options).then(
        () => 'done',
        (error: unknown) => {
          if (isPangolinError(error, 'INTEGRITY')) return 'no checksum';
          if (faultOf(error).status === 412) return 'refused';
          throw error;
        },
      );
    const checksums = (await outcome({})) === 'done';
    const conditions =
      checksums &&
      (await outcome({ ifAbsent: true })) === 'refused' &&
      (await outcome({ ifMatch: '"00000000000000000000000000000000"' })) === 'refused';
    return { checksums, conditions };
  } finally {
    const remove = (key: string) => place.client.send(new DeleteObjectCommand(objectAt(place, key)));
    await Promise.allSettled([remove(from), remove(to)]);
  }
}
