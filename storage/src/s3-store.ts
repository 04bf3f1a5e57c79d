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
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  DeleteObjectCommand,
  HeadObjectCommand,
  PutObjectCommand,
  type HeadObjectCommandOutput,
} from '@aws-sdk/client-s3';
import { sha256, type Sha256 } from '@pangolin/contracts/digest';
import { isPangolinError, PangolinError } from '@pangolin/contracts/errors';
import { assertDigest, bytesOf, digestOf, type Content } from './bytes.ts';
import { assertKey, assertPrefix } from './keys.ts';
import type { Grantor, ListPage, ObjectInfo, ObjectStore, PutOptions, RetryTokens } from './object-store.ts';
import { assertPutOptions, assertWatchPrefix, GET_BYTES_MAX, pageLimit, precondition, tooLarge } from './rules.ts';
import { openBody } from './s3-body.ts';
import { COPY_BYTES_MAX, copyVersion, tryCopies, type CopyAbility } from './s3-copy.ts';
import { faultOf, s3Error } from './s3-errors.ts';
import { s3Grantor } from './s3-grants.ts';
import { listS3 } from './s3-list.ts';
import { openS3Place, type S3Place } from './s3-place.ts';
import { base64Of, conditionsOf, isConditional, objectAt } from './s3-request.ts';
import { PART_BYTES, uploadParts } from './s3-upload.ts';
import { S3Watch } from './s3-watch.ts';

/** Rounds of a write that meets other writers, or of a read that meets a writer. */
const ROUNDS_MAX = 10;
const DIGESTS_MAX = 4_096;
/** What the SDK's standard retry strategy begins with. */
const RETRY_TOKENS_MAX = 500;

/** @param location see s3-location.ts. Makes no request. */
export function openS3Store(location: string): Promise<ObjectStore> {
  return Promise.resolve(s3Store(openS3Place(location)));
}

export function s3Store(place: S3Place): ObjectStore {
  return new S3Store(place);
}

class S3Store implements ObjectStore {
  readonly kind = 's3';
  readonly location: string;
  readonly grantor: Grantor;
  readonly #place: S3Place;
  /** Digests of multipart objects that this store itself wrote, by key and etag. */
  readonly #digests = new Map<string, Sha256>();
  #copyAbility: Promise<CopyAbility> | undefined;

  constructor(place: S3Place) {
    this.location = place.location;
    this.#place = place;
    this.grantor = s3Grantor(place);
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

  /** A retry takes 5 tokens, or 10 after a timeout, and gives them back when it succeeds; without enough of them there is none. */
  async retryTokens(): Promise<RetryTokens> {
    const strategy = await this.#place.client.config.retryStrategy();
    const { getCapacity } = strategy as { readonly getCapacity?: () => number };
    return { left: getCapacity?.call(strategy) ?? RETRY_TOKENS_MAX, max: RETRY_TOKENS_MAX };
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
    await this.#place.client.send(new DeleteObjectCommand(objectAt(this.#place, key))).catch((error: unknown) => {
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

  /** `sha256` is the server's checksum of the whole object, if it has one. */
  async #headObject(key: string): Promise<{ size: number; etag: string; sha256: Sha256 | undefined } | undefined> {
    try {
      const answer = await this.#place.client.send(
        new HeadObjectCommand({ ...objectAt(this.#place, key), ChecksumMode: 'ENABLED' }),
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
        ...objectAt(this.#place, key),
        ...this.#place.encryption,
        ...conditionsOf(options),
        Body: bytes,
        // The server checks the digest only when the algorithm is named besides.
        ChecksumAlgorithm: 'SHA256',
        ChecksumSHA256: base64Of(content.sha256),
      });
    const attempt: Attempt = { key, content, options, retried: false, last: false };
    for (let round = 1; ; round++) {
      try {
        return infoOf(key, content, (await this.#place.client.send(command())).ETag);
      } catch (error) {
        attempt.last = round >= ROUNDS_MAX;
        const written = await this.#afterFailure(attempt, error);
        if (written !== undefined) return written;
        await sleep(Math.random() * 20 * 2 ** Math.min(round, 6));
      }
    }
  }

  async #putStream(key: string, body: Readable, options: PutOptions): Promise<ObjectInfo> {
    const chunks = body[Symbol.asyncIterator]() as AsyncIterator<unknown>;
    const start: Uint8Array[] = [];
    for (let size = 0; size <= PART_BYTES;) {
      const { done, value } = await chunks.next();
      if (done === true) return await this.#putBytes(key, Buffer.concat(start), options);
      const bytes = bytesOf(value);
      size += bytes.length;
      start.push(bytes);
    }
    // Only saves the upload; the server decides when it is completed.
    if (options.ifAbsent === true && (await this.#headObject(key)) !== undefined) throw precondition(key, 'it exists');
    const uploaded = await uploadParts(this.#place, key, continued(start, chunks), options);
    if (uploaded.done) {
      const info = infoOf(key, uploaded.content, uploaded.etag);
      this.#remember(info);
      return info;
    }
    // The stream is used up, so there is no other round.
    const attempt: Attempt = { key, content: uploaded.content, options, retried: false, last: true };
    const written = await this.#afterFailure(attempt, uploaded.error);
    if (written !== undefined) return written;
    throw s3Error(uploaded.error, `write ${key}`);
  }

  /**
   * What a failed write means: it was done after all (the object is returned), it may be tried again
   * (undefined), or it throws.
   */
  async #afterFailure(attempt: Attempt, error: unknown): Promise<ObjectInfo | undefined> {
    const { key, options } = attempt;
    const fault = faultOf(error);
    attempt.retried ||= fault.attempts > 1;
    const gone = options.ifMatch !== undefined && fault.status === 404 && fault.name !== 'NoSuchBucket';
    if (isConditional(options) && (fault.status === 412 || gone)) return await this.#lost(attempt, error);
    // 409: another write of the key is under way, and the server took neither side. Asked again, it will.
    if (fault.status !== 409) throw s3Error(error, `write ${key}`);
    if (!attempt.last) return undefined;
    if (isConditional(options)) {
      const current = await this.#headObject(key);
      const broken = options.ifAbsent === true ? current !== undefined : current?.etag !== options.ifMatch;
      if (broken) return await this.#lost(attempt, error);
    }
    throw s3Error(error, `write ${key}`);
  }

  /**
   * Somebody wrote the key first. It may have been this very write, when an earlier request of it took effect
   * although its answer was lost; that is assumed when exactly these bytes are there.
   */
  async #lost({ key, content, retried }: Attempt, error: unknown): Promise<ObjectInfo> {
    const current = retried ? await this.head(key) : undefined;
    if (current?.sha256 === content.sha256) return current;
    throw precondition(key, 'somebody else wrote or removed it', error);
  }

  /** undefined: this server, or this object, has to be copied through here. */
  async #copyOnServer(from: string, to: string, options: PutOptions): Promise<ObjectInfo | undefined> {
    for (let round = 1; round <= ROUNDS_MAX; round++) {
      const source = await this.#headObject(from);
      if (source === undefined) throw new PangolinError('NOT_FOUND', `there is no object ${from}`);
      if (source.sha256 === undefined || source.size > COPY_BYTES_MAX || from === to) return undefined;
      const ability = await this.#ability();
      if (!ability.checksums || (isConditional(options) && !ability.conditions)) return undefined;
      assertDigest(to, options.sha256, source.sha256);
      const content = { size: source.size, sha256: source.sha256 };
      try {
        const version = { key: from, etag: source.etag };
        return infoOf(to, content, await copyVersion(this.#place, version, to, content, options));
      } catch (error) {
        if (![404, 412].includes(faultOf(error).status ?? 0)) throw s3Error(error, `copy ${from}`);
        // Either condition may have failed. When the source is what it was, it was that of the target.
        const now = await this.#headObject(from);
        if (now?.etag === source.etag) throw precondition(to, 'somebody else wrote or removed it', error);
      }
    }
    throw new PangolinError('UNAVAILABLE', `${from} changes faster than it can be copied`);
  }

  async #ability(): Promise<CopyAbility> {
    this.#copyAbility ??= tryCopies(this.#place);
    return await this.#copyAbility.catch((error: unknown) => {
      // No answer: ask again with the next copy.
      this.#copyAbility = undefined;
      throw s3Error(error, 'copy an object');
    });
  }

  #remember(info: ObjectInfo): void {
    const [oldest] = this.#digests.keys();
    if (this.#digests.size >= DIGESTS_MAX && oldest !== undefined) this.#digests.delete(oldest);
    this.#digests.set(`${info.key}\n${info.etag}`, info.sha256);
  }
}

/** One write over all its rounds. */
interface Attempt {
  readonly key: string;
  readonly content: Content;
  readonly options: PutOptions;
  /** A request of it got no answer, or an error that does not say whether it took effect, and was sent again. */
  retried: boolean;
  last: boolean;
}

function infoOf(key: string, content: Content, etag: string | undefined): ObjectInfo {
  if (etag === undefined) throw new PangolinError('UNSUPPORTED', `the server stored ${key} without an ETag`);
  return { key, size: content.size, etag, sha256: content.sha256 };
}

async function* continued(start: Uint8Array[], rest: AsyncIterator<unknown>): AsyncGenerator<unknown, void, undefined> {
  // Taken out one by one, so that they are not held while the rest comes.
  for (let bytes = start.shift(); bytes !== undefined; bytes = start.shift()) yield bytes;
  for (let next = await rest.next(); next.done !== true; next = await rest.next()) yield next.value;
}

/** Of a multipart object (its etag ends with the number of parts) the checksum is one of the parts' checksums. */
function wholeChecksum(answer: HeadObjectCommandOutput): Sha256 | undefined {
  const composite = answer.ChecksumType === 'COMPOSITE' || /-\d+"?$/.test(answer.ETag ?? '');
  if (composite || answer.ChecksumSHA256 === undefined) return undefined;
  const bytes = Buffer.from(answer.ChecksumSHA256, 'base64');
  return bytes.length === 32 ? bytes.toString('hex') : undefined;
}
