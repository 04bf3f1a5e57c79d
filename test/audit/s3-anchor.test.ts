/** Anchoring against real servers with Object Lock (scripts/s3-servers.sh). */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  CreateBucketCommand,
  DeleteObjectCommand,
  ListObjectVersionsCommand,
  PutBucketVersioningCommand,
  PutObjectCommand,
} from '@aws-sdk/client-s3';
import { anchorKey, checkpointAnchorKey, checkpointAnchorPrefix, sealKey } from '@pangolin/contracts/layout';
import type { TrustDocument } from '@pangolin/contracts/trust';
import { s3LockAnchor } from '@pangolin/controller/audit/anchors/s3-lock';
import { trustDocument } from '@pangolin/controller/audit/keys';
import { rivalsOf } from '@pangolin/controller/audit/rivals';
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
      rivals: rivalsOf(world.keys),
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
    const { Versions: [only, ...others] = [] } = await client.send(
      new ListObjectVersionsCommand({ Bucket: bucket, Prefix: at.Key }),
    );
    assert.deepEqual([others.length, only!.Key], [0, at.Key]);
    await assert.rejects(client.send(new DeleteObjectCommand({ ...at, VersionId: only!.VersionId! })));

    await assert.rejects(anchor.put('a', Buffer.from('another seal')), { code: 'CONFLICT' });
    await client.send(new PutObjectCommand({ ...at, Body: 'junk' }));
    await client.send(new DeleteObjectCommand(at));
    const later = await check(world, bucket);
    assert.deepEqual([later.verdict, later.guarantee], ['verified', 'external-immutable']);
    assert.ok(later.findings.some(({ code }) => code === 'anchor-foreign-version'));
  });

  test(`${name}: junk that was there first keeps no seal out, and a genuine rival alarms`, options, async () => {
    await using world = await openWorld();
    const bucket = await newBucket(true);
    const { client } = openS3Place(`s3://${bucket}?endpoint=${endpoint}`, { credentials });
    const put = (runId: string, body: Buffer | string) =>
      client.send(new PutObjectCommand({ Bucket: bucket, Key: `team/${anchorKey(world.keys.origin, runId)}`, Body: body })); // prettier-ignore
    await put('a', 'junk');
    await recordRun(world, 'a');
    const anchors = [anchorIn(world, bucket)];
    assert.deepEqual(await world.sealer({ anchors }).advance(), { sealed: ['a'], pending: 0 });
    assert.equal((await check(world, bucket)).guarantee, 'external-immutable');
    // Another junk version on top, and a controller that died before it could write down that it had anchored.
    await put('a', 'more junk');
    world.db.exec("UPDATE seal SET stage = 'witnessed'");
    assert.deepEqual(await world.sealer({ anchors }).advance(), { sealed: ['a'], pending: 0 });
    const { Versions: versions = [] } = await client.send(
      new ListObjectVersionsCommand({ Bucket: bucket, Prefix: `team/${anchorKey(world.keys.origin, 'a')}` }),
    );
    assert.equal(versions.length, 3, 'one version of ours');

    // The same keys in another database: what an operator does who tells two stories.
    await using other = await openWorld();
    await recordRun(other, 'b', 1);
    await other.sealer({ keys: world.keys, anchors }).advance();
    await recordRun(world, 'b', 2);
    await recordRun(world, 'c', 1);
    const { sealed, pending, error } = await world.sealer({ anchors }).advance();
    assert.deepEqual([sealed, pending, error?.code], [['c'], 1, 'CONFLICT']);
    assert.match(error!.message, /holds another, genuine object/);
  });

  test(`${name}: every checkpoint is kept, and a database that is behind them is refused`, options, async () => {
    await using world = await openWorld();
    const bucket = await newBucket(true);
    const anchors = [anchorIn(world, bucket)];
    await recordRun(world, 'a');
    await world.sealer({ anchors }).advance();
    const backup = join(world.dir, 'backup');
    cpSync(join(world.dir, 'storage'), join(backup, 'storage'), { recursive: true });
    cpSync(join(world.dir, 'keys'), join(backup, 'keys'), { recursive: true });
    await world.db.backup(join(backup, 'state.db'));
    await recordRun(world, 'b');
    await world.sealer({ anchors }).advance();
    await world.sealer({ anchors }).checkLog();
    const { Versions: kept = [] } = await openS3Place(`s3://${bucket}?endpoint=${endpoint}`, {
      credentials,
    }).client.send(
      new ListObjectVersionsCommand({ Bucket: bucket, Prefix: `team/${checkpointAnchorPrefix(world.keys.origin)}` }),
    );
    assert.deepEqual(kept.map(({ Key: key }) => Number(key!.split('/').at(-1))), [1, 2]); // prettier-ignore
    assert.deepEqual(
      (await anchors[0]!.checkpointsAfter(1)).map((note) => note.split('\n')[1]),
      ['2'],
    );
    // The storage went back with it: only what nobody can take back knows better.
    await using restored = await openWorld(backup);
    const behind = restored.sealer({ anchors }).checkLog();
    await assert.rejects(behind, { code: 'CONFLICT', message: /the anchor worm has seen 2 entries of this log, the database has 1/ }); // prettier-ignore
    // Junk says nothing, and a bucket that cannot be reached keeps nobody from starting.
    const { client } = openS3Place(`s3://${bucket}?endpoint=${endpoint}`, { credentials });
    await client.send(new PutObjectCommand({ Bucket: bucket, Key: `team/${checkpointAnchorKey(world.keys.origin, 9)}`, Body: 'junk' })); // prettier-ignore
    await world.sealer({ anchors }).checkLog();
    const problems: string[] = [];
    await restored
      .sealer({ anchors: [anchorIn(world, bucket, 'http://127.0.0.1:1')] })
      .checkLog(({ message }) => void problems.push(message));
    assert.match(problems[0]!, /the anchor worm does not say how much of the log it has/);
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

  test(
    `${name}: neither type nor encoding of what lies there decides, and suspended versioning keeps nothing`,
    options,
    async (t) => {
      await using world = await openWorld();
      const bucket = await newBucket(true);
      const loose = await newBucket(false);
      await recordRun(world, 'a');
      await world.sealer().advance();
      const seal = await world.store.get(sealKey('a'));
      const Key = `team/${anchorKey(world.keys.origin, 'a')}`;
      const { client } = openS3Place(`s3://${bucket}?endpoint=${endpoint}`, { credentials });
      // Junk that claims to be compressed, from somebody without keys: a client that believes it reads nothing at all.
      await client.send(new PutObjectCommand({ Bucket: bucket, Key, Body: 'junk', ContentEncoding: 'gzip' }));
      const lock = { ObjectLockMode: 'COMPLIANCE', ObjectLockRetainUntilDate: new Date(Date.now() + 3 * 86_400_000) } as const; // prettier-ignore
      await client.send(
        new PutObjectCommand({
          Bucket: bucket,
          Key,
          Body: seal,
          ContentType: 'text/html',
          ChecksumAlgorithm: 'SHA256',
          ...lock,
        }),
      );
      const fine = await check(world, bucket);
      assert.deepEqual([fine.verdict, fine.guarantee], ['verified', 'external-immutable'], JSON.stringify(fine));
      assert.ok(fine.findings.some(({ code }) => code === 'anchor-foreign-version'));

      if (name === 'moto') return t.diagnostic('moto does not find a version that is called null');
      const versioning = (Status: 'Enabled' | 'Suspended') =>
        client.send(new PutBucketVersioningCommand({ Bucket: loose, VersioningConfiguration: { Status } }));
      await versioning('Enabled');
      await versioning('Suspended');
      await client.send(new PutObjectCommand({ Bucket: loose, Key, Body: 'junk' }));
      assert.equal((await check(world, loose)).failure, 'anchor-missing');
      await client.send(new PutObjectCommand({ Bucket: loose, Key, Body: seal }));
      const { Versions: versions = [] } = await client.send(new ListObjectVersionsCommand({ Bucket: loose }));
      assert.deepEqual(versions.map(({ VersionId: id }) => id), ['null'], 'the write has replaced the one before'); // prettier-ignore
      assert.equal((await check(world, loose)).failure, 'anchor-weak');
    },
  );

  test(`${name}: a run that was not anchored, and an auditor without access`, options, async (t) => {
    await using world = await openWorld();
    const bucket = await newBucket(true);
    await recordRun(world, 'a');
    await world.sealer().advance();
    const missing = await check(world, bucket);
    assert.deepEqual([missing.verdict, missing.failure], ['failed', 'anchor-missing']);
    if (name === 'moto') return t.diagnostic('moto checks no signatures');
    const outsider = await check(world, bucket, { ...credentials, secretAccessKey: 'wrong' });
    assert.deepEqual([outsider.verdict, outsider.guarantee], ['incomplete', 'detect']);
    assert.match(outsider.checks.anchor.detail, /^It cannot be checked because .* 403/);
  });
}
