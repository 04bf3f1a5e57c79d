import assert from 'node:assert/strict';
import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { revokeKey, rotateKey } from '@pangolin/controller/audit/key-changes';
import { openKeys, trustDocument } from '@pangolin/controller/audit/keys';
import { exportBundle } from '@pangolin/storage/bundle';
import { memoryReader } from '@pangolin/verify/readers/memory';
import { loadTrust } from '@pangolin/verify/trust-file';
import { verifyBundle } from '@pangolin/verify/verify';
import { openWorld, recordRun, START, type World } from './world.ts';

const AFTER = START + 3_600_000;
const dirOf = (world: World): string => join(world.dir, 'keys');

async function outcome(world: World, runId: string, trust: ReturnType<typeof trustDocument>): Promise<string> {
  const files = new Map<string, Buffer>();
  for await (const { name, body } of exportBundle(world.store, runId)) files.set(name, body);
  const { verdict, failure } = await verifyBundle(memoryReader(files), trust);
  return failure ?? verdict;
}

test('what a rotated key signed stays valid, and nothing that it signs later', async () => {
  await using world = await openWorld();
  await recordRun(world, 'a');
  await world.sealer().advance();
  const before = readFileSync(join(dirOf(world), 'seal.pem'), 'utf8');
  const keys = await rotateKey(dirOf(world), 'seal', AFTER);
  assert.notEqual(keys.seal.keyid, world.keys.seal.keyid);
  assert.deepEqual([keys.attest.keyid, keys.log.keyid, keys.origin], [world.keys.attest.keyid, world.keys.log.keyid, world.keys.origin]); // prettier-ignore
  assert.ok(!readFileSync(join(dirOf(world), 'seal.pem'), 'utf8').includes(before.split('\n')[1]!));
  const trust = trustDocument(keys);
  loadTrust(trust);
  assert.deepEqual(
    trust.signers.map(({ roles, validFor }) => [...roles, 'end' in validFor]),
    [['seal', true], ['attest', false], ['seal', false]], // prettier-ignore
  );
  assert.equal(await outcome(world, 'a', trust), 'verified');
  // The new key is not valid at the time of a run that was over before it was made.
  await recordRun(world, 'b');
  await world.sealer({ keys }).advance();
  assert.equal(await outcome(world, 'b', trust), 'time');
  const again = await rotateKey(dirOf(world), 'seal', AFTER + 1000);
  assert.equal(trustDocument(again).signers.filter(({ roles }) => roles[0] === 'seal').length, 3);
  assert.equal(await outcome(world, 'a', trustDocument(again)), 'verified');
});

test('a revoked key seals nothing that counts without a trusted time, and is out of use', async () => {
  await using world = await openWorld();
  await recordRun(world, 'a');
  await world.sealer().advance();
  const keys = await revokeKey(dirOf(world), world.keys.seal.keyid, AFTER, AFTER);
  assert.notEqual(keys.seal.keyid, world.keys.seal.keyid);
  const trust = trustDocument(keys);
  const record = () => trust.signers.find(({ keyid }) => keyid === world.keys.seal.keyid)!;
  assert.equal(record().revokedAt, '2026-11-23T13:00:00.000Z');
  assert.equal(await outcome(world, 'a', trust), 'time');
  const earlier = trustDocument(await revokeKey(dirOf(world), world.keys.seal.keyid, START, AFTER));
  assert.equal(earlier.signers.find(({ keyid }) => keyid === world.keys.seal.keyid)!.revokedAt, '2026-11-23T12:00:00.000Z'); // prettier-ignore
  const later = trustDocument(await revokeKey(dirOf(world), world.keys.seal.keyid, AFTER, AFTER));
  assert.deepEqual(later, earlier);
});

test('a key that is not ours, a time to come and one before the key are refused, and change nothing', async () => {
  await using world = await openWorld();
  const { keyid } = world.keys.attest;
  await assert.rejects(revokeKey(dirOf(world), 'SHA256:x', AFTER, AFTER), { code: 'NOT_FOUND' });
  await assert.rejects(revokeKey(dirOf(world), world.keys.log.keyid, AFTER, AFTER), { code: 'NOT_FOUND' });
  await assert.rejects(revokeKey(dirOf(world), keyid, AFTER + 1, AFTER), { code: 'INVALID' });
  await assert.rejects(revokeKey(dirOf(world), keyid, 0, AFTER), { code: 'INVALID' });
  assert.deepEqual(trustDocument(await openKeys(dirOf(world))), trustDocument(world.keys));
});

test('a rotation that was cut off is finished or undone, whichever was decided', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'pangolin-rotation-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  const first = await openKeys(dir);
  const old = join(dir, 'old.pem');
  copyFileSync(join(dir, 'attest.pem'), old);
  const second = await rotateKey(dir, 'attest', Date.parse(first.createdAt) + 1000);
  const next = join(dir, 'attest.pem.next');
  // Decided: the history names the key beside.
  copyFileSync(join(dir, 'attest.pem'), next);
  copyFileSync(old, join(dir, 'attest.pem'));
  assert.equal((await openKeys(dir)).attest.keyid, second.attest.keyid);
  assert.ok(!existsSync(next));
  // Not decided: it names another.
  copyFileSync(old, next);
  assert.equal((await openKeys(dir)).attest.keyid, second.attest.keyid);
  assert.ok(!existsSync(next));
});
