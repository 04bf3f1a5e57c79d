/** The S3 servers that scripts/s3-servers.sh starts, and places on them. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { CreateBucketCommand, PutBucketVersioningCommand, S3ServiceException } from '@aws-sdk/client-s3';
import { openS3Place, type S3Place, type S3PlaceOptions } from '@pangolin/storage/s3-place';
import { s3Store } from '@pangolin/storage/s3-store';
import type { Space } from './conformance.ts';

const credentials = { accessKeyId: 'testaccess', secretAccessKey: 'testsecret' };

export interface S3Server {
  /** Why its tests cannot run; in CI they fail instead. */
  readonly skip: string | undefined;
  readonly endpoint: string;
}

function s3Server(variable: string): S3Server {
  const endpoint = process.env[variable];
  const missing = `${variable} is not set (scripts/s3-servers.sh up starts the server)`;
  return { skip: endpoint === undefined && !process.env['CI'] ? missing : undefined, endpoint: endpoint ?? '' };
}

export const rgw = s3Server('PANGOLIN_TEST_S3_RGW');
export const moto = s3Server('PANGOLIN_TEST_S3_MOTO');
export const dbstore = s3Server('PANGOLIN_TEST_S3_DBSTORE');

/** An empty prefix in a bucket that exists. */
export async function freshPlace(
  server: S3Server,
  {
    bucket = 'pangolin-test',
    query = '',
    endpoint = server.endpoint,
    prefix = `t ü/${randomUUID()}`,
    ...options
  }: { bucket?: string; query?: string; endpoint?: string; prefix?: string } & S3PlaceOptions = {},
): Promise<S3Place> {
  assert.notEqual(server.endpoint, '', 'in CI every S3 server must be there');
  const admin = openS3Place(`s3://${bucket}?endpoint=${server.endpoint}`, { credentials });
  await admin.client.send(new CreateBucketCommand({ Bucket: bucket })).catch((error: unknown) => {
    if (!(error instanceof S3ServiceException && error.name.startsWith('BucketAlready'))) throw error;
  });
  return openS3Place(`s3://${bucket}/${prefix}?endpoint=${endpoint}${query}`, { credentials, ...options });
}

export async function makeVersioned(place: S3Place): Promise<void> {
  await place.client.send(
    new PutBucketVersioningCommand({ Bucket: place.bucket, VersioningConfiguration: { Status: 'Enabled' } }),
  );
}

/** For the conformance suite. */
export async function spaceOn(server: S3Server): Promise<Space> {
  const place = await freshPlace(server);
  return {
    store: s3Store(place),
    again: async () => s3Store({ ...place }),
    dispose: async () => undefined,
  };
}
