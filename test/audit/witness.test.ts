import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CHECKPOINT } from '@pangolin/contracts/layout';
import { formatVkey, NOTE_ED25519, parseCheckpoint, parseNote } from '@pangolin/contracts/note';
import type { TrustDocument } from '@pangolin/contracts/trust';
import { trustDocument } from '@pangolin/controller/audit/keys';
import { tlogWitness } from '@pangolin/controller/audit/witness';
import { exportBundle } from '@pangolin/storage/bundle';
import { memoryReader } from '@pangolin/verify/readers/memory';
import type { Report } from '@pangolin/verify/report';
import { verifyBundle } from '@pangolin/verify/verify';
import { serveHttp } from './tsa.ts';
import { serveWitness, type Lies, type WitnessServer } from './witness-server.ts';
import { openWorld, recordRun, type World } from './world.ts';

const quick = { timeoutMs: 5000, tries: 2, pauseMs: 1, restMs: 0 };

async function filesOf(world: World, runId: string): Promise<Map<string, Buffer>> {
  const files = new Map<string, Buffer>();
  for await (const { name, body } of exportBundle(world.store, runId)) files.set(name, body);
  return files;
}

async function check(world: World, runId: string, trust: TrustDocument): Promise<Report> {
  return verifyBundle(memoryReader(await filesOf(world, runId)), trust);
}

const policyOf = (world: World, witnesses: readonly { readonly vkey: string }[], threshold: string): TrustDocument => ({
  ...trustDocument(world.keys),
  witnessPolicy: [
    `log ${formatVkey(world.keys.log.note)}`,
    ...witnesses.map(({ vkey }, at) => `witness w${at} ${vkey} https://witness.example/`),
    `group them ${threshold} ${witnesses.map((_, at) => `w${at}`).join(' ')}`,
    'quorum them',
    '',
  ].join('\n'),
});

test('witnesses follow the log as it grows, and k of n make it witnessed', async () => {
  await using world = await openWorld();
  const log = world.keys.log.note;
  await using first = await serveWitness(log, 'first.example/w');
  await using second = await serveWitness(log, 'second.example/w');
  await using down = await serveWitness(log, 'third.example/w', { answer: () => [503, ''] });
  const servers: readonly WitnessServer[] = [second, first, down];
  const problems: string[] = [];
  const witnesses = servers.map(({ url, vkey }) =>
    tlogWitness({ url, vkey, ...quick, onGivenUp: ({ message }) => void problems.push(message) }),
  );
  for (const runId of ['a', 'b', 'c']) {
    await recordRun(world, runId);
    assert.equal((await world.sealer({ witnesses }).advance()).error, undefined);
  }
  assert.deepEqual([first.seen()!.size, second.seen()!.size], [3, 3]);
  assert.deepEqual([first.statuses, down.statuses.length], [[200, 200, 200], 6]);
  assert.match(problems[0]!, /^the witness third.example\/w: it answered with HTTP status 503/);
  for (const runId of ['a', 'b', 'c']) {
    const enough = await check(world, runId, policyOf(world, servers, '2'));
    assert.deepEqual([enough.verdict, enough.guarantee, enough.claim], ['verified', 'witnessed', 'tamper-evident']);
    assert.equal(enough.cosignatures, 2);
    // The log was empty before the first of them.
    assert.deepEqual([runId, enough.timeBracket.notBefore !== undefined], [runId, runId !== 'a']);
    assert.ok(Date.parse(enough.timeBracket.notBefore ?? '2026-01-01') <= Date.parse(enough.timeBracket.notAfter!));
    assert.ok(enough.findings.some(({ code }) => code === 'witnesses-missing'));
    const short = await check(world, runId, policyOf(world, servers, 'all'));
    assert.deepEqual([short.verdict, short.guarantee, short.claim], ['verified', 'detect', 'tamper-detecting']);
    assert.ok(short.findings.some(({ code }) => code === 'quorum-not-met'));
    const required = await check(world, runId, {
      ...policyOf(world, servers, 'all'),
      require: { guarantee: 'witnessed' },
    });
    assert.deepEqual(required.below, ['guarantee']);
    const older = await check(world, runId, policyOf(world, [first], 'any'));
    assert.deepEqual([older.verdict, older.guarantee, older.cosignatures], ['verified', 'witnessed', 1]);
  }
  const published = parseNote((await world.store.get(CHECKPOINT)).toString('utf8'));
  assert.deepEqual(published.signatures.map(({ name }) => name), [log.name, 'first.example/w', 'second.example/w']); // prettier-ignore
});

test('a witness that has seen more or less than is recorded is met where it is', async () => {
  await using world = await openWorld();
  await using server = await serveWitness(world.keys.log.note, 'w.example');
  const witnesses = [tlogWitness({ url: server.url, vkey: server.vkey, ...quick })];
  for (const runId of ['a', 'b']) await recordRun(world, runId);
  await world.sealer({ witnesses }).advance();
  // Crash: it signed, and nobody wrote that down.
  world.evidence.log.setWitnessedSize('w.example', 0);
  await recordRun(world, 'c');
  assert.equal((await world.sealer({ witnesses }).advance()).error, undefined);
  assert.deepEqual(server.statuses, [200, 409, 200]);
  assert.equal((await check(world, 'c', policyOf(world, [server], 'any'))).guarantee, 'witnessed');
});

test('a log that was forked gets no cosignature, and the seal goes on without', async () => {
  await using world = await openWorld();
  await using fork = await openWorld();
  const log = world.keys.log.note;
  await using server = await serveWitness(log, 'w.example');
  const problems: string[] = [];
  const options = { keys: world.keys, witnesses: [tlogWitness({ url: server.url, vkey: server.vkey, ...quick, onGivenUp: ({ message }) => void problems.push(message) })] }; // prettier-ignore
  for (const runId of ['a', 'b', 'c']) await recordRun(world, runId);
  await world.sealer(options).advance();
  // The same keys over another history, as a restored backup would have it.
  for (const runId of ['a', 'x', 'y', 'z']) await recordRun(fork, runId);
  assert.deepEqual((await fork.sealer(options).advance()).pending, 0);
  assert.match(problems[0]!, /not an extension/);
  await using rollback = await openWorld();
  await recordRun(rollback, 'a');
  await rollback.sealer(options).advance();
  assert.match(problems[1]!, /has seen 3 entries of this log already/);
  assert.equal(parseCheckpoint(parseNote((await fork.store.get(CHECKPOINT)).toString('utf8')).text).size, 4);
  assert.equal(server.seen()!.size, 3);
});

const liars: Readonly<Record<string, readonly [Lies, RegExp]>> = {
  'signs another checkpoint': [{ text: (text) => text.replace(/\n\d+\n/, '\n999\n') }, /does not verify/],
  'signs without a time': [{ time: () => 0n }, /does not verify/],
  'has a clock of its own': [{ time: () => 4_000_000_000n }, /its clock says 2096-/],
  'lives in the past': [{ time: () => 1_000_000_000n }, /its clock says 2001-/],
  'sends an empty answer': [{ answer: () => [200, ''] }, /no cosignature/],
  'sends the line of nobody': [
    { answer: () => [200, `\u2014 x ${Buffer.alloc(76).toString('base64')}\n`] },
    /does not verify/,
  ],
  'sends a page': [{ answer: () => [200, '<html>\n'] }, /no cosignature/],
  'claims to have seen more': [{ answer: () => [409, '1000000\n'] }, /has seen 1000000 entries/],
  'claims one size after the other': [{ answer: () => [409, '1\n'] }, /one size after the other/],
  'claims no size': [{ answer: () => [409, 'many\n'] }, /does not say how much/],
  'does not know the log': [{ answer: () => [404, ''] }, /does not know this log/],
};
for (const [what, [lies, why]] of Object.entries(liars)) {
  test(`nothing is kept of a witness that ${what}`, async () => {
    await using world = await openWorld();
    await recordRun(world, 'a');
    await using server = await serveWitness(world.keys.log.note, 'w.example', lies);
    const problems: string[] = [];
    const witness = tlogWitness({ url: server.url, vkey: server.vkey, ...quick, onGivenUp: ({ message }) => void problems.push(message) }); // prettier-ignore
    assert.deepEqual(await world.sealer({ witnesses: [witness] }).advance(), { sealed: ['a'], pending: 0 });
    assert.match(problems[0]!, why);
    const report = await check(world, 'a', policyOf(world, [server], 'any'));
    assert.deepEqual([report.verdict, report.guarantee, report.cosignatures], ['verified', 'detect', 0]);
  });
}

test('a witness that has seen more keeps a restored database from starting; one that cannot be asked does not', async () => {
  await using world = await openWorld();
  await using restored = await openWorld();
  const log = world.keys.log.note;
  await using server = await serveWitness(log, 'w.example');
  const witnesses = [tlogWitness({ url: server.url, vkey: server.vkey, ...quick })];
  const behind = { keys: world.keys, witnesses };
  for (const runId of ['a', 'b']) {
    await recordRun(world, runId);
    await world.sealer({ witnesses }).advance();
  }
  await world.sealer({ witnesses }).checkLog();
  await recordRun(restored, 'a');
  await restored.sealer({ keys: world.keys }).advance();
  await assert.rejects(restored.sealer(behind).checkLog(), { code: 'CONFLICT', message: /the witness w\.example has seen 2 entries of this log, the database has 1/ }); // prettier-ignore
  // As many entries, and other ones.
  await recordRun(restored, 'x');
  await restored.sealer({ keys: world.keys }).advance();
  await assert.rejects(restored.sealer(behind).checkLog(), { code: 'CONFLICT', message: /has seen another log of 2 entries/ }); // prettier-ignore
  assert.equal(server.seen()!.size, 2);
  await using silent = await serveHttp(() => {});
  const problems: string[] = [];
  await restored
    .sealer({ keys: world.keys, witnesses: [tlogWitness({ url: silent.url, vkey: server.vkey, timeoutMs: 50 })] })
    .checkLog(({ message }) => void problems.push(message));
  assert.match(problems[0]!, /does not say how much of the log it has/);
});

test('a witness that hangs is given up', async () => {
  await using world = await openWorld();
  await recordRun(world, 'a');
  await using server = await serveHttp(() => {});
  await using real = await serveWitness(world.keys.log.note, 'w.example');
  const witness = tlogWitness({ url: server.url, vkey: real.vkey, ...quick, timeoutMs: 50 });
  assert.deepEqual(await world.sealer({ witnesses: [witness] }).advance(), { sealed: ['a'], pending: 0 });
  assert.equal(server.requests(), 2);
});

test('a key that is none of a witness is refused', async () => {
  await using world = await openWorld();
  const vkey = formatVkey({ ...world.keys.log.note, type: NOTE_ED25519 });
  assert.throws(() => tlogWitness({ url: 'http://127.0.0.1:1/', vkey }), { code: 'INVALID' });
});

test('every bent cosignature line fails, and only its removal lowers', async () => {
  await using world = await openWorld();
  const log = world.keys.log.note;
  await using one = await serveWitness(log, 'a.example');
  await using two = await serveWitness(log, 'b.example');
  await recordRun(world, 'a');
  const witnesses = [one, two].map(({ url, vkey }) => tlogWitness({ url, vkey, ...quick }));
  await world.sealer({ witnesses }).advance();
  const trust = policyOf(world, [one, two], 'all');
  const files = await filesOf(world, 'a');
  assert.equal((await verifyBundle(memoryReader(files), trust)).guarantee, 'witnessed');
  const seal = files.get('seal.sigstore.json')!.toString('utf8');
  const { envelope } = (JSON.parse(seal) as { verificationMaterial: { tlogEntries: { inclusionProof: { checkpoint: { envelope: string } } }[] } }).verificationMaterial.tlogEntries[0]!.inclusionProof.checkpoint; // prettier-ignore
  const json = (text: string): string => JSON.stringify(text).slice(1, -1);
  const withNote = (note: string) => {
    const bytes = Buffer.from(seal.replace(json(envelope), () => json(note)));
    return verifyBundle(memoryReader(new Map(files).set('seal.sigstore.json', bytes)), trust);
  };
  const [head, own, first, second] = [envelope.slice(0, envelope.indexOf('\n\n') + 2), ...envelope.trimEnd().split('\n').slice(-3)] as [string, string, string, string]; // prettier-ignore
  assert.equal((await withNote(envelope)).verdict, 'verified');
  for (const [name, lines] of Object.entries({
    reordered: [own, second, first],
    'cosignature first': [first, own, second],
    'one twice': [own, first, first, second],
    'names swapped': [own, first.replace('a.example', 'b.example'), second.replace('b.example', 'a.example')],
    'without the log': [first, second],
    'a line that is no cosignature': [own, first, second, own.replace(log.name, 'c.example')],
    'a cosignature under the name of the log': [own, first.replace('a.example', log.name), second],
  })) {
    assert.equal((await withNote(`${head}${lines.join('\n')}\n`)).verdict, 'failed', name);
  }
  // A witness that was added since the auditor got his copy: nothing is lost but its word.
  const older = policyOf(world, [one], 'all');
  const added = await verifyBundle(memoryReader(files), older);
  assert.deepEqual([added.verdict, added.guarantee, added.cosignatures], ['verified', 'witnessed', 1]);
  const unknown = added.findings.filter(({ code }) => code === 'witness-unknown').map(({ message }) => message);
  assert.deepEqual(unknown, ['The cosignature of "b.example" cannot be checked because the trust file does not know this witness; it counts for nothing.']); // prettier-ignore
  const { witnessPolicy: _, ...none } = trust;
  const alone = await verifyBundle(memoryReader(files), none);
  assert.deepEqual([alone.verdict, alone.guarantee, alone.cosignatures], ['verified', 'detect', 0]);
  assert.equal(alone.findings.filter(({ code }) => code === 'witness-unknown').length, 2);
  const removed = await withNote(`${head}${own}\n${first}\n`);
  assert.deepEqual([removed.verdict, removed.guarantee], ['verified', 'detect']);
  const [, line] = /^(.* )\S+$/.exec(first)!;
  const bytes = Buffer.from(first.slice(line!.length), 'base64');
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const bent = Buffer.from(bytes);
    bent[bit >> 3]! ^= 1 << (bit & 7);
    const report = await withNote(`${head}${own}\n${line}${bent.toString('base64')}\n${second}\n`);
    assert.deepEqual([report.verdict, report.failure], ['failed', 'checkpoint'], `bit ${bit}`);
  }
});
