import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { bundleFromJSON, type SerializedBundle } from '@sigstore/bundle';
import { TrustedRoot } from '@sigstore/protobuf-specs';
import { toSignedEntity, toTrustMaterial, Verifier } from '@sigstore/verify';
import { parseCanonical } from '@pangolin/contracts/canonical';
import { sha256 } from '@pangolin/contracts/digest';
import { lowS, pae } from '@pangolin/contracts/dsse';
import { PangolinError } from '@pangolin/contracts/errors';
import { CHECKPOINT, eventsKey, LOG, sealKey, statementsKey, tileKey } from '@pangolin/contracts/layout';
import {
  append,
  emptyFrontier,
  leafHash,
  rootOf,
  verifyConsistency,
  verifyInclusion,
} from '@pangolin/contracts/merkle';
import {
  noteKeyId,
  parseCheckpoint,
  parseNote,
  spkiOfEd25519,
  verifyNote,
  type NoteKey,
} from '@pangolin/contracts/note';
import type { SigstoreBundle } from '@pangolin/contracts/sigstore-bundle';
import type { RunSeal, Statement } from '@pangolin/contracts/statement';
import { consistencyProof, inclusionProof, TILE_WIDTH, tilePath, tilesBetween } from '@pangolin/contracts/tlog';
import { trustDocument } from '@pangolin/controller/audit/keys';
import type { Witness } from '@pangolin/controller/audit/outside';
import type { SealStage } from '@pangolin/controller/store/evidence';
import { createHash, createPublicKey, generateKeyPairSync, sign } from 'node:crypto';
import { faultyStore, openWorld, recordRun, START, type Fault, type World } from './world.ts';

async function sealOf(world: World, runId: string): Promise<SigstoreBundle> {
  return parseCanonical(await world.store.get(sealKey(runId))) as SigstoreBundle;
}
const payloadOf = (seal: SigstoreBundle): Buffer => Buffer.from(seal.dsseEnvelope.payload, 'base64');
const statementOf = (seal: SigstoreBundle): Statement<RunSeal> => parseCanonical(payloadOf(seal)) as Statement<RunSeal>;

/** What an auditor recomputes, with the functions of contracts/ but nothing of the controller. */
async function assertSealHolds(world: World, runId: string): Promise<SigstoreBundle> {
  const seal = await sealOf(world, runId);
  const { subject, predicate } = statementOf(seal);
  const signature = Buffer.from(seal.dsseEnvelope.signatures[0].sig, 'base64');
  assert.deepEqual(lowS(signature), signature);
  const events = await world.store.get(eventsKey(runId));
  assert.equal(subject[0]!.digest.sha256, sha256(events));
  const lines = events.toString('utf8').split('\n').slice(0, -1);
  const tree = lines.reduce((frontier, line) => append(frontier, Buffer.from(line)), emptyFrontier);
  assert.deepEqual(predicate.tree, { hash: 'rfc6962-sha256', size: lines.length, root: rootOf(tree).toString('hex') });
  const [entry] = seal.verificationMaterial.tlogEntries;
  const proof = entry!.inclusionProof;
  const note = parseNote(proof.checkpoint.envelope);
  const checkpoint = parseCheckpoint(note.text);
  assert.equal(verifyNote(note.text, note.signatures[0]!, world.keys.log.note), true);
  assert.equal(String(checkpoint.size), proof.treeSize);
  const leaf = leafHash(Buffer.from(entry!.canonicalizedBody, 'base64'));
  const hashes = proof.hashes.map((hash) => Buffer.from(hash, 'base64'));
  assert.equal(verifyInclusion(Number(entry!.logIndex), checkpoint.size, leaf, hashes, checkpoint.root), true);
  return seal;
}

/** Reads the published log as a stranger would: its checkpoint, then every tile. */
async function assertLogHolds(world: World): Promise<number> {
  const note = parseNote((await world.store.get(CHECKPOINT)).toString('utf8'));
  const { size, root } = parseCheckpoint(note.text);
  const hashes = new Map<number | 'entries', Buffer[]>();
  for (const tile of tilesBetween(0, size)) {
    const bytes = await world.store.get(tileKey(tilePath(tile)));
    const row = hashes.get(tile.level) ?? [];
    hashes.set(tile.level, row);
    for (let at = 0; at < bytes.length;) {
      const length = tile.level === 'entries' ? bytes.readUInt16BE(at) : 32;
      at += tile.level === 'entries' ? 2 : 0;
      row.push(bytes.subarray(at, at + length));
      at += length;
    }
  }
  const entries = hashes.get('entries')!;
  assert.deepEqual(entries.map(leafHash), hashes.get(0));
  assert.deepEqual(rootOf(entries.reduce(append, emptyFrontier)), root);
  for (const [at, hash] of (hashes.get(1) ?? []).entries()) {
    const leaves = entries.slice(at * TILE_WIDTH, (at + 1) * TILE_WIDTH);
    assert.deepEqual(hash, rootOf(leaves.reduce(append, emptyFrontier)), `tile hash ${at}`);
  }
  return size;
}

test('runs that end together are sealed under one checkpoint', async () => {
  await using world = await openWorld();
  for (const runId of ['a', 'b', 'c']) await recordRun(world, runId);
  const sealed: [string, number][] = [];
  const progress = await world.sealer({ onSealed: (runId, at) => sealed.push([runId, at]) }).advance();
  assert.deepEqual({ ...progress, sealed: [...progress.sealed].sort() }, { sealed: ['a', 'b', 'c'], pending: 0 });
  assert.deepEqual(
    sealed.sort(),
    ['a', 'b', 'c'].map((runId) => [runId, START + 60_000]),
  );
  const notes = new Set<string>();
  for (const runId of ['a', 'b', 'c']) {
    const seal = await assertSealHolds(world, runId);
    assert.equal(statementOf(seal).predicate.runId, runId);
    notes.add(seal.verificationMaterial.tlogEntries[0]!.inclusionProof.checkpoint.envelope);
  }
  assert.equal(notes.size, 1);
  assert.equal(await assertLogHolds(world), 3);
});

test('the seal says what the run log says', async () => {
  await using world = await openWorld();
  await recordRun(world, 'a', 3);
  await world.sealer().advance();
  const statement = statementOf(await sealOf(world, 'a'));
  assert.equal(statement.predicateType, 'https://pangolin.dev/attestation/run-seal/v1');
  assert.deepEqual(
    statement.subject.map(({ name }) => name),
    ['events.jsonl'],
  );
  const { tree, ...rest } = statement.predicate;
  assert.equal(tree.size, 8);
  assert.deepEqual(rest, {
    runId: 'a',
    logOrigin: world.keys.origin,
    status: 'succeeded',
    submittedAt: '2026-11-23T12:00:00.000Z',
    completedAt: '2026-11-23T12:00:00.007Z',
    heads: [],
    attestations: 'signed',
    expects: { timestamp: [], witnesses: 0, anchor: [] },
  });
});

test('statements.jsonl has every signed statement of the run', async () => {
  await using world = await openWorld();
  await recordRun(world, 'a', 3);
  await recordRun(world, 'b', 1);
  await world.sealer().advance();
  const lines = (await world.store.get(statementsKey('a'))).toString('utf8').split('\n').slice(0, -1);
  assert.equal(lines.length, 6);
  for (const line of lines) parseCanonical(Buffer.from(line));
});

test('a later run extends the log, and its checkpoint is consistent with the one before', async () => {
  await using world = await openWorld();
  await recordRun(world, 'a');
  await world.sealer().advance();
  const first = parseCheckpoint(parseNote((await world.store.get(CHECKPOINT)).toString('utf8')).text);
  await recordRun(world, 'b');
  await world.sealer().advance();
  const event = JSON.parse((await world.store.get(eventsKey('b'))).toString('utf8').split('\n')[0]!) as {
    after: unknown;
  };
  assert.deepEqual(event.after, { size: first.size, root: first.root.toString('hex') });
  const seal = await assertSealHolds(world, 'b');
  assert.equal(seal.verificationMaterial.tlogEntries[0]!.logIndex, '1');
  assert.equal(await assertLogHolds(world), 2);
  // The old seal stays as it was.
  await assertSealHolds(world, 'a');
});

test('a call with nothing to seal writes nothing', async () => {
  await using world = await openWorld();
  const store = faultyStore(world.store, 0, 'did not happen');
  assert.deepEqual(await world.sealer({ store }).advance(), { sealed: [], pending: 0 });
  await recordRun(world, 'a');
  await world.sealer({ store }).advance();
  const writes = store.writes();
  assert.equal(writes, 6);
  await world.sealer({ store }).advance();
  assert.equal(store.writes(), writes);
});

/** What a controller that dies here must not do twice. */
interface Committed {
  readonly sig: Buffer | null;
  readonly log_index: number | null;
}

async function assertResumes(world: World): Promise<void> {
  const before = world.evidence.sealOf('a')! as Committed;
  const again = await world.reopen();
  await again.sealer().checkLog();
  assert.deepEqual(await again.sealer().advance(), { sealed: ['a'], pending: 0 });
  const row = again.evidence.sealOf('a')!;
  if (before.sig) assert.deepEqual(row.sig, before.sig, 'the same signature');
  if (before.log_index !== null) assert.equal(row.log_index, before.log_index, 'the same place in the log');
  const seal = await assertSealHolds(again, 'a');
  assert.equal(seal.dsseEnvelope.signatures[0].sig, row.sig!.toString('base64'));
  assert.equal(await assertLogHolds(again), 2, 'one leaf a run');
  again.db.close();
}

for (const fault of ['did not happen', 'happened but reported failure'] satisfies Fault[]) {
  for (let failing = 1; failing <= 6; failing++) {
    test(`after write ${failing} of a seal ${fault}, the next controller completes the same seal`, async () => {
      await using world = await openWorld();
      await recordRun(world, 'earlier');
      await world.sealer().advance();
      await recordRun(world, 'a');
      const store = faultyStore(world.store, failing, fault);
      const progress = await world.sealer({ store }).advance();
      assert.equal(progress.error?.code, 'UNAVAILABLE');
      assert.deepEqual([progress.sealed, progress.pending], [[], 1]);
      await assertResumes(world);
    });
  }
}

const transitions: readonly SealStage[] = [
  'open',
  'uploaded',
  'signed',
  'stamped',
  'logged',
  'checkpointed',
  'witnessed',
  'anchored',
];
for (const from of transitions) {
  test(`a controller that dies before it can record what follows ${from} completes the same seal`, async () => {
    await using world = await openWorld();
    await recordRun(world, 'earlier');
    await world.sealer().advance();
    await recordRun(world, 'a');
    const { evidence } = world;
    const advance = evidence.advanceSeal.bind(evidence);
    evidence.advanceSeal = (runId, at, to, change) => {
      advance(runId, at, to, change);
      // Throwing undoes the transaction, as a kill would.
      if (at === from) throw new Error('killed');
    };
    const progress = await world.sealer().advance();
    assert.equal(progress.error?.code, 'INTERNAL');
    assert.equal(evidence.sealOf('a')!.stage, from);
    await assertResumes(world);
  });
}

test('one run that cannot be sealed does not stop the others', async () => {
  await using world = await openWorld();
  await recordRun(world, 'bad');
  await recordRun(world, 'good');
  await world.store.put(eventsKey('bad'), 'something else\n');
  const progress = await world.sealer().advance();
  assert.deepEqual([progress.sealed, progress.pending, progress.error?.code], [['good'], 1, 'CONFLICT']);
  assert.match(progress.error!.message, /the run bad is not sealed/);
  assert.equal((await world.store.get(eventsKey('bad'))).toString(), 'something else\n');
});

test('the sealer waits while a pass has its transaction open, and sees nothing that is not committed', async () => {
  await using world = await openWorld();
  await recordRun(world, 'a');
  world.db.exec('BEGIN IMMEDIATE');
  world.evidence.openSeal('uncommitted');
  const advance = world.sealer().advance();
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(world.evidence.sealOf('a')!.stage, 'open');
  world.db.exec('ROLLBACK');
  assert.deepEqual(await advance, { sealed: ['a'], pending: 0 });
});

test('two calls at once are one', async () => {
  await using world = await openWorld();
  await recordRun(world, 'a');
  const sealer = world.sealer();
  const [first, second] = await Promise.all([sealer.advance(), sealer.advance()]);
  assert.equal(first, second);
});

/* ---- The log must not fork ---- */

test('a database older than the published log is refused at start and when sealing', async () => {
  await using world = await openWorld();
  await recordRun(world, 'a');
  await world.sealer().advance();
  const backup = join(world.dir, 'backup.db');
  await world.db.backup(backup);
  await recordRun(world, 'b');
  await world.sealer().advance();
  const tiles = (await world.store.list(LOG)).objects;
  execFileSync('cp', [backup, join(world.dir, 'restored.db')]);
  world.db.close();
  for (const suffix of ['', '-wal', '-shm']) execFileSync('rm', ['-f', join(world.dir, `state.db${suffix}`)]);
  execFileSync('mv', [join(world.dir, 'restored.db'), join(world.dir, 'state.db')]);
  const restored = await openWorld(world.dir);
  await assert.rejects(restored.sealer().checkLog(), { code: 'CONFLICT', message: /2 entries, the database only 1/ });
  // Another run at the same place would be a fork with the same size.
  await recordRun(restored, 'c');
  const progress = await restored.sealer().advance();
  assert.equal(progress.error?.code, 'CONFLICT');
  assert.match(progress.error!.message, /another log of 2 entries/);
  await assert.rejects(restored.sealer().checkLog(), { code: 'CONFLICT', message: /another log of 2 entries/ });
  assert.deepEqual((await restored.store.list(LOG)).objects, tiles);
  restored.db.close();
});

test('keys of another deployment are refused', async () => {
  await using world = await openWorld();
  await using other = await openWorld();
  await recordRun(world, 'a');
  await world.sealer().advance();
  await assert.rejects(world.sealer({ keys: other.keys }).checkLog(), { code: 'CONFLICT', message: /these keys/ });
  await assert.rejects(other.sealer({ store: world.store }).checkLog(), { code: 'CONFLICT', message: /these keys/ });
});

test('a database whose log was altered is refused', async () => {
  await using world = await openWorld();
  for (const runId of ['a', 'b', 'c']) await recordRun(world, runId);
  await world.sealer().advance();
  world.db.prepare('UPDATE log_hash SET hash = ? WHERE level = 0 AND idx = 1').run(Buffer.alloc(32));
  await assert.rejects(world.sealer().checkLog(), { code: 'INTEGRITY' });
  world.db.exec('DELETE FROM log_hash WHERE idx = 1');
  await assert.rejects(world.sealer().checkLog(), { code: 'INTEGRITY' });
});

test('a fresh deployment and a consistent one pass the check', async () => {
  await using world = await openWorld();
  await world.sealer().checkLog();
  await recordRun(world, 'a');
  await world.sealer().advance();
  await (await world.reopen()).sealer().checkLog();
});

test('two roots at one size halt the log', async () => {
  await using world = await openWorld();
  world.evidence.log.addCheckpoint({ size: 1, root: Buffer.alloc(32), note: 'x' });
  assert.throws(() => world.evidence.log.addCheckpoint({ size: 1, root: Buffer.alloc(32, 1), note: 'y' }), {
    code: 'INTEGRITY',
  });
});

test('a log of many tiles has the tree of its entries, and proofs into every corner of it', async () => {
  await using world = await openWorld();
  const { log } = world.evidence;
  world.db.exec('BEGIN');
  for (let at = 0; at < 66_000; at++) assert.equal(log.append(`ref ${at}`, Buffer.from(`leaf ${at}`)), at);
  assert.equal(log.append('ref 7', Buffer.from('again')), 7);
  world.db.exec('COMMIT');
  const leaves = log.leaves(0, 66_000);
  const corners = new Set([1, 255, 256, 257, 65_535, 65_536, 65_537, 66_000]);
  let frontier = emptyFrontier;
  for (const leaf of leaves) {
    frontier = append(frontier, leaf);
    if (corners.has(frontier.size)) assert.deepEqual(log.root(frontier.size), rootOf(frontier), `of ${frontier.size}`);
  }
  for (const index of [0, 255, 256, 40_000, 65_535, 65_536, 65_999]) {
    const proof = inclusionProof(index, 66_000, log.hashAt);
    assert.equal(verifyInclusion(index, 66_000, leafHash(leaves[index]!), proof, log.root(66_000)), true);
  }
  const proof = consistencyProof(300, 66_000, log.hashAt);
  assert.equal(verifyConsistency(300, 66_000, proof, log.root(300), log.root(66_000)), true);
});

test('several hundred seals fill a tile, and the published log still adds up', async () => {
  await using world = await openWorld();
  world.db.exec('BEGIN');
  for (let at = 0; at < 300; at++) world.evidence.log.append(`ref ${at}`, Buffer.from(`leaf ${at}`));
  world.db.exec('COMMIT');
  await recordRun(world, 'a');
  await world.sealer().advance();
  assert.equal(await assertLogHolds(world), 301);
  await assertSealHolds(world, 'a');
});

test('a published log that got lost is published again, whole', async () => {
  await using world = await openWorld();
  world.db.exec('BEGIN');
  for (let at = 0; at < 300; at++) world.evidence.log.append(`ref ${at}`, Buffer.from(`leaf ${at}`));
  world.db.exec('COMMIT');
  await recordRun(world, 'a');
  await world.sealer().advance();
  for (const { key } of (await world.store.list(LOG)).objects) await world.store.delete(key);
  await recordRun(world, 'b');
  const sealer = world.sealer();
  await sealer.checkLog();
  await sealer.advance();
  assert.equal(await assertLogHolds(world), 302);
});

/* ---- Who vouches from outside ---- */

test('tokens, cosignatures and anchors become part of the seal, each asked once', async () => {
  await using world = await openWorld();
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const raw = publicKey.export({ type: 'spki', format: 'der' }).subarray(12);
  const witnessKey: NoteKey = { name: 'witness.example', type: 1, publicKey: raw };
  assert.deepEqual(spkiOfEd25519(raw), publicKey.export({ type: 'spki', format: 'der' }));
  const asked: number[] = [];
  const witness: Witness = {
    name: witnessKey.name,
    cosign: async ({ oldSize, proofFrom, note }) => {
      asked.push(oldSize);
      const { text } = parseNote(note);
      const { size, root } = parseCheckpoint(text);
      if (oldSize > 0) {
        assert.ok(verifyConsistency(oldSize, size, proofFrom(oldSize)!, world.evidence.log.root(oldSize), root));
      }
      const signature = sign(null, Buffer.from(text), privateKey);
      return { name: witnessKey.name, keyId: noteKeyId(witnessKey), signature };
    },
    ahead: async () => undefined,
  };
  const stamped: Buffer[] = [];
  const anchored = new Map<string, Buffer>();
  const checkpoints = new Map<number, string>();
  const outside = {
    timestamps: [{ id: 'tsa', stamp: async (signature: Buffer) => (stamped.push(signature), Buffer.from('token')) }],
    witnesses: [witness],
    anchors: [
      {
        id: 'worm',
        put: async (runId: string, seal: Buffer) => void anchored.set(runId, seal),
        putCheckpoint: async (size: number, note: string) => void checkpoints.set(size, note),
        checkpointsAfter: async () => [],
      },
    ],
  };
  for (const runId of ['a', 'b']) await recordRun(world, runId);
  assert.equal((await world.sealer(outside).advance()).error, undefined);
  await recordRun(world, 'c');
  assert.equal((await world.sealer(outside).advance()).error, undefined);
  assert.deepEqual(asked, [0, 2]);
  assert.equal(stamped.length, 3);
  for (const runId of ['a', 'b', 'c']) {
    const seal = await assertSealHolds(world, runId);
    const note = parseNote(seal.verificationMaterial.tlogEntries[0]!.inclusionProof.checkpoint.envelope);
    assert.deepEqual(
      note.signatures.map(({ name }) => name),
      [world.keys.origin, 'witness.example'],
    );
    assert.ok(verifyNote(note.text, note.signatures[1]!, witnessKey));
    assert.deepEqual(seal.verificationMaterial.timestampVerificationData, {
      rfc3161Timestamps: [{ signedTimestamp: Buffer.from('token').toString('base64') }],
    });
    assert.deepEqual(statementOf(seal).predicate.expects, { timestamp: ['tsa'], witnesses: 1, anchor: ['worm'] });
    assert.deepEqual(anchored.get(runId), await world.store.get(sealKey(runId)));
  }
  const published = parseNote((await world.store.get(CHECKPOINT)).toString('utf8'));
  assert.equal(published.signatures.length, 2);
  // Every checkpoint, with the cosignature that it got.
  assert.deepEqual([...checkpoints.keys()], [2, 3]);
  assert.deepEqual(parseNote(checkpoints.get(3)!), published);
});

test('seals that wait for one anchor keep no later run from being signed, logged and anchored elsewhere', async () => {
  await using world = await openWorld();
  const kept: string[] = [];
  const anchorOf = (id: string, put: (runId: string) => Promise<void>) => ({
    id,
    put,
    putCheckpoint: async () => undefined,
    checkpointsAfter: async () => [],
  });
  const down = async () => {
    throw new PangolinError('UNAVAILABLE', 'it is down');
  };
  const anchors = [anchorOf('down', down), anchorOf('up', async (runId) => void kept.push(runId))];
  await recordRun(world, 'first');
  const sealer = world.sealer({ anchors });
  await sealer.advance();
  // As many as one call takes up, all stuck behind it.
  const copy = world.db.prepare(
    'INSERT INTO seal SELECT sn + ?, run_id || ?, stage, payload, sig, keyid, public_key, tokens, log_index, checkpoint_size FROM seal WHERE run_id = ?',
  );
  for (let at = 1; at <= 600; at++) copy.run(at, `-${at}`, 'first');
  await recordRun(world, 'last');
  const { pending, error } = await sealer.advance();
  assert.deepEqual([pending, error?.code], [602, 'UNAVAILABLE']);
  assert.match(error!.message, /the anchor down: it is down/);
  assert.equal(world.evidence.sealOf('last')!.stage, 'witnessed');
  assert.ok(kept.includes('first'));
});

test('one that gives up is left out, one that fails is asked again', async () => {
  await using world = await openWorld();
  await recordRun(world, 'a');
  let calls = 0;
  const flaky = {
    id: 'tsa',
    stamp: async (): Promise<Buffer | undefined> => {
      if (++calls === 1) throw new Error('no answer');
      return undefined;
    },
  };
  const sealer = world.sealer({ timestamps: [flaky] });
  const first = await sealer.advance();
  assert.match(first.error!.message, /the run a is not sealed: no answer/);
  assert.deepEqual(await sealer.advance(), { sealed: ['a'], pending: 0 });
  assert.equal((await sealOf(world, 'a')).verificationMaterial.timestampVerificationData, undefined);
});

test('a witness that has signed is not asked again for one that has not', async () => {
  await using world = await openWorld();
  await recordRun(world, 'a');
  const asked: string[] = [];
  const witnessOf = (name: string, failures: number): Witness => ({
    name,
    cosign: async () => {
      asked.push(name);
      if (failures-- > 0) throw new Error('no answer');
      return { name, keyId: Buffer.alloc(4), signature: Buffer.alloc(72) };
    },
    ahead: async () => undefined,
  });
  const sealer = world.sealer({ witnesses: [witnessOf('second', 0), witnessOf('first', 1)] });
  const { error } = await sealer.advance();
  assert.match(error!.message, /the log is not published: no answer/);
  assert.deepEqual(await sealer.advance(), { sealed: ['a'], pending: 0 });
  assert.deepEqual(asked, ['second', 'first', 'first']);
  const seal = await assertSealHolds(world, 'a');
  const note = parseNote(seal.verificationMaterial.tlogEntries[0]!.inclusionProof.checkpoint.envelope);
  assert.deepEqual(
    note.signatures.map(({ name }) => name),
    [world.keys.origin, 'first', 'second'],
  );
});

/* ---- Checked by tools that we did not write ---- */

test('sigstore-js verifies a seal offline with our trusted root, and no altered one', async () => {
  await using world = await openWorld();
  for (const runId of ['a', 'b', 'c']) await recordRun(world, runId);
  await world.sealer().advance();
  const trust = trustDocument(world.keys);
  // Through JSON: what is tested is the file, not our objects.
  const root = TrustedRoot.fromJSON(JSON.parse(JSON.stringify(trust.trustedRoot)));
  const signer = trust.signers.find(({ roles }) => roles.includes('seal'))!;
  const publicKey = createPublicKey({ key: Buffer.from(signer.publicKey, 'base64'), format: 'der', type: 'spki' });
  const material = toTrustMaterial(root, (hint) => {
    assert.equal(hint, signer.keyid);
    return { publicKey, validFor: () => true };
  });
  const verifier = new Verifier(material, { tlogThreshold: 1, ctlogThreshold: 0, timestampThreshold: 0 });
  const check = (seal: unknown): unknown => verifier.verify(toSignedEntity(bundleFromJSON(seal as SerializedBundle)));
  for (const runId of ['a', 'b', 'c']) check(await sealOf(world, runId));

  const seal = await sealOf(world, 'b');
  const [entry] = seal.verificationMaterial.tlogEntries;
  const altered = (envelope: object, proof: object): unknown => ({
    ...seal,
    dsseEnvelope: { ...seal.dsseEnvelope, ...envelope },
    verificationMaterial: {
      ...seal.verificationMaterial,
      tlogEntries: [{ ...entry, inclusionProof: { ...entry!.inclusionProof, ...proof } }],
    },
  });
  check(altered({}, {}));
  const other = (await sealOf(world, 'a')).dsseEnvelope.payload;
  assert.throws(() => check(altered({ payload: other }, {})), { code: 'TLOG_BODY_ERROR' });
  assert.throws(() => check(altered({}, { hashes: [] })), { code: 'TLOG_INCLUSION_PROOF_ERROR' });
  const { envelope } = entry!.inclusionProof.checkpoint;
  const forged = { checkpoint: { envelope: envelope.replace('\n3\n', '\n4\n') } };
  assert.throws(() => check(altered({}, forged)), { code: 'TLOG_INCLUSION_PROOF_ERROR' });
});

test('openssl verifies the signature of a seal over its pre-authentication encoding', async (t) => {
  if (spawnSync('openssl', ['version']).status !== 0) {
    assert.ok(!process.env.CI, 'openssl is missing');
    return t.skip('openssl is not installed');
  }
  await using world = await openWorld();
  await recordRun(world, 'a');
  await world.sealer().advance();
  const seal = await sealOf(world, 'a');
  const file = (name: string, bytes: Buffer | string): string => {
    writeFileSync(join(world.dir, name), bytes);
    return join(world.dir, name);
  };
  const pem = createPublicKey({ key: world.keys.seal.publicKey, format: 'der', type: 'spki' });
  const key = file('seal.pub', pem.export({ type: 'spki', format: 'pem' }));
  const sig = file('sig', Buffer.from(seal.dsseEnvelope.signatures[0].sig, 'base64'));
  const verifies = (payload: Buffer): boolean =>
    spawnSync('openssl', ['dgst', '-sha256', '-verify', key, '-signature', sig, file('pae', pae(payload))]).status ===
    0;
  assert.equal(verifies(payloadOf(seal)), true);
  assert.equal(verifies(Buffer.from(payloadOf(seal).toString().replace('succeeded', 'cancelled'))), false);
  return undefined;
});

test('the key id is what ssh-keygen prints', async () => {
  await using world = await openWorld();
  const wire = (parts: (string | Buffer)[]): Buffer =>
    Buffer.concat(
      parts.flatMap((part) => [
        Buffer.from(new Uint32Array([Buffer.byteLength(part)]).buffer).reverse(),
        Buffer.from(part as string),
      ]),
    );
  const point = world.keys.seal.publicKey.subarray(-65);
  const blob = wire(['ecdsa-sha2-nistp256', 'nistp256', point]);
  const print = createHash('sha256').update(blob).digest('base64').replaceAll('=', '');
  assert.equal(world.keys.seal.keyid, `SHA256:${print}`);
});
