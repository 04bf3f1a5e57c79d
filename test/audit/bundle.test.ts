import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { bundleFromJSON, type SerializedBundle } from '@sigstore/bundle';
import { BUNDLE_DOCUMENT_BYTES_MAX, BUNDLE_NAME, type BundleDocument } from '@pangolin/contracts/bundle';
import { parseCanonical } from '@pangolin/contracts/canonical';
import { sha256 } from '@pangolin/contracts/digest';
import type { TrustDocument } from '@pangolin/contracts/trust';
import { signEnvelope } from '@pangolin/contracts/dsse';
import { casKey, eventsKey, sealKey } from '@pangolin/contracts/layout';
import { trustDocument } from '@pangolin/controller/audit/keys';
import { dispatchStatement } from '@pangolin/controller/audit/statements';
import { exportBundle, type BundleFile } from '@pangolin/storage/bundle';
import { openBundle } from '@pangolin/verify/readers/open';
import { verifyBundle } from '@pangolin/verify/verify';
import { bundleDocument, writeBundle } from '@pangolin/storage/bundle-writers';
import { manifestOf, openWorld, recordRun, type World } from './world.ts';

async function sealedWorld(): Promise<World> {
  const world = await openWorld();
  await recordRun(world, 'a', 3);
  await recordRun(world, 'b', 1);
  // Signed, but named by no event: it must not get into a bundle.
  const stray = dispatchStatement(manifestOf('a', 'stray'));
  const envelope = await signEnvelope(world.keys.attest, stray.payload);
  world.db.transaction(() => world.evidence.addStatement('a', envelope))();
  await world.sealer().advance();
  return world;
}

async function collect(files: AsyncIterable<BundleFile>): Promise<Map<string, Buffer>> {
  const all = new Map<string, Buffer>();
  for await (const { name, body } of files) {
    assert.ok(!all.has(name), `${name} twice`);
    assert.match(name, BUNDLE_NAME);
    all.set(name, body);
  }
  return all;
}

const inFolder = (files: ReadonlyMap<string, Buffer>, folder: string): string[] =>
  [...files.keys()].filter((name) => name.startsWith(`${folder}/`));

test('a full bundle holds exactly what the events of the run name', async () => {
  await using world = await sealedWorld();
  // The prefix alone is enough.
  world.db.close();
  const files = await collect(exportBundle(world.store, 'a'));
  assert.deepEqual(files.get('events.jsonl'), await world.store.get(eventsKey('a')));
  assert.deepEqual(files.get('seal.sigstore.json'), await world.store.get(sealKey('a')));
  const counts = ['dispatch', 'provenance', 'attestations', 'blobs'].map((folder) => inFolder(files, folder).length);
  // Plan, submission, three results and three patches.
  assert.deepEqual(counts, [3, 3, 6, 8]);
  assert.equal(files.size, 22);
  for (const [name, body] of files) {
    const digest = /[0-9a-f]{64}/.exec(name)?.[0];
    if (digest !== undefined && !name.startsWith('attestations/')) assert.equal(sha256(body), digest, name);
  }
});

test('an attestation is the signed envelope of its payload, in a form that Sigstore clients read', async () => {
  await using world = await sealedWorld();
  const files = await collect(exportBundle(world.store, 'a'));
  for (const name of inFolder(files, 'attestations')) {
    const bundle = bundleFromJSON(parseCanonical(files.get(name)!) as SerializedBundle);
    assert.equal(bundle.content.$case, 'dsseEnvelope');
    assert.equal(bundle.verificationMaterial.tlogEntries.length, 0);
    const digest = /[0-9a-f]{64}/.exec(name)![0];
    const payload = (bundle.content as { dsseEnvelope: { payload: Buffer } }).dsseEnvelope.payload;
    assert.equal(sha256(payload), digest);
    assert.deepEqual(files.get(`dispatch/${digest}.json`) ?? files.get(`provenance/${digest}.json`), payload);
  }
});

test('a lean bundle is the log and the seal', async () => {
  await using world = await sealedWorld();
  const files = await collect(exportBundle(world.store, 'a', { lean: true }));
  assert.deepEqual([...files.keys()], ['events.jsonl', 'seal.sigstore.json']);
});

test('a blob that is gone or too large is left out, an altered one is not hidden', async () => {
  await using world = await sealedWorld();
  const whole = await collect(exportBundle(world.store, 'a'));
  const [gone, large, altered] = inFolder(whole, 'blobs').map((name) => name.slice('blobs/'.length));
  await world.store.delete(casKey(gone!));
  await world.store.delete(casKey(large!));
  await world.store.put(casKey(large!), Buffer.alloc(64 * 2 ** 20 + 1));
  await world.store.delete(casKey(altered!));
  await world.store.put(casKey(altered!), 'altered');
  const files = await collect(exportBundle(world.store, 'a'));
  assert.equal(files.size, whole.size - 2);
  assert.equal(files.get(`blobs/${altered}`)!.toString(), 'altered');
});

test('a run that is unknown or not sealed yet has no bundle', async () => {
  await using world = await openWorld();
  await recordRun(world, 'open');
  for (const runId of ['open', 'nobody']) {
    await assert.rejects(collect(exportBundle(world.store, runId)), {
      code: 'NOT_FOUND',
      message: /no sealed evidence/,
    });
  }
});

test('directory, archive and document hold the same files', async () => {
  await using world = await sealedWorld();
  const files = await collect(exportBundle(world.store, 'a'));
  const [dir, tar, json] = ['bundle', 'bundle.tar', 'bundle.json'].map((name) => join(world.dir, name)) as [
    string,
    string,
    string,
  ];
  for (const path of [dir, tar, json]) await writeBundle(exportBundle(world.store, 'a'), path);

  const read = (root: string): Map<string, Buffer> =>
    new Map(
      readdirSync(root, { recursive: true, encoding: 'utf8' })
        .filter((name) => statSync(join(root, name)).isFile())
        .map((name) => [name, readFileSync(join(root, name))]),
    );
  const sorted = (map: ReadonlyMap<string, Buffer>): [string, Buffer][] =>
    [...map].sort(([a], [b]) => (a < b ? -1 : 1));
  assert.deepEqual(sorted(read(dir)), sorted(files));

  const unpacked = join(world.dir, 'unpacked');
  mkdirSync(unpacked);
  assert.equal(spawnSync('tar', ['-xf', tar, '-C', unpacked]).status, 0);
  assert.deepEqual(sorted(read(unpacked)), sorted(files));

  const document = parseCanonical(readFileSync(json)) as BundleDocument;
  assert.deepEqual(Object.keys(document), ['files']);
  const decoded = Object.entries(document.files).map(([name, value]): [string, Buffer] => [
    name,
    typeof value === 'string' ? Buffer.from(value, 'utf8') : Buffer.from(value.base64, 'base64'),
  ]);
  assert.deepEqual(sorted(new Map(decoded)), sorted(files));
  const binary = Object.values(document.files).filter((value) => typeof value !== 'string');
  assert.deepEqual(binary, [{ base64: '//4A' }], 'only what is not UTF-8 is base64');
});

for (const shape of ['dir', 'bundle.tar', 'bundle.json', 'lean.json']) {
  test(`our verifier verifies an exported run as ${shape}, under the published trust document`, async () => {
    await using world = await sealedWorld();
    const path = join(world.dir, shape);
    await writeBundle(exportBundle(world.store, 'a', { lean: shape.startsWith('lean') }), path);
    const trust = JSON.parse(JSON.stringify(trustDocument(world.keys))) as TrustDocument;
    const bundle = await openBundle(path);
    const report = await verifyBundle(bundle.reader, trust, { expectRun: 'a' });
    await bundle.close();
    const failed = Object.entries(report.checks).filter(([, { result }]) => result === false);
    assert.deepEqual([report.verdict, failed], ['verified', []]);
  });
}

test('an archive is reproducible', async () => {
  await using world = await sealedWorld();
  for (const name of ['1.tar', '2.tar']) await writeBundle(exportBundle(world.store, 'a'), join(world.dir, name));
  assert.deepEqual(readFileSync(join(world.dir, '1.tar')), readFileSync(join(world.dir, '2.tar')));
  assert.equal(readFileSync(join(world.dir, '1.tar')).length % 512, 0);
});

test('a directory that holds something is left alone', async () => {
  await using world = await sealedWorld();
  const dir = join(world.dir, 'full');
  mkdirSync(dir);
  writeFileSync(join(dir, 'note.txt'), 'mine');
  await assert.rejects(writeBundle(exportBundle(world.store, 'a'), dir), { code: 'CONFLICT' });
  assert.deepEqual(readdirSync(dir), ['note.txt']);
});

test('an export that fails leaves neither a partial nor a changed file', async () => {
  await using world = await sealedWorld();
  const path = join(world.dir, 'b.json');
  writeFileSync(path, 'older');
  await assert.rejects(writeBundle(exportBundle(world.store, 'nobody'), path), { code: 'NOT_FOUND' });
  assert.equal(readFileSync(path, 'utf8'), 'older');
  assert.equal(
    readdirSync(world.dir).some((name) => name.endsWith('.partial')),
    false,
  );
  assert.equal(existsSync(join(world.dir, 'b.json.partial')), false);
});

test('a document has a limit, and no name outside the closed set gets into any shape', async () => {
  async function* files(name: string, bytes: number): AsyncGenerator<BundleFile> {
    yield { name, body: Buffer.alloc(bytes) };
  }
  const drain = async (chunks: AsyncIterable<Buffer>): Promise<void> => {
    for await (const chunk of chunks) assert.ok(chunk);
  };
  await assert.rejects(drain(bundleDocument(files('events.jsonl', BUNDLE_DOCUMENT_BYTES_MAX + 1))), {
    code: 'TOO_LARGE',
  });
  for (const name of ['../x', '/etc/x', 'blobs/x', 'report.json', `blobs/${'A'.repeat(64)}`]) {
    await assert.rejects(drain(bundleDocument(files(name, 1))), { code: 'INTERNAL' }, name);
  }
});
