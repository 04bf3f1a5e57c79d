/**
 * What a task on S3 is given instead of credentials: URLs that read exactly its inputs, and a form that writes
 * below its own attempt prefix. Both end by themselves. Whoever makes them needs the right to do it himself:
 * the server checks that when they are used.
 */
import { createPresignedPost } from '@aws-sdk/s3-presigned-post';
import { GetObjectCommand } from '@aws-sdk/client-s3';
import { PangolinError } from '@pangolin/contracts/errors';
import { assertKey, assertPrefix } from './keys.ts';
import { s3Error } from './s3-errors.ts';
import type { S3Place } from './s3-place.ts';

/** A signature cannot live longer; with the credentials of a role it ends with these. */
export const EXPIRES_MAX_S = 7 * 24 * 3600;

/** Reads one object, whatever version it has then: the reader checks the digest. */
export async function presignGet(place: S3Place, key: string, expiresS: number): Promise<string> {
  assertKey(key);
  assertExpiry(expiresS);
  const command = new GetObjectCommand({ Bucket: place.bucket, Key: place.prefix + key });
  let url: string | undefined;
  // Runs where the request would be signed and sent, and does neither.
  command.middlewareStack.add(
    () => async (args) => {
      const request = args.request as Request;
      const signer = (await place.client.config.signer()) as unknown as Presigner;
      const signed = await signer.presign(
        {
          ...request,
          query: {},
          headers: { host: request.headers['host'] ?? '', 'x-amz-content-sha256': 'UNSIGNED-PAYLOAD' },
        },
        { expiresIn: expiresS },
      );
      url = urlOf(signed);
      return { response: undefined, output: { $metadata: {} } };
    },
    { step: 'finalizeRequest', name: 'presign', priority: 'high' },
  );
  await place.client.send(command).catch((error: unknown) => {
    throw s3Error(error, `sign for ${key}`);
  });
  if (url === undefined) throw new PangolinError('INTERNAL', `the SDK made no request for ${key}`);
  return url;
}

/** A form for HTTP POST (multipart/form-data). */
export interface PostGrant {
  readonly url: string;
  /**
   * Sent as they are, except that the sender sets `key` to a key below the prefix and adds
   * `x-amz-checksum-sha256`, the base64 digest that the server checks; `file` comes last.
   */
  readonly fields: Readonly<Record<string, string>>;
  /** The `key` field starts with it. */
  readonly keyPrefix: string;
}

/** Writes any number of objects below `prefix`, which ends with `/`, each of at most `maxBytes`. */
export async function presignPost(
  place: S3Place,
  prefix: string,
  limits: { readonly expiresS: number; readonly maxBytes: number },
): Promise<PostGrant> {
  assertPrefix(prefix);
  if (!prefix.endsWith('/')) throw new PangolinError('INVALID', 'a grant is for a prefix that ends with a slash');
  assertExpiry(limits.expiresS);
  const keyPrefix = place.prefix + prefix;
  const { ServerSideEncryption: mode, SSEKMSKeyId: kmsKeyId } = place.encryption;
  const { url, fields } = await createPresignedPost(place.client, {
    Bucket: place.bucket,
    Key: `${keyPrefix}\${filename}`,
    Expires: limits.expiresS,
    Fields: {
      'x-amz-checksum-algorithm': 'SHA256',
      ...(mode === undefined ? {} : { 'x-amz-server-side-encryption': mode }),
      ...(kmsKeyId === undefined ? {} : { 'x-amz-server-side-encryption-aws-kms-key-id': kmsKeyId }),
    },
    Conditions: [
      ['content-length-range', 0, limits.maxBytes],
      ['starts-with', '$x-amz-checksum-sha256', ''],
    ],
  }).catch((error: unknown) => {
    throw s3Error(error, `sign for ${prefix}`);
  });
  return { url, fields, keyPrefix };
}

function assertExpiry(expiresS: number): void {
  if (Number.isInteger(expiresS) && expiresS > 0 && expiresS <= EXPIRES_MAX_S) return;
  throw new PangolinError('INVALID', `a grant lives from 1 to ${EXPIRES_MAX_S} seconds`);
}

/** What the SDK's signer can do besides what its type says. */
interface Presigner {
  readonly presign: (request: Request, options: { readonly expiresIn: number }) => Promise<Request>;
}

interface Request {
  readonly protocol: string;
  readonly hostname: string;
  readonly port?: number;
  readonly path: string;
  readonly query?: Record<string, unknown>;
  readonly headers: Record<string, string>;
}

function urlOf({ protocol, hostname, port, path, query = {} }: Request): string {
  const search = Object.entries(query)
    .map(([name, value]) => `${encodeURIComponent(name)}=${encodeURIComponent(String(value))}`)
    .join('&');
  return `${protocol}//${hostname}${port === undefined ? '' : `:${port}`}${path}?${search}`;
}
