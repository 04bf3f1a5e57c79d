/** A client and the prefix it works on: what the store and the grants share. */
import { readFileSync } from 'node:fs';
import { S3Client, type S3ClientConfig } from '@aws-sdk/client-s3';
import { fsError } from './fs-errors.ts';
import { parseS3Location } from './s3-location.ts';

/** Tries of one request, the first included. Between them the SDK waits, up to 20 s, and stops when too much fails. */
export const ATTEMPTS_MAX = 5;
const CONNECT_MS = 5_000;
/** A server that sends nothing for so long is given up, before and inside a body. */
const SILENCE_MS = 30_000;
const SOCKETS_MAX = 64;

export interface S3Place {
  readonly client: S3Client;
  readonly bucket: string;
  /** `''` or ends with `/`. */
  readonly prefix: string;
  /** PEM certificates of the endpoint; Node's own when absent. */
  readonly ca?: Buffer;
  /** For people: bucket and prefix. */
  readonly location: string;
  /** Parameters of every write; empty when the bucket's default holds. */
  readonly encryption: { readonly ServerSideEncryption?: 'AES256' | 'aws:kms'; readonly SSEKMSKeyId?: string };
}

export interface S3PlaceOptions {
  /** Instead of the default chain. */
  readonly credentials?: { readonly accessKeyId: string; readonly secretAccessKey: string };
  /** Gives up sooner than ATTEMPTS_MAX. */
  readonly maxAttempts?: number;
  /** Gives up on a silent server sooner than after SILENCE_MS. */
  readonly silenceMs?: number;
}

/** Makes no request. @throws PangolinError INVALID; NOT_FOUND for a missing CA file */
export function openS3Place(location: string, options: S3PlaceOptions = {}): S3Place {
  const { bucket, prefix, endpoint, region, pathStyle, encryption, caFile } = parseS3Location(location);
  const ca = caFile === undefined ? {} : { ca: readCa(caFile) };
  const config: S3ClientConfig = {
    forcePathStyle: pathStyle,
    maxAttempts: options.maxAttempts ?? ATTEMPTS_MAX,
    // Checksums are asked for by name where they matter.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    requestHandler: {
      connectionTimeout: CONNECT_MS,
      socketTimeout: options.silenceMs ?? SILENCE_MS,
      httpAgent: { maxSockets: SOCKETS_MAX, keepAlive: true },
      httpsAgent: { maxSockets: SOCKETS_MAX, keepAlive: true, ...ca },
    },
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(region === undefined ? {} : { region }),
    ...(options.credentials === undefined ? {} : { credentials: options.credentials }),
  };
  return {
    client: new S3Client(config),
    bucket,
    prefix,
    ...ca,
    location: `s3://${bucket}/${prefix.replace(/\/$/, '')}`,
    encryption:
      encryption === undefined
        ? {}
        : {
            ServerSideEncryption: encryption.mode,
            ...(encryption.mode === 'aws:kms' ? { SSEKMSKeyId: encryption.kmsKeyId } : {}),
          },
  };
}

function readCa(file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (error) {
    throw fsError(error, 'read the CA certificates of the S3 endpoint');
  }
}
