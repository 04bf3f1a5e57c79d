/** Reads an S3 bucket with nothing but fetch: three requests, none of which changes anything. */
import { messageOf, PangolinError } from '@pangolin/contracts/errors';
import type { TrustedAnchor } from '@pangolin/contracts/trust';
import { SIGSTORE_BYTES_MAX } from '../sigstore-file.ts';
import type { AnchorArchive, AnchorReader, AnchorVersion } from './anchor.ts';
import { encode, signV4, type Credentials } from './sigv4.ts';

/** A key with more versions than this is somebody's attempt to keep us busy. */
const PAGES_MAX = 20;
/** Of a thousand seals or checkpoints each. */
const ARCHIVE_PAGES_MAX = 10_000;
const LISTING_BYTES_MAX = 4 * 2 ** 20;
const TIMEOUT_MS = 30_000;
const COMPRESSED = /gzip|deflate|br|zstd|compress/i;

type Query = Readonly<Record<string, string>>;

/** @param credentials of somebody who may list versions and read objects; without them requests are not signed. */
export function openS3Anchor(
  anchor: TrustedAnchor,
  credentials: Credentials | undefined,
): AnchorReader & AnchorArchive {
  const ask = (method: 'GET' | 'HEAD', key: string, query: Query): Promise<Response> =>
    request(method, urlOf(anchor, key, query), anchor.region, credentials);
  const list = async (prefix: string, at: Query): Promise<string> => {
    const response = await ask('GET', '', { versions: '', prefix, 'encoding-type': 'url', ...at });
    return (await bodyOf(response, LISTING_BYTES_MAX)).toString('utf8');
  };
  const endless = () => new PangolinError('UNAVAILABLE', 'the listing of the anchor does not end');
  return {
    async versions(key) {
      const versions: AnchorVersion[] = [];
      let at: Query = {};
      for (let page = 0; page < PAGES_MAX; page++) {
        const listing = readListing(await list(key, at), key);
        versions.push(...listing.versions);
        if (!listing.next) return versions.reverse();
        at = listing.next;
      }
      throw endless();
    },
    async *keys(prefix) {
      let at: Query = {};
      for (let page = 0; page < ARCHIVE_PAGES_MAX; page++) {
        const { entries, next } = readPage(await list(prefix, at));
        for (const { key, versionId, deleteMarker } of entries) {
          if (!deleteMarker && key.startsWith(prefix)) yield { key, versionId };
        }
        if (!next) return;
        at = next;
      }
      throw endless();
    },
    async get(key, versionId) {
      const head = await ask('HEAD', key, { versionId });
      if (Number(head.headers.get('content-length')) > SIGSTORE_BYTES_MAX) return undefined;
      // Nobody who anchors compresses, and fetch would fail on what only claims to be.
      if (COMPRESSED.test(head.headers.get('content-encoding') ?? '')) return undefined;
      const timeOf = (name: string): number | undefined => {
        const at = Date.parse(head.headers.get(name) ?? '');
        return Number.isNaN(at) ? undefined : at;
      };
      return {
        body: await bodyOf(await ask('GET', key, { versionId }), SIGSTORE_BYTES_MAX),
        lockMode: head.headers.get('x-amz-object-lock-mode') ?? undefined,
        retainUntil: timeOf('x-amz-object-lock-retain-until-date'),
        lastModified: timeOf('last-modified'),
      };
    },
  };
}

/** From the environment, by the names that AWS tools use. */
export function credentialsOf(env: NodeJS.ProcessEnv): Credentials | undefined {
  const {
    AWS_ACCESS_KEY_ID: accessKeyId,
    AWS_SECRET_ACCESS_KEY: secretAccessKey,
    AWS_SESSION_TOKEN: sessionToken,
  } = env;
  if (!accessKeyId || !secretAccessKey) return undefined;
  return { accessKeyId, secretAccessKey, ...(sessionToken && { sessionToken }) };
}

function urlOf({ bucket, region, endpoint }: TrustedAnchor, key: string, query: Query): URL {
  // A dot in a bucket's name does not fit the certificate of AWS.
  const inHost = endpoint === undefined && !bucket.includes('.');
  const base = endpoint ?? `https://${inHost ? `${bucket}.` : ''}s3.${region}.amazonaws.com`;
  const path = [...(inHost ? [] : [bucket]), ...key.split('/')].map(encode).join('/');
  const search = Object.keys(query)
    .sort()
    .map((name) => `${encode(name)}=${encode(query[name]!)}`);
  return new URL(`${base.replace(/\/$/, '')}/${path.replace(/\/$/, '')}?${search.join('&')}`);
}

async function request(
  method: 'GET' | 'HEAD',
  url: URL,
  region: string,
  credentials: Credentials | undefined,
): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(url, {
      method,
      headers: credentials ? signV4(method, url, region, credentials, new Date()) : {},
      redirect: 'error',
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
  } catch (cause) {
    const why = cause instanceof Error && cause.cause instanceof Error ? cause.cause.message : messageOf(cause);
    throw new PangolinError('UNAVAILABLE', `${url.host} gave no answer: ${why}`, { cause });
  }
  if (response.ok) return response;
  await response.body?.cancel();
  const denied = response.status === 401 || response.status === 403;
  throw new PangolinError(
    denied ? 'DENIED' : 'UNAVAILABLE',
    `${url.host} answered with HTTP status ${response.status}`,
    {
      hint: 'Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY of somebody who may list versions and read objects there.',
    },
  );
}

async function bodyOf(response: Response, bytesMax: number): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  try {
    for await (const chunk of response.body ?? []) {
      length += chunk.length;
      if (length > bytesMax) throw new PangolinError('UNAVAILABLE', 'the anchor sent more than it announced');
      chunks.push(chunk);
    }
  } catch (cause) {
    throw new PangolinError('UNAVAILABLE', `the anchor broke off: ${messageOf(cause)}`, { cause });
  }
  return Buffer.concat(chunks);
}

interface Listing {
  /** Newest first, as S3 lists the versions of one key. */
  readonly versions: AnchorVersion[];
  readonly next?: Query;
}

/** The listing of one key. */
export function readListing(xml: string, key: string): Listing {
  const { entries, next } = readPage(xml);
  const versions = entries
    .filter((entry) => entry.key === key)
    .map(({ versionId, deleteMarker }) => ({ versionId, deleteMarker }));
  // Keys behind ours only start with it: nothing of this run comes any more.
  return next === undefined || next['key-marker']! > key ? { versions } : { versions, next };
}

interface Page {
  readonly entries: readonly (AnchorVersion & { readonly key: string })[];
  readonly next?: Query;
}

/** ListObjectVersions. Keys are asked for URL-encoded, so no markup is in anything that is read here. */
function readPage(xml: string): Page {
  const field = (text: string, name: string): string =>
    new RegExp(`<${name}>([^<]*)</${name}>`).exec(text)?.[1]?.replaceAll('&amp;', '&') ?? '';
  if (!/<ListVersionsResult[\s>]/.test(xml)) {
    throw new PangolinError('UNAVAILABLE', 'the anchor answered with something else than a listing');
  }
  const entries = [...xml.matchAll(/<(Version|DeleteMarker)>(.*?)<\/\1>/gs)].map(([, kind, body]) => ({
    key: decode(field(body!, 'Key')),
    versionId: field(body!, 'VersionId'),
    deleteMarker: kind === 'DeleteMarker',
  }));
  if (field(xml, 'IsTruncated') !== 'true') return { entries };
  const marker = {
    'key-marker': decode(field(xml, 'NextKeyMarker')),
    'version-id-marker': field(xml, 'NextVersionIdMarker'),
  };
  return { entries, next: marker };
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '));
  } catch {
    return '';
  }
}
