/**
 * Where an S3 store is and how it is reached:
 *
 *   s3://bucket/prefix?endpoint=http://127.0.0.1:9000&pathStyle=true&region=us-east-1
 *
 * | option     | meaning                                                                 | when absent |
 * |------------|-------------------------------------------------------------------------|-------------|
 * | endpoint   | URL of an S3-compatible server                                          | AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, then AWS |
 * | region     | signing region                                                          | AWS_REGION, AWS_DEFAULT_REGION, the shared config file; us-east-1 with an endpoint |
 * | pathStyle  | true: `endpoint/bucket/key`, false: `bucket.endpoint/key`               | true with an endpoint, else false |
 * | encryption | AES256 or aws:kms, asked for with every write                           | the bucket's default holds |
 * | kmsKeyId   | the key of aws:kms                                                      | |
 * | ca         | file of PEM certificates that the endpoint's certificate is checked with | AWS_CA_BUNDLE, then those of Node |
 *
 * Credentials come from where AWS tools look for them (environment, shared files, container and instance roles)
 * and never from the location, which is shown to people and written to logs.
 */
import { PangolinError } from '@pangolin/contracts/errors';
import { assertPrefix } from './keys.ts';

export type Encryption = { readonly mode: 'AES256' } | { readonly mode: 'aws:kms'; readonly kmsKeyId: string };

export interface S3Location {
  readonly bucket: string;
  /** `''` or ends with `/`. */
  readonly prefix: string;
  readonly endpoint: string | undefined;
  /** undefined: as the SDK finds it. */
  readonly region: string | undefined;
  readonly pathStyle: boolean;
  /** undefined: the bucket's default. */
  readonly encryption: Encryption | undefined;
  readonly caFile: string | undefined;
}

type Environment = Readonly<Record<string, string | undefined>>;

const OPTIONS = ['endpoint', 'region', 'pathStyle', 'encryption', 'kmsKeyId', 'ca'] as const;
const BUCKET = /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/;

/** @throws PangolinError INVALID */
export function parseS3Location(location: string, env: Environment = process.env): S3Location {
  const [, bucket = '', path = '', query = ''] = /^s3:\/\/([^/?#]*)\/?([^?#]*)(?:\?([^#]*))?$/i.exec(location) ?? [];
  if (!BUCKET.test(bucket)) {
    // The bucket is not repeated: it may be a password in front of an @.
    throw invalid('an S3 location starts with s3:// and the name of a bucket');
  }
  const prefix = path === '' || path.endsWith('/') ? path : `${path}/`;
  assertPrefix(prefix);
  const options = parseOptions(query);
  const endpoint = options.get('endpoint') ?? (env['AWS_ENDPOINT_URL_S3'] || env['AWS_ENDPOINT_URL'] || undefined);
  if (endpoint !== undefined) assertEndpoint(endpoint);
  const region = options.get('region') ?? (env['AWS_REGION'] || env['AWS_DEFAULT_REGION'] || undefined);
  return {
    bucket,
    prefix,
    endpoint,
    region: region ?? (endpoint === undefined ? undefined : 'us-east-1'),
    pathStyle: parseBoolean(options.get('pathStyle')) ?? endpoint !== undefined,
    encryption: parseEncryption(options.get('encryption'), options.get('kmsKeyId')),
    caFile: options.get('ca') ?? (env['AWS_CA_BUNDLE'] || undefined),
  };
}

function parseOptions(query: string): ReadonlyMap<string, string> {
  const options = new Map<string, string>();
  for (const [name, value] of new URLSearchParams(query)) {
    if (!(OPTIONS as readonly string[]).includes(name)) throw invalid(`unknown option ${JSON.stringify(name)}`);
    if (options.has(name)) throw invalid(`the option ${name} is given twice`);
    if (value === '') throw invalid(`the option ${name} is empty`);
    options.set(name, value);
  }
  return options;
}

function parseBoolean(text: string | undefined): boolean | undefined {
  if (text === undefined) return undefined;
  if (text !== 'true' && text !== 'false') throw invalid('pathStyle is true or false');
  return text === 'true';
}

function parseEncryption(mode: string | undefined, kmsKeyId: string | undefined): Encryption | undefined {
  if (mode === 'aws:kms') {
    if (kmsKeyId === undefined) throw invalid('encryption=aws:kms needs kmsKeyId');
    return { mode, kmsKeyId };
  }
  if (kmsKeyId !== undefined) throw invalid('kmsKeyId needs encryption=aws:kms');
  if (mode === undefined) return undefined;
  if (mode !== 'AES256') throw invalid('encryption is AES256 or aws:kms');
  return { mode };
}

function assertEndpoint(endpoint: string): void {
  const url = URL.parse(endpoint);
  if (url === null || !['http:', 'https:'].includes(url.protocol)) throw invalid('endpoint is an http or https URL');
  if (url.username !== '' || url.password !== '') throw invalid('an endpoint holds no credentials');
}

function invalid(problem: string): PangolinError {
  return new PangolinError('INVALID', `the S3 location is not usable: ${problem}`, {
    hint: `s3://bucket/prefix, with the options ${OPTIONS.join(', ')}.`,
  });
}
