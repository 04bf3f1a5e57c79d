/** Listing a prefix of a bucket. */
import {
  ListObjectsV2Command,
  type ListObjectsV2CommandInput,
  type ListObjectsV2CommandOutput,
} from '@aws-sdk/client-s3';
import { isKey } from './keys.ts';
import { faultOf, s3Error } from './s3-errors.ts';
import type { S3Place } from './s3-place.ts';

const BROKEN_ANSWERS_MAX = 3;

export interface S3Page {
  readonly objects: readonly { readonly key: string; readonly size: number; readonly etag: string }[];
  /** For `after`; absent on the last page. */
  readonly next: string | undefined;
}

/** One request. What others stored under names that are no keys (`a//b`, folder markers) is left out. */
export async function listS3(
  place: S3Place,
  prefix: string,
  after: string | undefined,
  limit: number,
): Promise<S3Page> {
  const answer = await ask(place, {
    Bucket: place.bucket,
    Prefix: place.prefix + prefix,
    MaxKeys: limit,
    // XML cannot hold every character that a key can.
    EncodingType: 'url',
    ...(after === undefined ? {} : { StartAfter: place.prefix + after }),
  }).catch((error: unknown) => {
    throw s3Error(error, `list ${prefix}`);
  });
  const objects = (answer.Contents ?? []).map((object) => ({
    key: decode(object.Key ?? '').slice(place.prefix.length),
    size: object.Size ?? 0,
    etag: object.ETag ?? '',
  }));
  return {
    objects: objects.filter((object) => isKey(object.key)),
    next: answer.IsTruncated === true ? objects.at(-1)?.key : undefined,
  };
}

/** The SDK repeats a request that fails, but not one whose answer breaks off in its body. */
async function ask(place: S3Place, input: ListObjectsV2CommandInput): Promise<ListObjectsV2CommandOutput> {
  for (let round = 1; ; round++) {
    try {
      return await place.client.send(new ListObjectsV2Command(input));
    } catch (error) {
      const { status } = faultOf(error);
      if (status === undefined || status >= 300 || round >= BROKEN_ANSWERS_MAX) throw error;
    }
  }
}

/** AWS writes a space as `+`, others as `%20`; a plus sign is `%2B` with both. */
function decode(key: string): string {
  return decodeURIComponent(key.replaceAll('+', ' '));
}
