/** Heads: what the log is told of a run while it goes on, and what an operator who tells that run anew runs into. */
import assert from 'node:assert/strict';
import { generateKeyPairSync, sign } from 'node:crypto';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { canonical, parseCanonical } from '@pangolin/contracts/canonical';
import { sha256 } from '@pangolin/contracts/digest';
import { keyIdOf, signEnvelope, type Envelope } from '@pangolin/contracts/dsse';
import { CHECKPOINT, eventsKey, headsKey, sealKey } from '@pangolin/contracts/layout';
import { parseNote } from '@pangolin/contracts/note';
import type { SigstoreBundle } from '@pangolin/contracts/sigstore-bundle';
import type { RunHead, RunSeal, Statement } from '@pangolin/contracts/statement';
import { trustDocument } from '@pangolin/controller/audit/keys';
import { tlogWitness } from '@pangolin/controller/audit/witness';
import type { SealerOptions } from '@pangolin/controller/audit/sealer';
import { exportBundle } from '@pangolin/storage/bundle';
import type { LogReport } from '@pangolin/verify/log/check-log';
import { memoryReader } from '@pangolin/verify/readers/memory';
import type { Report } from '@pangolin/verify/report';
import { verifyBundle } from '@pangolin/verify/verify';
import { pangolin } from '../cli/harness.ts';
import { gist, standalone } from './standalone.ts';
import { beginRun, faultyStore, openWorld, recordRun, START, type World } from './world.ts';
import { serveWitness } from './witness-server.ts';

const MINUTE = 60_000;

/** The controller goes on: seals and heads, at so many minutes after the start. */
async function advance(world: World, minute: number, options: Partial<SealerOptions> = {}): Promise<void> {
  const { error } = await world.sealer({ now: () => START + minute * MINUTE, ...options }).advance();
  assert.equal(error, undefined);
}

async function headsOf(world: World, run: string): Promise<Statement<RunHead>[]> {
  const lines = (await world.store.get(headsKey(run))).toString('utf8').split('\n').slice(0, -1);
  return lines.map((line) => {
    const { envelope } = parseCanonical(Buffer.from(line)) as { readonly envelope: Envelope };
    return parseCanonical(Buffer.from(envelope.payload, 'base64')) as Statement<RunHead>;
  });
}

async function sealedHeads(world: World, run: string): Promise<RunSeal['heads']> {
  const seal = parseCanonical(await world.store.get(sealKey(run))) as SigstoreBundle;
  const payload = Buffer.from(seal.dsseEnvelope.payload, 'base64');
  return (parseCanonical(payload) as Statement<RunSeal>).predicate.heads;
}

async function verify(world: World, run: string): Promise<Report> {
  const files = new Map<string, Buffer>();
  for await (const { name, body } of exportBundle(world.store, run)) files.set(name, body);
  return await verifyBundle(memoryReader(files), trustDocument(world.keys), { now: START + 60 * MINUTE });
}

async function checkLog(world: World, code: number, document = trustDocument(world.keys)): Promise<LogReport> {
  const trust = join(world.dir, 'trust.json');
  writeFileSync(trust, JSON.stringify(document));
  const storage = join(world.dir, 'storage');
  const { stdout, stderr, code: exit } = await pangolin(['log', 'check', '--storage', storage, '--trust', trust, '-o', 'json']); // prettier-ignore
  assert.equal(exit, code, stderr + stdout);
  const report = JSON.parse(stdout) as LogReport;
  const alone = await standalone(['--log', storage, '--trust', trust, '-o', 'json']);
  assert.equal(alone.code, exit, alone.stderr);
  assert.deepEqual(gist(JSON.parse(alone.stdout) as LogReport), gist(report));
  return report;
}

const codes = ({ problems }: LogReport): string[] => [...new Set(problems.map(({ code }) => code))].sort();
const sizeOfLog = (world: World): number =>
  Number(readFileSync(join(world.dir, 'storage', CHECKPOINT), 'utf8').split('\n')[1]);

test('a run that grows gets a head a minute, its seal names them, and the whole adds up', async () => {
  await using world = await openWorld();
  const append = await beginRun(world, 'a', 4, 3);
  await advance(world, 0.9);
  assert.equal(await world.store.head(headsKey('a')), undefined, 'too young');
  await advance(world, 1);
  await advance(world, 5);
  assert.deepEqual(
    (await headsOf(world, 'a')).map(({ predicate }) => predicate.tree.size),
    [3],
    'nothing new since',
  );
  assert.equal(sizeOfLog(world), 1);
  const before = await checkLog(world, 0);
  assert.deepEqual([before.heads, before.seals, before.unsealed], [1, 0, ['a']]);
  append();
  await advance(world, 6);
  const heads = await headsOf(world, 'a');
  const events = (await world.store.get(eventsKey('a'))).toString('utf8').split('\n');
  for (const { subject, predicate } of heads) {
    const beginning = events.slice(0, predicate.tree.size).map((line) => `${line}\n`);
    assert.equal(subject[0]!.digest.sha256, sha256(beginning.join('')));
    assert.deepEqual([predicate.runId, predicate.logOrigin], ['a', world.keys.origin]);
  }
  assert.deepEqual(await sealedHeads(world, 'a'), heads.map(({ predicate: { tree } }) => ({ size: tree.size, root: tree.root }))); // prettier-ignore
  const report = await verify(world, 'a');
  assert.deepEqual([report.verdict, report.heads], ['verified', { count: 1, longestMs: 7 }]);
  const log = await checkLog(world, 0);
  assert.deepEqual([log.size, log.seals, log.heads], [2, 1, 1]);
});

test('an old run gets its heads less often, and a new controller goes on with the hash of the old one', async () => {
  await using world = await openWorld();
  const day = 24 * 60;
  const grow = ({ db, evidence }: World): void =>
    db.transaction(
      () =>
      evidence.appendEvents('a', [{ at: START, actor: 'human:alice', body: { kind: 'run.extended', items: { sha256: sha256('x') } } }]), // prettier-ignore
    )();
  await beginRun(world, 'a', 4, 3);
  await advance(world, day);
  grow(world);
  await advance(world, day + 5);
  assert.equal((await headsOf(world, 'a')).length, 1, 'a 200th of a day has not passed');
  await advance(world, day + 8);
  const again = await world.reopen();
  grow(again);
  await advance(again, 2 * day);
  const heads = await headsOf(again, 'a');
  assert.deepEqual(heads.map(({ predicate }) => predicate.tree.size), [3, 4, 5]); // prettier-ignore
  const lines = Array.from({ length: 5 }, (_, seq) => `${JSON.stringify(again.evidence.event('a', seq))}\n`).join('');
  assert.equal(heads[2]!.subject[0]!.digest.sha256, sha256(lines));
  again.db.close();
});

test('witnesses see the checkpoint that covers a head', async () => {
  await using world = await openWorld();
  await using server = await serveWitness(world.keys.log.note, 'w.example');
  await beginRun(world, 'a', 2, 3);
  await advance(world, 1, { witnesses: [tlogWitness({ url: server.url, vkey: server.vkey })] });
  const { signatures } = parseNote(readFileSync(join(world.dir, 'storage', CHECKPOINT), 'utf8'));
  assert.deepEqual(signatures.map(({ name }) => name), [world.keys.origin, 'w.example']); // prettier-ignore
  assert.equal(server.seen()!.size, 1);
});

for (const fault of ['did not happen', 'happened but reported failure'] as const) {
  for (const failing of [1, 2, 3, 4]) {
    test(`write ${failing} of a head ${fault}: the next try ends with the same head, once in the log`, async () => {
      await using world = await openWorld();
      await beginRun(world, 'a', 3, 4);
      const store = faultyStore(world.store, failing, fault);
      const first = await world.sealer({ store }).advance();
      assert.ok(first.error, 'the fault shows');
      const signed = world.db.prepare('SELECT envelope FROM run_head').all();
      const again = await world.reopen();
      await advance(again, 2);
      assert.deepEqual(again.db.prepare('SELECT envelope FROM run_head').all(), signed);
      assert.deepEqual([sizeOfLog(again), (await checkLog(again, 0)).heads], [1, 1]);
      again.db.close();
    });
  }
}

/** What somebody with the database, all keys and the storage does to a run that has a head and is not sealed. */
const deeds: Readonly<
  Record<string, { readonly do: (world: World) => void; readonly bundle: string; readonly log: readonly string[] }>
> = {
  // prettier-ignore
  'and has it forget its heads': {
    do: (world) => void world.db.exec("DELETE FROM run_head WHERE run_id = 'a'"),
    bundle: 'verified',
    log: ['rewritten'],
  },
  'and keeps its heads': { do: () => undefined, bundle: 'failed', log: [] },
  'and deletes its heads': {
    do: (world) => {
      world.db.exec("DELETE FROM run_head WHERE run_id = 'a'");
      rmSync(join(world.dir, 'storage', headsKey('a')));
    },
    bundle: 'verified',
    log: ['run-missing'],
  },
  'and deletes the statements only': {
    do: (world) => rmSync(join(world.dir, 'storage', headsKey('a'))),
    bundle: 'failed',
    log: ['head-missing', 'run-missing'],
  },
};
for (const [what, deed] of Object.entries(deeds)) {
  test(`an operator who tells an unfinished run anew ${what} is found out`, async () => {
    await using world = await openWorld();
    await beginRun(world, 'a', 2, 3);
    await advance(world, 1);
    world.db.exec("DELETE FROM run_event WHERE run_id = 'a'; DELETE FROM run_tree WHERE run_id = 'a'");
    deed.do(world);
    await recordRun(world, 'a', 3);
    await advance(world, 2);
    assert.equal((await verify(world, 'a')).verdict, deed.bundle);
    assert.deepEqual(codes(await checkLog(world, deed.log.length > 0 ? 1 : 0)), deed.log);
  });
}

test('a seal that names a head which the log never had is found out', async () => {
  await using world = await openWorld();
  const append = await beginRun(world, 'a', 2, 3);
  await advance(world, 1);
  append();
  // Another root of the same beginning could not be sealed; another beginning can.
  world.db.exec('UPDATE run_head SET size = 4, root = (SELECT hex(zeroblob(32)))');
  await advance(world, 2);
  assert.equal((await verify(world, 'a')).failure, 'events');
  assert.deepEqual(codes(await checkLog(world, 1)), ['head-missing', 'rewritten']);
});

const lines: Readonly<Record<string, (line: string) => string>> = {
  'no JSON': () => '{',
  'of another form': (line) => line.replace('{', '{"a":1,'),
  'with another signature': (line) => line.replace(/("sig":".{20})(.)/, (_, head: string, at: string) => head + (at === 'A' ? 'B' : 'A')), // prettier-ignore
  'under another key id': (line) => line.replace(/"keyid":"[^"]+"/, '"keyid":"SHA256:x"'),
  'with no key': (line) => line.replace(/"publicKey":"[^"]+"/, '"publicKey":"AAAA"'),
};
for (const [what, bend] of Object.entries(lines)) {
  test(`a head ${what} is no head`, async () => {
    await using world = await openWorld();
    await beginRun(world, 'a', 2, 3);
    await advance(world, 1);
    const path = join(world.dir, 'storage', headsKey('a'));
    const line = readFileSync(path, 'utf8').trimEnd();
    assert.notEqual(bend(line), line);
    writeFileSync(path, `${bend(line)}\n`);
    assert.deepEqual(codes(await checkLog(world, 1)), ['head-unreadable', 'run-missing']);
  });
}

test('a trust file that is older than a key leaves the log incomplete, and hides no deletion', async () => {
  await using world = await openWorld();
  await beginRun(world, 'a', 2, 3);
  await recordRun(world, 'b');
  await advance(world, 1);
  const stranger = await openWorld();
  const older = { ...trustDocument(world.keys), signers: trustDocument(stranger.keys).signers };
  await stranger[Symbol.asyncDispose]();
  const report = await checkLog(world, 4, older);
  assert.deepEqual([report.verdict, report.problems, report.unchecked.length], ['incomplete', [], 2]);
  for (const each of report.unchecked)
    assert.match(each, /cannot be checked because the trust file has no key "SHA256:/);
  // A head of a key of somebody's own does not stand for one that was deleted.
  const path = join(world.dir, 'storage', headsKey('a'));
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const spki = publicKey.export({ type: 'spki', format: 'der' });
  const signer = { keyid: keyIdOf(spki), publicKey: spki, sign: (bytes: Uint8Array) => sign('sha256', bytes, privateKey) }; // prettier-ignore
  const line = JSON.parse(readFileSync(path, 'utf8')) as { readonly envelope: Envelope };
  const envelope = await signEnvelope(signer, Buffer.from(line.envelope.payload, 'base64'));
  writeFileSync(path, `${canonical({ envelope, publicKey: spki.toString('base64') })}\n`);
  const replaced = await checkLog(world, 1);
  assert.deepEqual([codes(replaced), replaced.unchecked.length], [['run-missing'], 1]);
});
