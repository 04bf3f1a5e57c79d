/** Objects that nobody can replace before a time, not even the owner of the bucket: S3 Object Lock, mode COMPLIANCE. */
import { GetObjectCommand, HeadObjectCommand, PutObjectCommand } from '@aws-sdk/client-s3';
import { sha256 } from '@pangolin/contracts/digest';
import { isPangolinError, PangolinError } from '@pangolin/contracts/errors';
import { assertKey } from './keys.ts';
import { s3Error } from './s3-errors.ts';
import { openS3Place, type S3PlaceOptions } from './s3-place.ts';
import { base64Of, objectAt } from './s3-request.ts';

export interface LockedBucket {
  /** For people. */
  readonly location: string;
  /**
   * Creates the object, locked until `retainUntil`. Repeatable: the same bytes there already are fine.
   * @throws PangolinError CONFLICT for other bytes; UNSUPPORTED when the server did not lock it; and as a store does.
   */
  put(key: string, body: Buffer, retainUntil: Date): Promise<void>;
}

/** @param location see s3-location.ts; the bucket must have been made with Object Lock. Makes no request. */
export function openLockedBucket(location: string, options: S3PlaceOptions = {}): LockedBucket {
  const place = openS3Place(location, options);
  const send = async <T>(doing: string, request: () => Promise<T>): Promise<T> => {
    try {
      return await request();
    } catch (error) {
      throw s3Error(error, doing);
    }
  };
  const current = async (key: string): Promise<Buffer> => {
    const answer = await send(`read ${key}`, () => place.client.send(new GetObjectCommand(objectAt(place, key))));
    return Buffer.from((await answer.Body?.transformToByteArray()) ?? []);
  };
  return {
    location: place.location,
    async put(key, body, retainUntil) {
      assertKey(key);
      const command = new PutObjectCommand({
        ...objectAt(place, key),
        ...place.encryption,
        Body: body,
        ContentType: 'application/json',
        IfNoneMatch: '*',
        ObjectLockMode: 'COMPLIANCE',
        ObjectLockRetainUntilDate: retainUntil,
        ChecksumAlgorithm: 'SHA256',
        ChecksumSHA256: base64Of(sha256(body)),
      });
      let versionId: string | undefined;
      try {
        versionId = (await send(`lock ${key}`, () => place.client.send(command))).VersionId;
      } catch (error) {
        if (!isPangolinError(error, 'PRECONDITION')) throw error;
        if (!(await current(key)).equals(body)) {
          throw new PangolinError('CONFLICT', `${place.location} holds another object at ${key}`, {
            hint: 'Somebody else anchored this run, or wrote to the bucket. Keep what is there and look into it.',
          });
        }
      }
      // Some servers take the headers and lock nothing.
      const at = { ...objectAt(place, key), ...(versionId === undefined ? {} : { VersionId: versionId }) };
      const { ObjectLockMode: mode } = await send(`read the lock of ${key}`, () =>
        place.client.send(new HeadObjectCommand(at)),
      );
      if (mode !== 'COMPLIANCE') {
        throw new PangolinError('UNSUPPORTED', `${place.location} did not lock ${key}`, {
          hint: 'Make the bucket with Object Lock enabled.',
        });
      }
    },
  };
}
