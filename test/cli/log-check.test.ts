/** `pangolin log check` over storages whose operator did something to the log, with and without a bucket that remembers. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { cpSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { CreateBucketCommand } from '@aws-sdk/client-s3';
import { CHECKPOINT, eventsKey, runPrefix, sealKey, tileKey } from '@pangolin/contracts/layout';
import { s3LockAnchor } from '@pangolin/controller/audit/anchors/s3-lock';
import { trustDocument } from '@pangolin/controller/audit/keys';
import type { Anchor } from '@pangolin/controller/audit/outside';
import { rivalsOf } from '@pangolin/controller/audit/rivals';
import { openS3Place } from '@pangolin/storage/s3-place';
import type { LogReport } from '@pangolin/verify/log/check-log';
import { gist, standalone } from '../audit/standalone.ts';
import { openWorld, recordRun, type World } from '../audit/world.ts';
import { moto, rgw, type S3Server } from '../storage/s3-servers.ts';
import { pangolin } from './harness.ts';

const credentials = { accessKeyId: 'testaccess', secretAccessKey: 'testsecret' };
const AWS = { AWS_ACCESS_KEY_ID: credentials.accessKeyId, AWS_SECRET_ACCESS_KEY: credentials.secretAccessKey };
Object.assign(process.env, AWS);
const region = 'us-east-1';

async function check(
  world: World,
  code: number,
  { flags = [], anchors = [] }: { flags?: string[]; anchors?: object[] } = {},
): Promise<LogReport> {
  const trust = join(world.dir, 'trust.json');
  writeFileSync(trust, JSON.stringify({ ...trustDocument(world.keys), ...(anchors.length > 0 && { anchors }) }));
  const storage = join(world.dir, 'storage');
  const {
    stdout,
    stderr,
    code: exit,
  } = await pangolin(['log', 'check', '--storage', storage, '--trust', trust, '-o', 'json', ...flags], { env: AWS });
  assert.equal(exit, code, stderr + stdout);
  const report = JSON.parse(stdout) as LogReport;
  // The verifier that stands alone says the same of a copy, which is what it reads.
  const alone = await standalone(['--log', storage, '--trust', trust, '-o', 'json', ...flags]);
  assert.deepEqual([alone.code, alone.stderr], [exit, '']);
  assert.deepEqual(gist(JSON.parse(alone.stdout) as LogReport), gist(report));
  return report;
}

const codes = ({ problems }: LogReport): string[] => [...new Set(problems.map(({ code }) => code))].sort();
const path = (world: World, key: string): string => join(world.dir, 'storage', key);

async function sealed(world: World, ...runs: readonly string[]): Promise<void> {
  for (const run of runs) {
    await recordRun(world, run, 1);
    assert.equal((await world.sealer().advance()).error, undefined);
  }
}

test('an honest log is consistent, and an unsealed run is no deleted one', async () => {
  await using world = await openWorld();
  await sealed(world, 'a', 'b', 'c');
  await world.store.put('runs/open/spec.json', '{}');
  const report = await check(world, 0);
  // Of each seal, and those that the second and third run say they were opened after.
  assert.deepEqual([report.verdict, report.size, report.seals, report.checkpoints], ['consistent', 3, 3, 3 + 2]);
  assert.deepEqual(report.unsealed, ['open']);
});

const deeds: Readonly<Record<string, readonly [(world: World) => unknown, readonly string[]]>> = {
  'a deleted run': [(world) => rmSync(path(world, runPrefix('b')), { recursive: true }), ['run-missing']],
  'a deleted log': [
    (world) => rmSync(path(world, 'log'), { recursive: true }),
    ['behind', 'log-missing', 'seal-unlogged'],
  ],
  'a lost tile of hashes': [(world) => rmSync(path(world, tileKey('tile/0/000.p/3'))), ['tile']],
  'a lost bundle of entries': [
    (world) => rmSync(path(world, tileKey('tile/entries/000.p/3'))),
    ['tile', 'seal-unlogged'],
  ],
  'a bent entry': [
    (world) => {
      const key = tileKey('tile/entries/000.p/3');
      return world.store.get(key).then((bytes) => {
        bytes[100]! ^= 1;
        writeFileSync(path(world, key), bytes);
      });
    },
    ['forked', 'root', 'run-missing', 'seal-unlogged', 'tile'],
  ],
  'a seal that is put where another was': [
    (world) => cpSync(path(world, sealKey('a')), path(world, sealKey('b'))),
    ['run-missing', 'seal-unreadable'],
  ],
  'a bent seal': [(world) => writeFileSync(path(world, sealKey('a')), '{}'), ['run-missing', 'seal-unreadable']],
  'a checkpoint of somebody else': [
    (world) =>
      writeFileSync(
        path(world, CHECKPOINT),
        'x\n1\nHrkAYQC2OUqzdUwpLGDUx8Qs3OCzxmRVtGsGS7yKvnU=\n\n\u2014 x AAAAAAAA\n',
      ),
    ['behind', 'checkpoint', 'seal-unlogged'],
  ],
};
for (const [what, [deed, found]] of Object.entries(deeds)) {
  test(`${what} is found`, async () => {
    await using world = await openWorld();
    await sealed(world, 'a', 'b', 'c');
    await deed(world);
    const report = await check(world, 1);
    assert.equal(report.verdict, 'failed');
    assert.deepEqual(codes(report), [...found].sort());
  });
}

test('a run that says that it began after a log that never was is found, and so are events that are not the sealed ones', async () => {
  await using world = await openWorld();
  await sealed(world, 'a', 'b');
  const { lastCheckpoint } = world.evidence;
  world.evidence.lastCheckpoint = () => ({ size: 2, root: '7'.repeat(64) });
  await sealed(world, 'c');
  world.evidence.lastCheckpoint = lastCheckpoint;
  const { problems } = await check(world, 1);
  assert.deepEqual(problems.map(({ code, message }) => [code, message]), [['forked', `the submission in ${sealKey('c')} has another checkpoint of 2 entries than this log had then`]]); // prettier-ignore
  cpSync(path(world, eventsKey('a')), path(world, eventsKey('c')));
  assert.deepEqual(codes(await check(world, 1)), ['seal-unreadable']);
});

test('an anchor that does not answer leaves the log incomplete', async () => {
  await using world = await openWorld();
  await sealed(world, 'a');
  const gone = { type: 's3-object-lock', bucket: 'gone', region, endpoint: 'http://127.0.0.1:1', minRetentionDays: 1 };
  const report = await check(world, 4, { flags: ['--anchor', 'live'], anchors: [gone] });
  assert.deepEqual([report.verdict, report.problems], ['incomplete', []]);
  assert.match(report.unchecked.join(), /^the anchor s3:\/\/gone.* cannot be checked because .*ECONNREFUSED/);
});

test('a log rolled back with its database forks: the seals that were given out before say so', async () => {
  await using world = await openWorld();
  await sealed(world, 'a');
  const backup = join(world.dir, 'backup');
  cpSync(join(world.dir, 'storage'), join(backup, 'storage'), { recursive: true });
  cpSync(join(world.dir, 'keys'), join(backup, 'keys'), { recursive: true });
  await world.db.backup(join(backup, 'state.db'));
  await sealed(world, 'b', 'c');
  await using restored = await openWorld(backup);
  await sealed(restored, 'x', 'y', 'z');
  assert.deepEqual(codes(await check(restored, 0)), []);
  // A bundle from before, kept by whoever asked for it.
  cpSync(path(world, runPrefix('c')), path(restored, runPrefix('c')), { recursive: true });
  assert.deepEqual(codes(await check(restored, 1)), ['forked', 'seal-unlogged']);
});

for (const [name, server] of Object.entries({ rgw, moto } satisfies Record<string, S3Server>)) {
  test(
    `${name}: an anchor names the run that was deleted, both seals of one run, and a log that was cut`,
    { skip: server.skip ?? false },
    async () => {
      await using world = await openWorld();
      assert.notEqual(server.endpoint, '', 'in CI every S3 server must be there');
      const bucket = `log-${randomUUID()}`;
      const { client } = openS3Place(`s3://${bucket}?endpoint=${server.endpoint}`, { credentials });
      await client.send(new CreateBucketCommand({ Bucket: bucket, ObjectLockEnabledForBucket: true }));
      const place = { bucket, region, endpoint: server.endpoint };
      const anchor: Anchor = s3LockAnchor({ id: 'worm', origin: world.keys.origin, ...place, retentionDays: 1, rivals: rivalsOf(world.keys), now: Date.now, access: { credentials } }); // prettier-ignore
      for (const run of ['a', 'b']) {
        await recordRun(world, run, 1);
        assert.equal((await world.sealer({ anchors: [anchor] }).advance()).error, undefined);
      }
      const live = {
        flags: ['--anchor', 'live'],
        anchors: [{ type: 's3-object-lock', ...place, minRetentionDays: 1 }],
      };
      const honest = await check(world, 0, live);
      assert.deepEqual([honest.anchored, honest.checkpoints], [2, 7]);
      cpSync(path(world, runPrefix('b')), join(world.dir, 'b'), { recursive: true });
      rmSync(path(world, runPrefix('b')), { recursive: true });
      const gone = await check(world, 1, live);
      assert.deepEqual(gone.problems.map(({ code, run, index }) => [code, run, index]), [['run-missing', 'b', 1]]); // prettier-ignore
      cpSync(join(world.dir, 'b'), path(world, runPrefix('b')), { recursive: true });

      // The operator tells another story of run b, with all keys, in another database over a log that was cut.
      await using other = await openWorld();
      for (const run of ['a', 'b']) {
        await recordRun(other, run, 2);
        await other.sealer({ keys: world.keys }).advance();
      }
      rmSync(path(world, 'log'), { recursive: true });
      rmSync(path(world, runPrefix('b')), { recursive: true });
      for (const key of ['log', runPrefix('b')]) cpSync(path(other, key), path(world, key), { recursive: true });
      const forged = await check(world, 1, live);
      assert.ok(forged.problems.some(({ code, run }) => code === 'two-seals' && run === 'b'), JSON.stringify(forged.problems)); // prettier-ignore
      assert.ok(codes(forged).includes('forked'));
    },
  );
}
