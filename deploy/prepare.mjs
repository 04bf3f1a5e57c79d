// Run once by deploy/compose.yaml, in the controller image: prepare.mjs DIR ENDPOINT
// Makes DIR the controller's (uid 1000), and the buckets `pangolin` and, with Object Lock, `pangolin-worm`. May be repeated.
import { chownSync, mkdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';

const { CreateBucketCommand, GetObjectLockConfigurationCommand, S3Client } =
  createRequire('/opt/pangolin/storage/')('@aws-sdk/client-s3');
const [dir, endpoint] = process.argv.slice(2);
for (const path of [dir, join(dir, 'state'), join(dir, 'tmp')]) {
  mkdirSync(path, { recursive: true, mode: 0o700 });
  chownSync(path, 1000, 1000);
}

const s3 = new S3Client({ endpoint, forcePathStyle: true });
for (const [Bucket, ObjectLockEnabledForBucket] of [
  ['pangolin', false],
  ['pangolin-worm', true],
]) {
  await s3.send(new CreateBucketCommand({ Bucket, ObjectLockEnabledForBucket })).catch((error) => {
    if (!error.name.startsWith('BucketAlready')) throw error;
  });
}
// One of that name may have been there without: then nothing in it is kept.
const { ObjectLockConfiguration } = await s3.send(new GetObjectLockConfigurationCommand({ Bucket: 'pangolin-worm' }));
if (ObjectLockConfiguration?.ObjectLockEnabled !== 'Enabled') throw new Error('pangolin-worm has no Object Lock');
console.log('the buckets and the directory are there');
