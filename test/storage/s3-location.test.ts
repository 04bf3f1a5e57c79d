import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseS3Location } from '@pangolin/storage/s3-location';
import { openS3Place } from '@pangolin/storage/s3-place';
import { fails } from './tools.ts';

const plain = {
  bucket: 'bucket',
  prefix: '',
  endpoint: undefined,
  region: undefined,
  pathStyle: false,
  encryption: undefined,
  caFile: undefined,
};
const local = { ...plain, endpoint: 'http://127.0.0.1:9000', region: 'us-east-1', pathStyle: true };

for (const [location, env, expected] of [
  ['s3://bucket', {}, plain],
  ['s3://bucket/', {}, plain],
  ['S3://bucket/a/b', {}, { ...plain, prefix: 'a/b/' }],
  ['s3://bucket/a b/ü%20/', {}, { ...plain, prefix: 'a b/ü%20/' }],
  ['s3://bucket?endpoint=http://127.0.0.1:9000', {}, local],
  ['s3://bucket', { AWS_ENDPOINT_URL: 'http://127.0.0.1:9000' }, local],
  ['s3://bucket', { AWS_ENDPOINT_URL: 'http://x', AWS_ENDPOINT_URL_S3: 'http://127.0.0.1:9000' }, local],
  ['s3://bucket?endpoint=http://127.0.0.1:9000', { AWS_ENDPOINT_URL_S3: 'http://x' }, local],
  [
    's3://bucket?endpoint=http://127.0.0.1:9000&pathStyle=false&region=eu-1',
    {},
    { ...local, pathStyle: false, region: 'eu-1' },
  ],
  ['s3://bucket', { AWS_REGION: 'r1', AWS_DEFAULT_REGION: 'r2' }, { ...plain, region: 'r1' }],
  ['s3://bucket', { AWS_DEFAULT_REGION: 'r2', AWS_CA_BUNDLE: '/ca' }, { ...plain, region: 'r2', caFile: '/ca' }],
  ['s3://bucket?ca=/other', { AWS_CA_BUNDLE: '/ca' }, { ...plain, caFile: '/other' }],
  ['s3://bucket?encryption=AES256', {}, { ...plain, encryption: { mode: 'AES256' } }],
  [
    's3://bucket?encryption=aws:kms&kmsKeyId=arn:aws:kms:eu-1:1:key/a',
    {},
    { ...plain, encryption: { mode: 'aws:kms', kmsKeyId: 'arn:aws:kms:eu-1:1:key/a' } },
  ],
] as const) {
  test(`${location} with ${JSON.stringify(env)} is understood`, () => {
    assert.deepEqual(parseS3Location(location, env), expected);
  });
}

for (const location of [
  's3://',
  's3:///prefix',
  's3://UPPER',
  's3://a',
  's3://key:secret@bucket',
  's3://bucket//x',
  's3://bucket/../x',
  's3://bucket/a#b',
  's3://bucket?unknown=1',
  's3://bucket?region=a&region=b',
  's3://bucket?region=',
  's3://bucket?pathStyle=yes',
  's3://bucket?endpoint=ftp://x',
  's3://bucket?endpoint=x',
  's3://bucket?endpoint=http://key:secret@x',
  's3://bucket?encryption=aws:kms',
  's3://bucket?encryption=none',
  's3://bucket?kmsKeyId=k',
]) {
  test(`${location} is INVALID, and no secret of it is repeated`, () => {
    assert.throws(
      () => parseS3Location(location, {}),
      (error: unknown) => fails('INVALID')(error) && !String(error).includes('secret'),
    );
  });
}

test('a missing file of CA certificates is NOT_FOUND', () => {
  assert.throws(() => openS3Place('s3://bucket?region=r&ca=/no/such/file'), fails('NOT_FOUND'));
});
