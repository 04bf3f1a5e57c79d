/**
 * Composite adversaries (evidence.md §8, class K): an operator who holds some keys and some friends tells another story of a run that
 * was sealed honestly before. Per power: what the auditor who gets the forged bundle reads, with everything to check against.
 */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { CreateBucketCommand, DeleteObjectCommand, PutObjectCommand } from '@aws-sdk/client-s3';
import { anchorKey, sealKey } from '@pangolin/contracts/layout';
import type { TrustDocument } from '@pangolin/contracts/trust';
import { s3LockAnchor } from '@pangolin/controller/audit/anchors/s3-lock';
import { trustDocument, type Keys } from '@pangolin/controller/audit/keys';
import { rivalsOf } from '@pangolin/controller/audit/rivals';
import { tlogWitness } from '@pangolin/controller/audit/witness';
import { rfc3161Authority } from '@pangolin/controller/audit/timestamps/rfc3161';
import { exportBundle } from '@pangolin/storage/bundle';
import { openS3Place } from '@pangolin/storage/s3-place';
import { openS3Anchor } from '@pangolin/verify/anchor/s3';
import { memoryReader } from '@pangolin/verify/readers/memory';
import type { Report } from '@pangolin/verify/report';
import { verifyBundle } from '@pangolin/verify/verify';
import { moto, rgw, type S3Server } from '../storage/s3-servers.ts';
import { makeAuthority, serveAuthority, type Authority, type Served } from './tsa.ts';
import { serveWitness, type WitnessServer } from './witness-server.ts';
import { openWorld, recordRun, START, type World } from './world.ts';

const credentials = { accessKeyId: 'testaccess', secretAccessKey: 'testsecret' };
const region = 'us-east-1';
const quick = { timeoutMs: 5000, tries: 1, pauseMs: 1, restMs: 0 };
type Files = Map<string, Buffer>;

/** An honest deployment, two witnesses and a bucket; its run `a` is sealed, anchored and witnessed. */
interface Scene {
  readonly honest: World;
  readonly witnesses: readonly [WitnessServer, WitnessServer];
  readonly authority: Authority;
  readonly tsa: Served;
  readonly server: S3Server;
  readonly bucket: string;
  readonly files: Files;
}

async function filesOf(world: World, run = 'a'): Promise<Files> {
  const files: Files = new Map();
  for await (const { name, body } of exportBundle(world.store, run)) files.set(name, body);
  return files;
}

const clientOf = ({ server, bucket }: Pick<Scene, 'server' | 'bucket'>) =>
  openS3Place(`s3://${bucket}?endpoint=${server.endpoint}`, { credentials }).client;

function trustOf({ honest, witnesses, server, bucket, authority }: Scene, needed: 'any' | 'all'): TrustDocument {
  const names = witnesses.map(({ name }) => name);
  return {
    ...trustDocument(honest.keys),
    tsaRoots: [authority.rootPem],
    anchors: [{ type: 's3-object-lock', bucket, region, endpoint: server.endpoint, minRetentionDays: 1 }],
    witnessPolicy: [
      ...witnesses.map(({ name, vkey }) => `witness ${name} ${vkey}`),
      `group enough ${needed} ${names.join(' ')}`,
      'quorum enough',
      '',
    ].join('\n'),
  };
}

async function judge(
  scene: Scene,
  files: Files,
  {
    live = true,
    needed = 'all',
    trust = trustOf(scene, needed),
  }: { live?: boolean; needed?: 'any' | 'all'; trust?: TrustDocument } = {},
): Promise<Report> {
  return await verifyBundle(memoryReader(files), trust, {
    expectRun: 'a',
    ...(live && { openAnchor: (anchor) => openS3Anchor(anchor, credentials) }),
  });
}

const summary = ({ verdict, failure, guarantee, claim }: Report): string =>
  verdict === 'verified' ? `${verdict} ${guarantee} ${claim}` : `${verdict} ${failure}`;
const codesOf = ({ findings }: Report): string[] => findings.map(({ code }) => code);

/** Another story of run `a`, two items longer, in a database of its own under whatever keys. */
async function forge(keys: Keys, outside: Parameters<World['sealer']>[0] = {}): Promise<World> {
  const world = await openWorld();
  Object.assign(world, { keys: { ...world.keys, ...keys } });
  await recordRun(world, 'a', 4);
  await world.sealer({ keys: world.keys, ...outside }).advance();
  return world;
}

/** The keys of nobody, at the name of the honest deployment. */
async function strangerKeys(honest: World): Promise<Keys> {
  await using other = await openWorld();
  const { log } = other.keys;
  return {
    ...other.keys,
    origin: honest.keys.origin,
    log: { ...log, note: { ...log.note, name: honest.keys.origin } },
  };
}

async function withScene(server: S3Server, play: (scene: Scene) => Promise<void>): Promise<void> {
  assert.notEqual(server.endpoint, '', 'in CI every S3 server must be there');
  await using honest = await openWorld();
  await using one = await serveWitness(honest.keys.log.note, 'one.example');
  await using two = await serveWitness(honest.keys.log.note, 'two.example');
  using authority = makeAuthority();
  await using tsa = await serveAuthority(authority);
  const bucket = `k-${randomUUID()}`;
  await clientOf({ server, bucket }).send(
    new CreateBucketCommand({ Bucket: bucket, ObjectLockEnabledForBucket: true }),
  );
  const witnesses = [one, two] as const;
  await recordRun(honest, 'a', 2);
  const anchor = s3LockAnchor({ id: 'worm', origin: honest.keys.origin, bucket, region, endpoint: server.endpoint, retentionDays: 1, rivals: rivalsOf(honest.keys), now: Date.now, access: { credentials } }); // prettier-ignore
  const { error } = await honest
    .sealer({
      timestamps: [rfc3161Authority({ id: 'tsa', url: tsa.url, ...quick })],
      witnesses: witnesses.map(({ url, vkey }) => tlogWitness({ url, vkey, ...quick })),
      anchors: [anchor],
    })
    .advance();
  assert.equal(error, undefined);
  await play({ honest, witnesses, authority, tsa, server, bucket, files: await filesOf(honest) });
}

const servers = { rgw, moto } satisfies Record<string, S3Server>;
for (const [name, server] of Object.entries(servers)) {
  const options = { skip: server.skip ?? false };

  test(`${name}: the honest bundle has everything`, options, () =>
    withScene(server, async (scene) => {
      const report = await judge(scene, scene.files);
      assert.deepEqual([summary(report), report.timeTier], ['verified witnessed tamper-evident', 'tsa-attested']);
      const offline = await judge(scene, scene.files, { live: false });
      assert.equal(summary(offline), 'verified witnessed tamper-evident');
    }),
  );

  test(`${name}: who holds the seal key only, or the log key only, forges nothing that verifies`, options, () =>
    withScene(server, async (scene) => {
      const { keys } = scene.honest;
      const stranger = await strangerKeys(scene.honest);
      await using sealOnly = await forge({ ...stranger, seal: keys.seal, attest: keys.attest });
      await using logOnly = await forge({ ...stranger, log: keys.log });
      // The other key is one that the trust file lacks: that cannot be checked, and it never reads verified.
      for (const forged of [sealOnly, logOnly]) {
        const report = await judge(scene, await filesOf(forged), { live: false });
        assert.deepEqual(
          [report.verdict, report.guarantee, report.claim],
          ['incomplete', 'detect', 'tamper-detecting'],
        );
        assert.notEqual((await judge(scene, await filesOf(forged))).verdict, 'verified');
      }
    }),
  );

  test(`${name}: who holds all keys forges what only detects offline, and fails against the bucket`, options, () =>
    withScene(server, async (scene) => {
      await using forged = await forge(scene.honest.keys);
      const files = await filesOf(forged);
      const offline = await judge(scene, files, { live: false });
      assert.equal(summary(offline), 'verified detect tamper-detecting');
      assert.ok(codesOf(offline).includes('quorum-not-met'));
      assert.equal(summary(await judge(scene, files)), 'failed root-mismatch');
      const required = { ...trustOf(scene, 'all'), require: { guarantee: 'witnessed' as const } };
      assert.deepEqual((await judge(scene, files, { live: false, trust: required })).below, ['guarantee']);
    }),
  );

  test(`${name}: all keys and the bucket: a second seal and a delete marker prove the lie`, options, () =>
    withScene(server, async (scene) => {
      await using forged = await forge(scene.honest.keys);
      const files = await filesOf(forged);
      const client = clientOf(scene);
      const at = { Bucket: scene.bucket, Key: anchorKey(scene.honest.keys.origin, 'a') };
      await client.send(new PutObjectCommand({ ...at, Body: await forged.store.get(sealKey('a')) }));
      await client.send(new DeleteObjectCommand(at));
      assert.equal(summary(await judge(scene, files)), 'failed root-mismatch');
      const honest = await judge(scene, scene.files);
      assert.equal(summary(honest), 'verified witnessed tamper-evident');
      assert.ok(codesOf(honest).includes('equivocation'));
    }),
  );

  test(
    `${name}: all keys and one of two witnesses: enough for who asks for any, not for who asks for both`,
    options,
    () =>
      withScene(server, async (scene) => {
        // A witness that forgot what it has seen: the operator's friend.
        await using friend = await serveWitness(
          scene.honest.keys.log.note,
          'one.example',
          {},
          scene.witnesses[0].privateKey,
        );
        const bribed = tlogWitness({ url: friend.url, vkey: friend.vkey, ...quick });
        const true2 = tlogWitness({ url: scene.witnesses[1].url, vkey: scene.witnesses[1].vkey, ...quick });
        await using forged = await forge(scene.honest.keys, { witnesses: [bribed, true2] });
        const files = await filesOf(forged);
        assert.equal(summary(await judge(scene, files, { live: false })), 'verified detect tamper-detecting');
        assert.equal(summary(await judge(scene, files, { live: false, needed: 'any' })), 'verified witnessed tamper-evident'); // prettier-ignore
        assert.equal(summary(await judge(scene, files, { needed: 'any' })), 'failed root-mismatch');
      }),
  );

  test(
    `${name}: a seal that is told first is what the bucket keeps: only a witness or the run's own clock limits that`,
    options,
    () =>
      withScene(server, async (scene) => {
        // The rewrite comes before anything was anchored: DB rewrite and reseal. The bucket cannot know better.
        await using forged = await forge(scene.honest.keys);
        const bucket = `k-${randomUUID()}`;
        await clientOf({ ...scene, bucket }).send(
          new CreateBucketCommand({ Bucket: bucket, ObjectLockEnabledForBucket: true }),
        );
        const anchor = s3LockAnchor({ id: 'worm', origin: scene.honest.keys.origin, bucket, region, endpoint: server.endpoint, retentionDays: 1, rivals: rivalsOf(scene.honest.keys), now: Date.now, access: { credentials } }); // prettier-ignore
        await anchor.put('a', await forged.store.get(sealKey('a')));
        const later = { ...scene, bucket };
        assert.equal(summary(await judge(later, await filesOf(forged))), 'verified external-immutable tamper-evident');
        assert.equal(summary(await judge(later, scene.files)), 'failed root-mismatch');
        const strict = { ...trustOf(later, 'all'), require: { guarantee: 'witnessed' as const } };
        assert.deepEqual((await judge(later, await filesOf(forged), { trust: strict })).below, ['guarantee']);
      }),
  );

  test(`${name}: a revoked key: what a time stamp puts before it stays good, what has none does not`, options, () =>
    withScene(server, async (scene) => {
      const base = trustOf(scene, 'all');
      const revokedAt = (at: number): TrustDocument => ({
        ...base,
        signers: base.signers.map((each) => (each.roles.includes('seal') ? { ...each, revokedAt: new Date(at).toISOString() } : each)), // prettier-ignore
      });
      const after = revokedAt(Date.now() + 3_600_000);
      assert.equal(summary(await judge(scene, scene.files, { trust: after })), 'verified witnessed tamper-evident');
      assert.equal(summary(await judge(scene, scene.files, { trust: revokedAt(START) })), 'failed time');
      // The thief of the key can say any time he likes; nobody trusted says it with him.
      await using forged = await forge(scene.honest.keys);
      assert.equal(summary(await judge(scene, await filesOf(forged), { live: false, trust: after })), 'failed time');
    }),
  );
}
