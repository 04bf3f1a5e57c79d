/** The evidence of one item: what the storage exports verifies, and nothing that was changed does. */
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { canonicalBytes } from '@pangolin/contracts/canonical';
import type { ItemProof } from '@pangolin/contracts/proof';
import type { TrustDocument } from '@pangolin/contracts/trust';
import { trustDocument } from '@pangolin/controller/audit/keys';
import { exportProof } from '@pangolin/storage/proof';
import { verifyProof } from '@pangolin/verify/proof/verify-proof';
import { renderReport } from '@pangolin/verify/render';
import { exitCodeOf, type CheckId, type Report } from '@pangolin/verify/report';
import { openWorld, recordRun } from '../audit/world.ts';
import { attestation, p256, type Json } from './forge.ts';
import { base64Mutants, byteMutants, jsonMutants } from './json-mutants.ts';

const proofs = new Map<string, Buffer>();
let trust: TrustDocument;
const good = (): Buffer => proofs.get('a/item-1')!;

before(async () => {
  await using world = await openWorld();
  await recordRun(world, 'a', 3);
  await recordRun(world, 'b', 3);
  await world.sealer().advance();
  trust = trustDocument(world.keys);
  for (const [run, item] of [['a', 'item-1'], ['a', 'item-2'], ['b', 'item-1']] as const) {
    proofs.set(`${run}/${item}`, await exportProof(world.store, run, item));
  } // prettier-ignore
  await assert.rejects(exportProof(world.store, 'a', 'item-9'), { code: 'NOT_FOUND', message: /no item item-9/ });
  await assert.rejects(exportProof(world.store, 'c', 'item-1'), { code: 'NOT_FOUND', message: /no sealed evidence/ });
});

const check = (bytes: Buffer, overruled?: CheckId): Promise<Report> => verifyProof(bytes, trust, {}, overruled);
const failed = ({ checks }: Report): [string, string][] =>
  Object.entries(checks).flatMap(([id, { result, detail }]) => (result === false ? [[id, detail]] : []));

test('the proof of an item is a few kilobytes, verifies, and says what was yielded', async () => {
  const report = await check(good());
  assert.deepEqual([report.verdict, failed(report)], ['verified', []]);
  assert.deepEqual(report.item, { id: 'item-1', run: 'a', origin: trust.origin, outcome: 'done', attempts: 1 });
  assert.deepEqual(report.statements, { present: 2, withheld: 0, signed: 2 });
  assert.ok(good().length < 16 * 1024, `${good().length} bytes`);
  const text = renderReport(report);
  assert.match(text, /^VERIFIED[^]*Item item-1 of the run a[^]*producers of 1 input are not in the proof/);
  assert.match(text, /controller +It yielded patch sha256:[0-9a-f]{64}/);
  assert.match(text, /only the bundle of the run can show/);
  for (const bytes of proofs.values()) assert.equal((await check(bytes)).verdict, 'verified');
});

test('without a trust file, with one that lacks the key, and as the proof of another run', async () => {
  const without = await verifyProof(good(), undefined);
  assert.deepEqual([without.verdict, exitCodeOf(without)], ['incomplete', 4]);
  const strange = await verifyProof(good(), { ...trust, signers: trust.signers.filter(({ roles }) => roles[0] !== 'attest') }); // prettier-ignore
  assert.equal(strange.verdict, 'incomplete');
  assert.match(strange.checks.attestations.detail, /cannot be checked because the trust file has no key/);
  assert.equal((await verifyProof(good(), trust, { expectRun: 'b' })).failure, 'seal');
});

/** Every mutant fails, none by an error of ours. */
async function allFail(mutants: Iterable<{ readonly name: string; readonly bytes: Buffer }>): Promise<number> {
  const escaped: string[] = [];
  let count = 0;
  for (const { name, bytes } of mutants) {
    count++;
    if ((await check(bytes)).verdict !== 'failed') escaped.push(name);
  }
  assert.deepEqual(escaped, []);
  return count;
}

test('a change of any single field fails', async (t) => {
  const text = good().toString();
  function* mutants() {
    let at = 0;
    for (const mutant of jsonMutants(text)) {
      if (at++ % 3 === 0) yield { name: mutant.name, bytes: Buffer.from(mutant.text) };
    }
    yield* byteMutants(good(), 31);
    for (const [field] of text.matchAll(/"[A-Za-z0-9+/]{40,}={0,2}"/g)) {
      for (const mutant of base64Mutants(field.slice(1, -1))) {
        yield { name: `${field.slice(0, 20)} ${mutant.name}`, bytes: Buffer.from(text.replace(field, JSON.stringify(mutant.text))) }; // prettier-ignore
      }
    }
  }
  const count = await allFail(mutants());
  t.diagnostic(`${count} mutants`);
  assert.ok(count > 1000);
});

test('a changed line, statement or payload fails, whatever it says', async () => {
  const proof = JSON.parse(good().toString()) as Json;
  function* mutants() {
    for (const [at, { line }] of (proof as ItemProof).events.entries()) {
      for (const mutant of [...jsonMutants(line)].filter((_, index) => index % 5 === 0)) {
        const copy = structuredClone(proof);
        copy.events[at].line = mutant.text;
        yield { name: `line ${at}: ${mutant.name}`, bytes: canonicalBytes(copy) };
      }
    }
    for (const place of [proof.seal, ...proof.statements] as Json[]) {
      const payload = Buffer.from(place.dsseEnvelope.payload as string, 'base64').toString();
      const before = place.dsseEnvelope.payload;
      for (const mutant of [...jsonMutants(payload)].filter((_, index) => index % 11 === 0)) {
        place.dsseEnvelope.payload = Buffer.from(mutant.text).toString('base64');
        yield { name: mutant.name, bytes: canonicalBytes(proof) };
      }
      place.dsseEnvelope.payload = before;
    }
  }
  assert.ok((await allFail(mutants())) > 200);
});

test('parts of another item or run, left out, repeated or in another order, fail', async () => {
  const [own, sibling, other] = ['a/item-1', 'a/item-2', 'b/item-1'].map(
    (name) => JSON.parse(proofs.get(name)!.toString()) as Json,
  ) as [Json, Json, Json];
  const edit = (name: string, change: (proof: Json) => void) => {
    const copy = structuredClone(own);
    change(copy);
    return { name, bytes: canonicalBytes(copy) };
  };
  const mutants = [
    ...Object.keys(own).flatMap((field) =>
      [sibling, other].flatMap((from, at) =>
        canonicalBytes(from[field]).equals(canonicalBytes(own[field])) ? [] : [edit(`${field} of ${at}`, (proof) => (proof[field] = from[field]))],
      ),
    ),
    ...[0, 1].flatMap((at) => [
      edit(`event ${at} left out`, ({ events }) => events.splice(at, 1)),
      edit(`event ${at} twice`, ({ events }) => events.splice(at, 0, events[at])),
      edit(`event ${at} of a sibling`, ({ events }) => (events[at] = sibling.events[at])),
      edit(`event ${at} of another run`, ({ events }) => (events[at] = other.events[at])),
      edit(`path of event ${at} of a sibling`, ({ events }) => (events[at].path = sibling.events[at].path)),
      edit(`statement ${at} left out`, ({ statements }) => statements.splice(at, 1)),
      edit(`statement ${at} twice`, ({ statements }) => statements.splice(at, 0, statements[at])),
      edit(`statement ${at} of a sibling`, ({ statements }) => (statements[at] = sibling.statements[at])),
      edit(`statement ${at} of another run`, ({ statements }) => (statements[at] = other.statements[at])),
    ]),
    edit('events of a sibling too', ({ events }) => events.push(...sibling.events)),
    edit('events reversed', ({ events }) => events.reverse()),
    edit('statements reversed', ({ statements }) => statements.reverse()),
    edit('the seal within a seal', (proof) => (proof.seal = own)),
    edit('no event', (proof) => (proof.events = [])),
  ]; // prettier-ignore
  assert.ok((await allFail(mutants)) > 25);
});

test('each check is needed', async () => {
  const proof = JSON.parse(good().toString()) as Json;
  const edit = (change: (copy: Json) => void): Buffer => {
    const copy = structuredClone(proof);
    change(copy);
    return canonicalBytes(copy);
  };
  const only: Partial<Record<CheckId, Buffer>> = {
    events: edit(({ events }) => (events[0].path[0] = Buffer.alloc(32).toString('base64'))),
    attestations: edit(({ statements }) => {
      const payload = Buffer.from(statements[0].dsseEnvelope.payload as string, 'base64');
      const signed = attestation(p256(), payload);
      statements[0].dsseEnvelope.signatures[0].sig = signed.dsseEnvelope.signatures[0].sig;
    }),
    checkpoint: edit(({ seal }) => {
      const { inclusionProof } = seal.verificationMaterial.tlogEntries[0];
      const note = inclusionProof.checkpoint.envelope as string;
      inclusionProof.checkpoint.envelope = `${note.slice(0, -9)}AAAA${note.slice(-5)}`;
    }),
    rebuild: edit(({ seal }) => (seal.verificationMaterial.tlogEntries[0].logIndex = '5')),
  };
  for (const [id, bytes] of Object.entries(only)) {
    assert.deepEqual(failed(await check(bytes)).map(([each]) => each), [id]);
    const overruled = await check(bytes, id as CheckId);
    assert.deepEqual([overruled.verdict, failed(overruled).map(([each]) => each)], ['verified', [id]], id);
  } // prettier-ignore
});
