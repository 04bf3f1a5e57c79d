/** Reading an object as a stream that survives broken connections. */
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { GetObjectCommand } from '@aws-sdk/client-s3';
import { PangolinError } from '@pangolin/contracts/errors';
import { faultOf, s3Error } from './s3-errors.ts';
import { ATTEMPTS_MAX, type S3Place } from './s3-place.ts';

export interface Body {
  readonly size: number;
  readonly etag: string;
  /** All bytes of one version of the object, or an error. To be read or destroyed. */
  readonly stream: Readable;
}

/** `etag`: only this version. @throws PangolinError NOT_FOUND; PRECONDITION for another version */
export async function openBody(place: S3Place, key: string, etag?: string): Promise<Body> {
  const first = await request(place, key, 0, etag).catch((error: unknown) => {
    if (faultOf(error).name === 'NoSuchKey') {
      throw new PangolinError('NOT_FOUND', `there is no object ${key}`, { cause: error });
    }
    throw s3Error(error, `read ${key}`);
  });
  const current = { stream: first.stream };
  const stream = Readable.from(resuming(place, key, first, current), { objectMode: false });
  // A stream that nobody starts to read never runs the generator's own clean-up.
  stream.once('close', () => current.stream.destroy());
  return { size: first.size, etag: first.etag, stream };
}

/** Asks for the rest, of the same version, as long as every request brings some bytes. */
async function* resuming(
  place: S3Place,
  key: string,
  { size, etag }: Body,
  current: { stream: Readable },
): AsyncGenerator<Buffer, void, undefined> {
  let offset = 0;
  let failures = 0;
  for (;;) {
    try {
      for await (const chunk of current.stream as AsyncIterable<Buffer>) {
        offset += chunk.length;
        failures = 0;
        yield chunk;
      }
      if (offset === size) return;
      throw new Error(`the body ended after ${offset} of ${size} bytes`);
    } catch (error) {
      current.stream.destroy();
      if (++failures >= ATTEMPTS_MAX) throw s3Error(error, `read ${key}`);
      await sleep(100 * 2 ** failures);
      current.stream = (await again(place, key, offset, etag)).stream;
    }
  }
}

async function again(place: S3Place, key: string, offset: number, etag: string): Promise<Body> {
  try {
    return await request(place, key, offset, etag);
  } catch (error) {
    if (![404, 412].includes(faultOf(error).status ?? 0)) throw s3Error(error, `read ${key}`);
    throw new PangolinError('UNAVAILABLE', `${key} was replaced while it was read`, { cause: error });
  }
}

async function request(place: S3Place, key: string, offset: number, etag: string | undefined): Promise<Body> {
  const answer = await place.client.send(
    new GetObjectCommand({
      Bucket: place.bucket,
      Key: place.prefix + key,
      ...(etag === undefined ? {} : { IfMatch: etag }),
      ...(offset === 0 ? {} : { Range: `bytes=${offset}-` }),
    }),
  );
  if (!(answer.Body instanceof Readable) || answer.ContentLength === undefined || answer.ETag === undefined) {
    throw new PangolinError('UNSUPPORTED', `the server sent ${key} without its length or version`);
  }
  if (offset > 0 && answer.ContentRange?.startsWith(`bytes ${offset}-`) !== true) {
    answer.Body.destroy();
    throw new PangolinError('UNSUPPORTED', `the server does not read ${key} from the middle`);
  }
  return { stream: answer.Body, size: answer.ContentLength, etag: answer.ETag };
}
