/** Anchoring against real servers with Object Lock (scripts/s3-servers.sh). */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import {
  CreateBucketCommand,
  DeleteObjectCommand,
  ListObjectVersionsCommand,
  PutObjectCommand,
} from '@aws-sdk/client-s3';
import { anchorKey, sealKey } from '@pangolin/contracts/layout';
import type { TrustDocument } from '@pangolin/contracts/trust';
import { s3LockAnchor } from '@pangolin/controller/audit/anchors/s3-lock';
import { trustDocument } from '@pangolin/controller/audit/keys';
import { exportBundle } from '@pangolin/storage/bundle';
import { openS3Place } from '@pangolin/storage/s3-place';
import { openS3Anchor } from '@pangolin/verify/anchor/s3';
import { memoryReader } from '@pangolin/verify/readers/memory';
import type { Report } from '@pangolin/verify/report';
import { verifyBundle } from '@pangolin/verify/verify';
import { moto, rgw } from '../storage/s3-servers.ts';
import { openWorld, recordRun, type World } from './world.ts';

const credentials = { accessKeyId: 'testaccess', secretAccessKey: 'testsecret' };
const region = 'us-east-1';

for (const [name, { skip, endpoint }] of Object.entries({ rgw, moto })) {
  const options = { skip: skip ?? false };

  const newBucket = async (locked: boolean): Promise<string> => {
    assert.notEqual(endpoint, '', 'in CI every S3 server must be there');
    const bucket = `anchor-${randomUUID()}`;
    const place = openS3Place(`s3://${bucket}?endpoint=${endpoint}`, { credentials });
    await place.client.send(new CreateBucketCommand({ Bucket: bucket, ObjectLockEnabledForBucket: locked }));
    return bucket;
  };
  const anchorIn = (world: World, bucket: string, at = endpoint) =>
    s3LockAnchor({
      id: 'worm',
      origin: world.keys.origin,
      bucket,
      region,
      endpoint: at,
      prefix: 'team/',
      retentionDays: 2,
      now: Date.now,
      access: { credentials, maxAttempts: 1 },
    });
  const check = async (world: World, bucket: string, as = credentials): Promise<Report> => {
    const files = new Map<string, Buffer>();
    for await (const { name: file, body } of exportBundle(world.store, 'a')) files.set(file, body);
    const anchors = [
      { type: 's3-object-lock' as const, bucket, region, endpoint, prefix: 'team/', minRetentionDays: 2 },
    ];
    const trust: TrustDocument = { ...trustDocument(world.keys), anchors };
    return verifyBundle(memoryReader(files), trust, { openAnchor: (each) => openS3Anchor(each, as) });
  };

  test(`${name}: an anchored seal is tamper-evident, and stays so whatever is put on top`, options, async () => {
    await using world = await openWorld();
    const bucket = await newBucket(true);
    await recordRun(world, 'a');
    const anchor = anchorIn(world, bucket);
    assert.deepEqual(await world.sealer({ anchors: [anchor] }).advance(), { sealed: ['a'], pending: 0 });
    const first = await check(world, bucket);
    assert.equal(first.verdict, 'verified', JSON.stringify(first.checks));
    assert.deepEqual([first.guarantee, first.claim], ['external-immutable', 'tamper-evident']);
    assert.deepEqual(first.findings.filter(({ code }) => code.startsWith('anchor')), []); // prettier-ignore

    const seal = await world.store.get(sealKey('a'));
    await anchor.put('a', seal);
    const { client } = openS3Place(`s3://${bucket}?endpoint=${endpoint}`, { credentials });
    const at = { Bucket: bucket, Key: `team/${anchorKey(world.keys.origin, 'a')}` };
    const { Versions: [only, ...others] = [] } = await client.send(new ListObjectVersionsCommand({ Bucket: bucket }));
    assert.deepEqual([others.length, only!.Key], [0, at.Key]);
    await assert.rejects(client.send(new DeleteObjectCommand({ ...at, VersionId: only!.VersionId! })));

    await assert.rejects(anchor.put('a', Buffer.from('another seal')), { code: 'CONFLICT' });
    await client.send(new PutObjectCommand({ ...at, Body: 'junk' }));
    await client.send(new DeleteObjectCommand(at));
    const later = await check(world, bucket);
    assert.deepEqual([later.verdict, later.guarantee], ['verified', 'external-immutable']);
    assert.ok(later.findings.some(({ code }) => code === 'anchor-foreign-version'));
  });

  test(`${name}: a bucket without Object Lock anchors nothing, and the seal waits`, options, async () => {
    await using world = await openWorld();
    const bucket = await newBucket(false);
    await recordRun(world, 'a');
    const { sealed, pending, error } = await world.sealer({ anchors: [anchorIn(world, bucket)] }).advance();
    assert.deepEqual([sealed, pending], [[], 1]);
    assert.match(error!.message, /the run a is not sealed: /);
  });

  test(`${name}: a seal waits for an anchor that is down, and is the same when it comes back`, options, async () => {
    await using world = await openWorld();
    const bucket = await newBucket(true);
    await recordRun(world, 'a');
    const down = await world.sealer({ anchors: [anchorIn(world, bucket, 'http://127.0.0.1:1')] }).advance();
    assert.deepEqual([down.sealed, down.pending, down.error!.code], [[], 1, 'UNAVAILABLE']);
    const { sig } = world.evidence.sealOf('a')!;
    assert.deepEqual((await world.sealer({ anchors: [anchorIn(world, bucket)] }).advance()).sealed, ['a']);
    assert.deepEqual(world.evidence.sealOf('a')!.sig, sig);
    assert.equal((await check(world, bucket)).guarantee, 'external-immutable');
  });

  test(`${name}: a run that was not anchored, and an auditor without access`, options, async (t) => {
    await using world = await openWorld();
    const bucket = await newBucket(true);
    await recordRun(world, 'a');
    await world.sealer().advance();
    const missing = await check(world, bucket);
    assert.deepEqual([missing.verdict, missing.failure], ['failed', 'anchor-missing']);
    if (name === 'moto') return t.diagnostic('moto checks no signatures');
    const outsider = await check(world, bucket, { ...credentials, secretAccessKey: 'wrong' });
    assert.deepEqual([outsider.verdict, outsider.guarantee], ['verified', 'detect']);
    assert.ok(outsider.findings.some(({ code }) => code === 'anchor-unreachable'));
  });
}
