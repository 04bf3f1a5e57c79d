/**
 * What a task on S3 is given instead of credentials: URLs that read exactly its inputs, one that creates its boot
 * record, and a form that writes below its own attempt prefix. All end by themselves.
 */
import { createPresignedPost } from '@aws-sdk/s3-presigned-post';
import { GetObjectCommand } from '@aws-sdk/client-s3';
import { PangolinError } from '@pangolin/contracts/errors';
import type { PostGrant, RequestGrant } from '@pangolin/contracts/task';
import { assertKey, assertPrefix } from './keys.ts';
import type { GrantTarget, Grantor } from './object-store.ts';
import { s3Error } from './s3-errors.ts';
import type { S3Place } from './s3-place.ts';
import { objectAt } from './s3-request.ts';

/** A signature cannot live longer. */
export const EXPIRES_MAX_S = 7 * 24 * 3600;

export function s3Grantor(place: S3Place): Grantor {
  return {
    target: () => targetOf(place),
    expiry: (seconds) => expiryOf(place, seconds),
    read: (key, seconds) => presignGet(place, key, seconds),
    create: (key, seconds) => presignCreate(place, key, seconds),
    write: (prefix, seconds, maxBytes) => presignPost(place, prefix, { expiresS: seconds, maxBytes }),
  };
}

async function targetOf(place: S3Place): Promise<GrantTarget> {
  const { origin, pathname } = new URL(await presignGet(place, 'x', 1));
  const form = new URL((await presignPost(place, 'x/', { expiresS: 1, maxBytes: 1 })).url);
  const ca = place.ca === undefined ? {} : { ca: place.ca };
  return { origin, prefixPath: pathname.slice(0, -1), formPath: form.pathname, ...ca };
}

/** With the credentials of a role a signature ends with these. */
async function expiryOf(place: S3Place, seconds: number): Promise<{ readonly seconds: number; readonly at: Date }> {
  assertExpiry(seconds);
  const { expiration } = await place.client.config.credentials().catch((error: unknown) => {
    throw s3Error(error, 'sign for tasks');
  });
  const now = Date.now();
  const left = expiration === undefined ? Infinity : Math.floor((expiration.getTime() - now) / 1000);
  const granted = Math.max(1, Math.min(seconds, left));
  return { seconds: granted, at: new Date(now + granted * 1000) };
}

async function presignGet(place: S3Place, key: string, expiresS: number): Promise<string> {
  return await presign(place, 'GET', key, {}, expiresS);
}

async function presignCreate(place: S3Place, key: string, expiresS: number): Promise<RequestGrant> {
  // Signed with it, the request is not valid without the condition.
  const headers = { 'if-none-match': '*', ...encryptionFields(place) };
  return { url: await presign(place, 'PUT', key, headers, expiresS), headers };
}

async function presign(
  place: S3Place,
  method: 'GET' | 'PUT',
  key: string,
  headers: Readonly<Record<string, string>>,
  expiresS: number,
): Promise<string> {
  assertKey(key);
  assertExpiry(expiresS);
  const { client } = place;
  // Of a command that gets so far that it would be signed and sent, and is neither.
  const command = new GetObjectCommand(objectAt(place, key));
  let url: string | undefined;
  command.middlewareStack.add(
    () => async (args) => {
      const request = args.request as Request;
      const signer = (await client.config.signer()) as unknown as Presigner;
      const host = request.headers['host'] ?? '';
      const signed = await signer.presign(
        {
          ...request,
          method,
          query: {},
          headers: { host, 'x-amz-content-sha256': 'UNSIGNED-PAYLOAD', ...headers },
        },
        {
          expiresIn: expiresS,
          // A clock that is found wrong is corrected, as it is for the client's own requests.
          signingDate: new Date(Date.now() + client.config.systemClockOffset),
          unhoistableHeaders: new Set(Object.keys(headers)),
        },
      );
      url = urlOf(signed);
      return { response: undefined, output: { $metadata: {} } };
    },
    { step: 'finalizeRequest', name: 'presign', priority: 'high' },
  );
  await client.send(command).catch((error: unknown) => {
    throw s3Error(error, `sign for ${key}`);
  });
  if (url === undefined) throw new PangolinError('INTERNAL', `the SDK made no request for ${key}`);
  return url;
}

async function presignPost(
  place: S3Place,
  prefix: string,
  limits: { readonly expiresS: number; readonly maxBytes: number },
): Promise<PostGrant> {
  assertPrefix(prefix);
  if (!prefix.endsWith('/')) throw new PangolinError('INVALID', 'a grant is for a prefix that ends with a slash');
  assertExpiry(limits.expiresS);
  const keyPrefix = place.prefix + prefix;
  const { url, fields } = await createPresignedPost(place.client, {
    Bucket: place.bucket,
    Key: `${keyPrefix}\${filename}`,
    Expires: limits.expiresS,
    Fields: { 'x-amz-checksum-algorithm': 'SHA256', ...encryptionFields(place) },
    Conditions: [
      ['content-length-range', 0, limits.maxBytes],
      ['starts-with', '$x-amz-checksum-sha256', ''],
    ],
  }).catch((error: unknown) => {
    throw s3Error(error, `sign for ${prefix}`);
  });
  return { url, fields, keyPrefix, maxBytes: limits.maxBytes };
}

function encryptionFields({ encryption }: S3Place): Record<string, string> {
  const { ServerSideEncryption: mode, SSEKMSKeyId: kmsKeyId } = encryption;
  return {
    ...(mode === undefined ? {} : { 'x-amz-server-side-encryption': mode }),
    ...(kmsKeyId === undefined ? {} : { 'x-amz-server-side-encryption-aws-kms-key-id': kmsKeyId }),
  };
}

function assertExpiry(expiresS: number): void {
  if (Number.isInteger(expiresS) && expiresS > 0 && expiresS <= EXPIRES_MAX_S) return;
  throw new PangolinError('INVALID', `a grant lives from 1 to ${EXPIRES_MAX_S} seconds`);
}

/** What the SDK's signer can do besides what its type says. */
interface Presigner {
  readonly presign: (
    request: Request,
    options: {
      readonly expiresIn: number;
      readonly signingDate: Date;
      readonly unhoistableHeaders: ReadonlySet<string>;
    },
  ) => Promise<Request>;
}

interface Request {
  readonly method?: string;
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
