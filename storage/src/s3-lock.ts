/** Objects that nobody can replace before a time, not even the owner of the bucket: S3 Object Lock, mode COMPLIANCE. */
import {
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectVersionsCommand,
  PutObjectCommand,
  type ObjectVersion,
} from '@aws-sdk/client-s3';
import { sha256 } from '@pangolin/contracts/digest';
import { isPangolinError, PangolinError } from '@pangolin/contracts/errors';
import { assertKey } from './keys.ts';
import { s3Error } from './s3-errors.ts';
import { openS3Place, type S3PlaceOptions } from './s3-place.ts';
import { base64Of, objectAt } from './s3-request.ts';

export interface LockedObject {
  readonly key: string;
  readonly body: Buffer;
  readonly retainUntil: Date;
  readonly contentType: string;
  /**
   * What other bytes at the key mean: true alarms, false is junk that somebody without our keys left there. Junk keeps
   * nobody out: the object then becomes a version above it.
   */
  readonly isRival: (other: Buffer) => boolean;
}

export interface LockedVersion {
  readonly key: string;
  readonly body: Buffer;
}

export interface LockedBucket {
  /** For people. */
  readonly location: string;
  /**
   * Makes sure that a version with these bytes is there and locked; the same bytes there already are fine.
   * @throws PangolinError CONFLICT for a rival; UNSUPPORTED when the server did not lock it; and as a store does.
   */
  put(object: LockedObject, signal?: AbortSignal): Promise<void>;
  /** Every version whose key starts with `prefix` and comes after `after`, but for those that are too long to be ours. */
  versions(prefix: string, after?: string, signal?: AbortSignal): AsyncGenerator<LockedVersion>;
}

/** Bytes of an object that is read to tell a rival; what is longer is junk. */
const RIVAL_BYTES_MAX = 4 * 1024 * 1024;

/** @param location see s3-location.ts; the bucket must have been made with Object Lock. Makes no request. */
export function openLockedBucket(location: string, options: S3PlaceOptions = {}): LockedBucket {
  const bucket = new Bucket(location, options);
  return {
    location: bucket.location,
    put: (object, signal) => bucket.put(object, signal),
    versions: (prefix, after, signal) => bucket.bodies(prefix, after, signal),
  };
}

class Bucket {
  readonly #place: ReturnType<typeof openS3Place>;

  constructor(location: string, options: S3PlaceOptions) {
    this.#place = openS3Place(location, options);
  }

  get location(): string {
    return this.#place.location;
  }

  async put(object: LockedObject, signal: AbortSignal | undefined): Promise<void> {
    const { key, body, isRival } = object;
    assertKey(key);
    let versionId = await this.#create(object, true, signal);
    if (versionId === undefined) {
      for await (const version of this.versions(key, undefined, signal)) {
        if (version.Key !== this.#keyOf(key)) continue;
        const other = await this.read(version, signal);
        if (other?.equals(body) === true) versionId = version.VersionId;
        else if (other && isRival(other)) {
          throw new PangolinError('CONFLICT', `${this.location} holds another, genuine object at ${key}`, {
            hint: 'The same keys were used elsewhere, or an older database. Keep what is there and look into it.',
          });
        }
      }
      versionId ??= await this.#create(object, false, signal);
    }
    await this.#assertLocked(object, versionId, signal);
  }

  /** The id of the new version; undefined when something is there already. */
  async #create(object: LockedObject, ifAbsent: boolean, signal?: AbortSignal): Promise<string | undefined> {
    const { key, body, retainUntil, contentType } = object;
    const command = new PutObjectCommand({
      ...objectAt(this.#place, key),
      ...this.#place.encryption,
      Body: body,
      ContentType: contentType,
      ...(ifAbsent && { IfNoneMatch: '*' }),
      ObjectLockMode: 'COMPLIANCE',
      ObjectLockRetainUntilDate: retainUntil,
      ChecksumAlgorithm: 'SHA256',
      ChecksumSHA256: base64Of(sha256(body)),
    });
    try {
      const send = this.#place.client.send(command, optionsOf(signal));
      const { VersionId: versionId } = await this.#doing(`lock ${key}`, send);
      // Without versions there is no lock either; that is found out next.
      return versionId ?? '';
    } catch (error) {
      if (ifAbsent && isPangolinError(error, 'PRECONDITION')) return undefined;
      throw error;
    }
  }

  /** Some servers take the headers and lock nothing. */
  async #assertLocked(object: LockedObject, versionId: string | undefined, signal?: AbortSignal): Promise<void> {
    const { key, retainUntil } = object;
    const at = { ...objectAt(this.#place, key), ...(versionId ? { VersionId: versionId } : {}) };
    const head = await this.#doing(
      `read the lock of ${key}`,
      this.#place.client.send(new HeadObjectCommand(at), optionsOf(signal)),
    );
    // One that was locked by an earlier try is kept a little shorter.
    const shorter = retainUntil.getTime() - (head.ObjectLockRetainUntilDate?.getTime() ?? 0);
    if (head.ObjectLockMode !== 'COMPLIANCE' || shorter > DAY_MS) {
      throw new PangolinError('UNSUPPORTED', `${this.location} did not lock ${key}`, {
        hint: 'Make the bucket with Object Lock enabled.',
      });
    }
  }

  async *bodies(
    prefix: string,
    after: string | undefined,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<LockedVersion> {
    for await (const version of this.versions(prefix, after, signal)) {
      const body = await this.read(version, signal);
      if (body) yield { key: version.Key!.slice(this.#place.prefix.length), body };
    }
  }

  /** Versions of keys that start with `prefix`; delete markers are none. */
  async *versions(
    prefix: string,
    after: string | undefined,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<ObjectVersion> {
    const { client, bucket } = this.#place;
    let keyMarker = after === undefined ? undefined : this.#keyOf(after);
    let versionMarker: string | undefined;
    do {
      const command = new ListObjectVersionsCommand({
        Bucket: bucket,
        Prefix: this.#keyOf(prefix),
        ...(keyMarker !== undefined && { KeyMarker: keyMarker }),
        ...(versionMarker !== undefined && { VersionIdMarker: versionMarker }),
      });
      const page = await this.#doing(`list the versions of ${prefix}`, client.send(command, optionsOf(signal)));
      for (const version of page.Versions ?? []) {
        // Ceph's RGW starts with the marker itself.
        if (after === undefined || version.Key !== this.#keyOf(after)) yield version;
      }
      keyMarker = page.IsTruncated === true ? page.NextKeyMarker : undefined;
      versionMarker = page.NextVersionIdMarker;
    } while (keyMarker !== undefined);
  }

  /** Undefined for what is too long to be ours. */
  async read(
    { Key: key, VersionId: version, Size: size }: ObjectVersion,
    signal?: AbortSignal,
  ): Promise<Buffer | undefined> {
    if (key === undefined || (size ?? 0) > RIVAL_BYTES_MAX) return undefined;
    const at = { Bucket: this.#place.bucket, Key: key, ...(version !== undefined && { VersionId: version }) };
    return await this.#doing(
      `read ${key}`,
      (async () => {
        const answer = await this.#place.client.send(new GetObjectCommand(at), optionsOf(signal));
        return Buffer.from((await answer.Body?.transformToByteArray()) ?? []);
      })(),
    );
  }

  #keyOf(key: string): string {
    return objectAt(this.#place, key).Key;
  }

  async #doing<T>(doing: string, request: Promise<T>): Promise<T> {
    try {
      return await request;
    } catch (error) {
      throw s3Error(error, doing);
    }
  }
}

const DAY_MS = 24 * 3600 * 1000;
const optionsOf = (signal: AbortSignal | undefined): { readonly abortSignal?: AbortSignal } =>
  signal ? { abortSignal: signal } : {};
