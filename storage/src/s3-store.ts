/**
 * The storage prefix in an S3 bucket.
 *
 * - Conditional writes carry If-None-Match or If-Match; the server decides. `probeStore` tells whether it does.
 * - Every write names its SHA-256 (multipart: that of every part), which the server checks and keeps.
 * - A digest that is reported is the server's own checksum of the whole object. Where the server has none (a
 *   multipart upload only has one of its parts' digests, and some writers send none), the bytes are read.
 * - An upload that is killed half-way leaves parts that no listing shows; give the bucket a lifecycle rule
 *   that aborts incomplete multipart uploads.
 */
import { randomUUID } from 'node:crypto';
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  CopyObjectCommand,
  DeleteObjectCommand,
  HeadObjectCommand,
  PutObjectCommand,
  type HeadObjectCommandOutput,
} from '@aws-sdk/client-s3';
import { Upload } from '@aws-sdk/lib-storage';
import { sha256, sha256Stream, type Sha256 } from '@pangolin/contracts/digest';
import { isPangolinError, PangolinError } from '@pangolin/contracts/errors';
import { assertDigest, bytesOf, digestOf, type Content } from './bytes.ts';
import { assertKey, assertPrefix, PRIVATE_SEGMENT } from './keys.ts';
import type { ListPage, ObjectInfo, ObjectStore, PutOptions } from './object-store.ts';
import { assertPutOptions, assertWatchPrefix, GET_BYTES_MAX, pageLimit, precondition, tooLarge } from './rules.ts';
import { openBody } from './s3-body.ts';
import { faultOf, s3Error } from './s3-errors.ts';
import { listS3 } from './s3-list.ts';
import { openS3Place, type S3Place } from './s3-place.ts';
import { S3Watch } from './s3-watch.ts';

/** Streams up to this size are one request; longer ones are uploaded in parts of it. 10,000 parts are the limit. */
export const PART_BYTES = 8 * 2 ** 20;
/** Parts held and sent at once. */
const PARTS_AT_ONCE = 2;
/** What the server copies in one request. */
const COPY_BYTES_MAX = 5 * 2 ** 30;
/** Rounds of a write that meets other writers, or of a read that meets a writer. */
const ROUNDS_MAX = 10;
const DIGESTS_MAX = 4_096;

/** @param location see s3-location.ts. Makes no request. */
export function openS3Store(location: string): Promise<ObjectStore> {
  return Promise.resolve(s3Store(openS3Place(location)));
}

export function s3Store(place: S3Place): ObjectStore {
  return new S3Store(place);
}

/** What this server's CopyObject is good for. */
interface CopyAbility {
  /** It keeps the SHA-256 of the whole object. */
  readonly checksums: boolean;
  /** It honours If-None-Match and If-Match. */
  readonly conditions: boolean;
}

class S3Store implements ObjectStore {
  readonly kind = 's3';
  readonly location: string;
  readonly #place: S3Place;
  /** Digests of multipart objects that this store itself wrote, by key and etag. */
  readonly #digests = new Map<string, Sha256>();
  #copyAbility: Promise<CopyAbility> | undefined;

  constructor(place: S3Place) {
    this.location = place.location;
    this.#place = place;
  }

  async get(key: string, options: { readonly maxBytes?: number } = {}): Promise<Buffer> {
    assertKey(key);
    const maxBytes = options.maxBytes ?? GET_BYTES_MAX;
    const body = await openBody(this.#place, key);
    if (body.size > maxBytes) {
      body.stream.destroy();
      throw tooLarge(key, body.size, maxBytes);
    }
    return Buffer.concat(await body.stream.toArray());
  }

  async getStream(key: string): Promise<Readable> {
    assertKey(key);
    return (await openBody(this.#place, key)).stream;
  }

  async head(key: string): Promise<ObjectInfo | undefined> {
    assertKey(key);
    for (let round = 1; ; round++) {
      const answer = await this.#headObject(key);
      if (answer === undefined) return undefined;
      const { size, etag } = answer;
      const known = answer.sha256 ?? this.#digests.get(`${key}\n${etag}`);
      if (known !== undefined) return { key, size, etag, sha256: known };
      try {
        const content = await digestOf((await openBody(this.#place, key, etag)).stream);
        return { key, size: content.size, etag, sha256: content.sha256 };
      } catch (error) {
        // Replaced or deleted since: look again.
        const changed = isPangolinError(error, 'PRECONDITION') || isPangolinError(error, 'NOT_FOUND');
        if (!changed || round >= ROUNDS_MAX) throw error;
      }
    }
  }

  async put(key: string, body: Uint8Array | string | Readable, options: PutOptions = {}): Promise<ObjectInfo> {
    try {
      assertKey(key);
      assertPutOptions(options);
      if (body instanceof Readable) return await this.#putStream(key, body, options);
      return await this.#putBytes(key, bytesOf(body), options);
    } finally {
      if (body instanceof Readable) body.destroy();
    }
  }

  async list(prefix: string, options: { readonly after?: string; readonly limit?: number } = {}): Promise<ListPage> {
    assertPrefix(prefix);
    const page = await listS3(this.#place, prefix, options.after, pageLimit(options.limit));
    const objects = page.objects.map(({ key, size }) => ({ key, size }));
    return page.next === undefined ? { objects } : { objects, next: page.next };
  }

  async delete(key: string): Promise<void> {
    assertKey(key);
    await this.#place.client.send(new DeleteObjectCommand(this.#at(key))).catch((error: unknown) => {
      // AWS answers 204 for what is not there; not every server does.
      if (faultOf(error).name !== 'NoSuchKey') throw s3Error(error, `delete ${key}`);
    });
  }

  async copy(from: string, to: string, options: PutOptions = {}): Promise<ObjectInfo> {
    assertKey(from);
    assertKey(to);
    assertPutOptions(options);
    return (await this.#copyOnServer(from, to, options)) ?? (await this.put(to, await this.getStream(from), options));
  }

  async watch(prefixes: readonly string[], onChange: (prefix: string) => void): Promise<() => Promise<void>> {
    prefixes.forEach(assertWatchPrefix);
    const watch = new S3Watch(prefixes, (prefix, after) => listS3(this.#place, prefix, after, pageLimit()), onChange);
    await watch.start();
    return () => watch.stop();
  }

  localPath(key: string): undefined {
    assertKey(key);
  }

  #at(key: string): { Bucket: string; Key: string } {
    return { Bucket: this.#place.bucket, Key: this.#place.prefix + key };
  }

  /** `sha256` is the server's checksum of the whole object, if it has one. */
  async #headObject(key: string): Promise<{ size: number; etag: string; sha256: Sha256 | undefined } | undefined> {
    try {
      const answer = await this.#place.client.send(
        new HeadObjectCommand({ ...this.#at(key), ChecksumMode: 'ENABLED' }),
      );
      return { size: answer.ContentLength ?? 0, etag: answer.ETag ?? '', sha256: wholeChecksum(answer) };
    } catch (error) {
      if (faultOf(error).status === 404) return undefined;
      throw s3Error(error, `read ${key}`);
    }
  }

  async #putBytes(key: string, bytes: Uint8Array, options: PutOptions): Promise<ObjectInfo> {
    const content = { size: bytes.length, sha256: sha256(bytes) };
    assertDigest(key, options.sha256, content.sha256);
    const command = (): PutObjectCommand =>
      new PutObjectCommand({
        ...this.#at(key),
        ...this.#place.encryption,
        ...conditionsOf(options),
        Body: bytes,
        // The server checks the digest only when the algorithm is named besides.
        ChecksumAlgorithm: 'SHA256',
        ChecksumSHA256: base64Of(content.sha256),
      });
    for (let round = 1; ; round++) {
      try {
        return infoOf(key, content, await this.#place.client.send(command()));
      } catch (error) {
        const written = await this.#afterFailure(key, content, options, error, round);
        if (written !== undefined) return written;
        await sleep(Math.random() * 20 * 2 ** Math.min(round, 6));
      }
    }
  }

  async #putStream(key: string, body: Readable, options: PutOptions): Promise<ObjectInfo> {
    const chunks = body[Symbol.asyncIterator]();
    const start: Uint8Array[] = [];
    for (let size = 0; size <= PART_BYTES;) {
      const { done, value } = (await chunks.next()) as IteratorResult<unknown>;
      if (done === true) return await this.#putBytes(key, Buffer.concat(start), options);
      const bytes = bytesOf(value);
      size += bytes.length;
      start.push(bytes);
    }
    // Only saves the upload; the server decides when it is completed.
    if (options.ifAbsent === true && (await this.#headObject(key)) !== undefined) throw precondition(key, 'it exists');
    return await this.#putParts(key, start, chunks, options);
  }

  async #putParts(
    key: string,
    start: Uint8Array[],
    rest: AsyncIterator<unknown>,
    options: PutOptions,
  ): Promise<ObjectInfo> {
    const content = { size: 0, sha256: '' };
    let sourceError: unknown;
    const whole = async function* (): AsyncGenerator<Uint8Array, void, undefined> {
      const hash = sha256Stream();
      try {
        for (let bytes = start.shift(); bytes !== undefined; bytes = start.shift()) {
          hash.update(bytes);
          content.size += bytes.length;
          yield bytes;
        }
        for (let next = await rest.next(); next.done !== true; next = await rest.next()) {
          const bytes = bytesOf(next.value);
          hash.update(bytes);
          content.size += bytes.length;
          yield bytes;
        }
        content.sha256 = hash.digest('hex');
        // Failing here, before the upload is completed, stores nothing.
        assertDigest(key, options.sha256, content.sha256);
      } catch (error) {
        sourceError = error;
        throw error;
      }
    };
    const upload = new Upload({
      client: this.#place.client,
      partSize: PART_BYTES,
      queueSize: PARTS_AT_ONCE,
      params: {
        ...this.#at(key),
        ...this.#place.encryption,
        ...conditionsOf(options),
        Body: Readable.from(whole(), { objectMode: false }),
        ChecksumAlgorithm: 'SHA256',
      },
    });
    try {
      const info = infoOf(key, content, await upload.done());
      this.#remember(info);
      return info;
    } catch (error) {
      if (sourceError !== undefined) throw sourceError;
      // The stream is used up, so there is no other round.
      const written = await this.#afterFailure(key, content, options, error, ROUNDS_MAX);
      if (written !== undefined) return written;
      throw s3Error(error, `write ${key}`);
    }
  }

  /**
   * What a failed write means: it was done after all (the object is returned), it may be tried again
   * (undefined), or it throws.
   */
  async #afterFailure(
    key: string,
    content: Content,
    options: PutOptions,
    error: unknown,
    round: number,
  ): Promise<ObjectInfo | undefined> {
    const fault = faultOf(error);
    const conditional = options.ifAbsent === true || options.ifMatch !== undefined;
    const gone = options.ifMatch !== undefined && fault.status === 404 && fault.name !== 'NoSuchBucket';
    if (conditional && (fault.status === 412 || gone)) {
      // An earlier request of this very write may have taken effect although its answer was lost.
      const current = fault.attempts > 1 || round > 1 ? await this.head(key) : undefined;
      if (current?.sha256 === content.sha256) return current;
      throw precondition(key, gone ? 'it is gone' : 'somebody else wrote it', error);
    }
    // 409: another write of the key is under way. Whether it broke the condition is seen by reading.
    if (fault.status !== 409) throw s3Error(error, `write ${key}`);
    if (conditional) {
      const current = await this.#headObject(key);
      const broken = options.ifAbsent === true ? current !== undefined : current?.etag !== options.ifMatch;
      if (broken) throw precondition(key, 'somebody else wrote it', error);
    }
    if (round >= ROUNDS_MAX) throw s3Error(error, `write ${key}`);
    return undefined;
  }

  /** undefined: this server, or this object, has to be copied through here. */
  async #copyOnServer(from: string, to: string, options: PutOptions): Promise<ObjectInfo | undefined> {
    for (let round = 1; round <= ROUNDS_MAX; round++) {
      const source = await this.#headObject(from);
      if (source === undefined) throw new PangolinError('NOT_FOUND', `there is no object ${from}`);
      if (source.sha256 === undefined || source.size > COPY_BYTES_MAX || from === to) return undefined;
      this.#copyAbility ??= this.#tryCopies();
      const ability = await this.#copyAbility;
      const conditional = options.ifAbsent === true || options.ifMatch !== undefined;
      if (!ability.checksums || (conditional && !ability.conditions)) return undefined;
      assertDigest(to, options.sha256, source.sha256);
      const content = { size: source.size, sha256: source.sha256 };
      try {
        return await this.#copyVersion(from, source.etag, to, content, options);
      } catch (error) {
        if (faultOf(error).status !== 412 && faultOf(error).status !== 404) throw s3Error(error, `copy ${from}`);
        // Either condition may have failed. When the source is what it was, it was that of the target.
        const now = await this.#headObject(from);
        if (now?.etag === source.etag) throw precondition(to, 'somebody else wrote it', error);
      }
    }
    throw new PangolinError('UNAVAILABLE', `${from} changes faster than it can be copied`);
  }

  async #copyVersion(
    from: string,
    etag: string,
    to: string,
    content: Content,
    options: PutOptions,
  ): Promise<ObjectInfo> {
    const { CopyObjectResult: result } = await this.#place.client.send(
      new CopyObjectCommand({
        ...this.#at(to),
        ...this.#place.encryption,
        ...conditionsOf(options),
        CopySource: encodeURIComponent(`${this.#place.bucket}/${this.#place.prefix}${from}`),
        CopySourceIfMatch: etag,
        ChecksumAlgorithm: 'SHA256',
        // The writer of the source does not choose the content type or the metadata of the copy.
        MetadataDirective: 'REPLACE',
      }),
    );
    if (result?.ChecksumSHA256 !== base64Of(content.sha256)) {
      // The version matched and the bytes did not: MD5 collides, or the server is broken.
      await this.delete(to);
      throw new PangolinError('INTEGRITY', `the copy of ${from} has another digest than its source`);
    }
    return infoOf(to, content, result);
  }

  /** Ceph RGW, for one, copies without checksum and ignores conditions on copies, so this is tried, once. */
  async #tryCopies(): Promise<CopyAbility> {
    const [from, to] = [`${PRIVATE_SEGMENT}/${randomUUID()}`, `${PRIVATE_SEGMENT}/${randomUUID()}`];
    try {
      const source = await this.#putBytes(from, Buffer.from(from), {});
      const copy = (options: PutOptions) => this.#copyVersion(from, source.etag, to, source, options);
      const refused = (options: PutOptions) =>
        copy(options).then(
          () => false,
          (error: unknown) => faultOf(error).status === 412,
        );
      const checksums = await copy({}).then(
        () => true,
        (error: unknown) => {
          if (isPangolinError(error, 'INTEGRITY')) return false;
          throw s3Error(error, 'copy an object');
        },
      );
      const conditions = checksums && (await refused({ ifAbsent: true })) && (await refused({ ifMatch: '"other"' }));
      return { checksums, conditions };
    } catch (error) {
      // Not an answer: ask again with the next copy.
      this.#copyAbility = undefined;
      throw error;
    } finally {
      await Promise.allSettled([this.delete(from), this.delete(to)]);
    }
  }

  #remember(info: ObjectInfo): void {
    const [oldest] = this.#digests.keys();
    if (this.#digests.size >= DIGESTS_MAX && oldest !== undefined) this.#digests.delete(oldest);
    this.#digests.set(`${info.key}\n${info.etag}`, info.sha256);
  }
}

function infoOf(key: string, content: Content, answer: { readonly ETag?: string | undefined }): ObjectInfo {
  if (answer.ETag === undefined) throw new PangolinError('UNSUPPORTED', `the server stored ${key} without an ETag`);
  return { key, size: content.size, etag: answer.ETag, sha256: content.sha256 };
}

function conditionsOf(options: PutOptions): { IfNoneMatch?: string; IfMatch?: string } {
  if (options.ifAbsent === true) return { IfNoneMatch: '*' };
  return options.ifMatch === undefined ? {} : { IfMatch: options.ifMatch };
}

function base64Of(digest: Sha256): string {
  return Buffer.from(digest, 'hex').toString('base64');
}

/** Of a multipart object (its etag ends with the number of parts) the checksum is one of the parts' checksums. */
function wholeChecksum(answer: HeadObjectCommandOutput): Sha256 | undefined {
  const composite = answer.ChecksumType === 'COMPOSITE' || /-\d+"?$/.test(answer.ETag ?? '');
  if (composite || answer.ChecksumSHA256 === undefined) return undefined;
  const bytes = Buffer.from(answer.ChecksumSHA256, 'base64');
  return bytes.length === 32 ? bytes.toString('hex') : undefined;
}
