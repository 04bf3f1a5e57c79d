/** The bracket of times: what is opened after the word of witnesses and sealed before it, and every way to bend that. */
import assert from 'node:assert/strict';
import { sign } from 'node:crypto';
import { before, test } from 'node:test';
import { memoryReader } from '@pangolin/verify/readers/memory';
import { renderReport } from '@pangolin/verify/render';
import type { Report } from '@pangolin/verify/report';
import { verifyBundle } from '@pangolin/verify/verify';
import { ed25519, forgeKeys, leavesOf, logIdOf, noteLine, ORIGIN, sha, signNote, trustOf, type Files } from './forge.ts'; // prettier-ignore
import { nameMutants } from './generic-mutants.ts';
import { Harness, type Mutant } from './harness.ts';
import { cosign, opened, policyOf, sealedBy, type ForgedWitness, type HistoryBend } from './history.ts';
import { base64Mutants, byteMutants } from './json-mutants.ts';
import { tell } from './story.ts';

const keys = forgeKeys();
const seconds = (time: string): number => Date.parse(`2026-03-01T${time}Z`) / 1000;
const witness = (name: string, openedAt: string, sealedAt: string): ForgedWitness => ({
  name,
  key: ed25519(),
  opened: seconds(openedAt),
  sealed: seconds(sealedAt),
});
// The run is submitted at 10:00:00 and completed some seconds later.
const one = witness('a.example', '09:59:10', '10:00:40');
const two = witness('b.example', '09:59:30', '10:00:50');
const three = witness('c.example', '09:59:50', '10:01:00');
const all = [one, two, three];
const trust = (threshold = '2', witnesses = all) =>
  trustOf(keys, (each) => (each.witnessPolicy = policyOf(witnesses, threshold)));
const { files: story } = tell(keys);
const files = opened(keys, story, all);
const nameIn = (bundle: Files): string => [...bundle.keys()].find((name) => /^history\/[0-9a-f]+$/.test(name))!;
const noteOf = (bundle: Files): Buffer => bundle.get(nameIn(bundle))!;
const NOTE = nameIn(files);
const PROOF = `${NOTE}.proof`;
/** Enough for the bracket: what a mutant of it costs is a millisecond. */
const small: Files = new Map([...files].filter(([name]) => /^events|^seal|^history/.test(name)));
const verify = (bundle: Files, document = trust(), now = Date.parse('2026-04-01T00:00:00.000Z')): Promise<Report> =>
  verifyBundle(memoryReader(bundle), document, { now });
const without = (names: readonly string[], from = files): Files =>
  new Map([...from].filter(([name]) => !names.includes(name)));
let base: Report;

before(async () => {
  base = await verify(files);
  assert.equal(base.verdict, 'verified', JSON.stringify(base.checks, null, 1));
});

test('two of three witnesses say when: neither the first nor the last of them alone', () => {
  assert.deepEqual(base.timeBracket, { notBefore: '2026-03-01T09:59:30.000Z', notAfter: '2026-03-01T10:00:50.000Z' });
  assert.equal(base.sealDelayMs, Date.parse('2026-03-01T10:00:50.000Z') - Date.parse(base.run!.completedAt!));
  assert.ok(!base.findings.some(({ code }) => code === 'times-contradict'));
  const text = renderReport(base);
  assert.match(text, /^Opened: after 2026-03-01T09:59:30\.000Z, when witnesses/m);
  assert.match(text, /^Sealed: before 2026-03-01T10:00:50\.000Z\.$/m);
});

const one3 = { notBefore: '2026-03-01T09:59:50.000Z', notAfter: '2026-03-01T10:00:40.000Z' };
const cannot = (because: string) => `It cannot be checked because ${because}.`;
const brackets: readonly [name: string, make: () => Promise<Report>, bracket: Report['timeBracket']][] = [
  ['any one is enough', () => verify(files, trust('any')), one3],
  ['all have to', () => verify(files, trust('all')), { notBefore: '2026-03-01T09:59:10.000Z', notAfter: '2026-03-01T10:01:00.000Z' }], // prettier-ignore
  ['an old bundle', () => verify(sealedBy(story, all)), { notAfter: '2026-03-01T10:00:50.000Z', unproven: { notBefore: cannot('no witness had cosigned the checkpoint that the run was opened after') } }], // prettier-ignore
  ['a bundle without the checkpoint', () => verify(without([NOTE])), { notAfter: '2026-03-01T10:00:50.000Z', unproven: { notBefore: cannot('the bundle withholds the checkpoint that the run was opened after') } }], // prettier-ignore
  ['a bundle without the proof', () => verify(without([PROOF])), { notAfter: '2026-03-01T10:00:50.000Z', unproven: { notBefore: cannot('the bundle withholds the proof that the log continues the checkpoint that the run was opened after') } }], // prettier-ignore
  ['a lean bundle', () => verify(new Map([...files].filter(([name]) => !name.includes('/')))), { notAfter: '2026-03-01T10:00:50.000Z', unproven: { notBefore: cannot('the bundle withholds the checkpoint that the run was opened after') } }], // prettier-ignore
  ['one of two on the first checkpoint', () => verify(sealedBy(opened(keys, story, [one]), all)), { notAfter: '2026-03-01T10:00:50.000Z', unproven: { notBefore: cannot('too few of the witnesses them had cosigned the checkpoint that the run was opened after') } }], // prettier-ignore
  ['one of two on the seal', () => verify(sealedBy(files, [three])), { notBefore: '2026-03-01T09:59:30.000Z', unproven: { notAfter: 'It cannot be checked because neither a time stamp nor enough witnesses that the trust file names say when the seal existed.' } }], // prettier-ignore
  ['no witness in the trust file', () => verify(files, trustOf(keys)), { unproven: { notBefore: cannot('the trust file names no witness'), notAfter: 'It cannot be checked because neither a time stamp nor enough witnesses that the trust file names say when the seal existed.' } }], // prettier-ignore
  ['no trust file', () => verifyBundle(memoryReader(files), undefined), { unproven: { notBefore: 'It cannot be checked because no trust file was given.', notAfter: 'It cannot be checked because no trust file was given.' } }], // prettier-ignore
  ['no seal', () => verify(without(['seal.sigstore.json'])), { unproven: { notBefore: 'There is nothing to check because the run is not sealed.', notAfter: 'There is nothing to check because the run is not sealed.' } }], // prettier-ignore
];
for (const [name, make, bracket] of brackets) {
  test(`the bracket with ${name}`, async () => {
    const report = await make();
    assert.notEqual(report.verdict, 'failed', JSON.stringify(report.checks.history));
    assert.deepEqual(report.timeBracket, bracket);
    for (const why of Object.values(bracket.unproven ?? {})) {
      if (report.verdict === 'verified') assert.ok(renderReport(report).includes(why));
    }
  });
}

test('a witness that the trust file lacks is found once, however often it signed', async () => {
  const report = await verify(files, trust('all', [one, two]));
  assert.deepEqual(report.timeBracket, { notBefore: '2026-03-01T09:59:10.000Z', notAfter: '2026-03-01T10:00:50.000Z' });
  assert.equal(report.findings.filter(({ code }) => code === 'witness-unknown').length, 1);
});

test('a run that says that it ran before its checkpoint was cosigned, or after its seal was, is told of', async () => {
  const late = { ...one, opened: seconds('10:30:00') };
  const backdated = await verify(opened(keys, story, [late]), trust('all', [late]));
  assert.equal(backdated.timeBracket.notBefore, '2026-03-01T10:30:00.000Z');
  const early = { ...one, opened: seconds('09:00:00'), sealed: seconds('09:30:00') };
  const postdated = await verify(opened(keys, story, [early]), trust('all', [early]));
  assert.equal(postdated.timeBracket.notAfter, '2026-03-01T09:30:00.000Z');
  for (const { verdict, findings } of [backdated, postdated]) {
    const [found, ...more] = findings.filter(({ code }) => code === 'times-contradict');
    assert.deepEqual([verdict, more], ['verified', []]);
    assert.match(found!.message, /^The times contradict each other \(cosigned before it was opened 2026-[^)]*sealed before 2026-[^)]*\): a clock is wrong/); // prettier-ignore
  }
});

/** Without any key: changed files. */
function* fileMutants(): Generator<Mutant> {
  for (const name of [NOTE, PROOF]) {
    const original = files.get(name)!;
    const make = (what: string, bytes: Buffer): Mutant => ({
      name: `${name}: ${what}`,
      files: new Map(small).set(name, bytes),
      failure: ['history'],
    });
    for (const { name: what, bytes } of byteMutants(original, 5)) yield make(what, bytes);
    for (const [field] of original.toString().matchAll(/[A-Za-z0-9+/]{40,}={0,2}/g)) {
      for (const { name: what, text } of base64Mutants(field))
        yield make(`${field.slice(0, 12)} ${what}`, Buffer.from(original.toString().replace(field, text)));
    }
    for (const mutant of nameMutants(new Map([[name, original]]))) {
      const changed = new Map([...without([name], small), ...mutant.files!]);
      if (mutant.name.startsWith(name)) yield { ...mutant, files: changed, failure: ['structure', 'history', 'blob'] };
    }
    yield { name: `${name} withheld`, files: without([name], small), mayLower: true };
  }
  const lines = files.get(PROOF)!.toString().split('\n');
  for (const at of lines.keys()) {
    const change = (what: string, changed: string[]): Mutant => ({ name: `line ${at} of the proof ${what}`, files: new Map(small).set(PROOF, Buffer.from(changed.join('\n'))), failure: ['history'] }); // prettier-ignore
    yield change('dropped', lines.toSpliced(at, 1));
    yield change('twice', lines.toSpliced(at, 0, lines[at]!));
    if (at > 0 && at < lines.length - 2) yield change('swapped', lines.with(at, lines[at + 1]!).with(at + 1, lines[at]!)); // prettier-ignore
  }
  for (const first of ['old 0', 'old 2', 'old 4', 'old 03', 'old +3', 'old 3 ', 'new 3', 'old 3e0', 'old 9007199254740993'])
    yield { name: `proof of ${first}`, files: new Map(small).set(PROOF, Buffer.from([first, ...lines.slice(1)].join('\n'))), failure: ['history'] }; // prettier-ignore
  yield { name: 'both withheld', files: without([NOTE, PROOF], small), mayLower: true };
  for (const name of [`history/${'0'.repeat(64)}`, `history/${'0'.repeat(64)}.proof`])
    yield { name: `${name} added`, files: new Map(small).set(name, Buffer.from('x')), failure: ['history'] };
  yield { name: 'history of a run that names none', files: new Map(sealedBy(story, all)).set(NOTE, files.get(NOTE)!), failure: ['history'] }; // prettier-ignore
}

const stranger = ed25519();
/** By whoever has the keys of the deployment, but for those of the witnesses: all but the witnesses' word is consistent. */
const forgeries: Readonly<Record<string, HistoryBend>> = {
  'of another log': { text: (text) => text.replace(ORIGIN, 'log.other.example') },
  'of a larger log than the run names': { text: (text) => text.replace('\n3\n', '\n4\n') },
  'of another root': { text: (text) => text.replace(/\n[^\n]+\n$/, `\n${Buffer.alloc(32, 7).toString('base64')}\n`) },
  'of an empty log': { text: (text) => text.replace('\n3\n', '\n0\n') },
  'with an extension line': { text: (text) => `${text}more\n` },
  'of a size with a leading zero': { text: (text) => text.replace('\n3\n', '\n03\n') },
  'not signed by the log': { lines: ([, ...rest]) => rest },
  'signed by a stranger': { lines: ([, ...rest], text) => [signNote(stranger, text, 'a.stranger'), ...rest] },
  'signed by a stranger in the name of the log': { lines: ([, ...rest], text) => [noteLine(ORIGIN, logIdOf(keys.log).subarray(0, 4), sign(null, Buffer.from(text), stranger.privateKey)), ...rest] }, // prettier-ignore
  'signed by the log after the witnesses': { lines: ([own, ...rest]) => [...rest, own!] },
  'signed by the log twice': { lines: ([own, ...rest]) => [own!, own!, ...rest] },
  'over another text': { lines: ([, ...rest], text) => [signNote(keys.log, `${text}x\n`), ...rest] },
  'cosigned in another order': { lines: ([own, a, b, c]) => [own!, b!, a!, c!] },
  'cosigned twice by one': { lines: ([own, a, b, c]) => [own!, a!, a!, b!, c!] },
  'cosigned by one in the name of another': { lines: ([own, a, , c], text) => [own!, a!, cosign({ ...two, key: one.key }, two.opened, text), c!] }, // prettier-ignore
  'cosigned over another text': { lines: ([own, , b, c], text) => [own!, cosign(one, one.opened, `${text}x\n`), b!, c!] }, // prettier-ignore
  'cosigned at a time that the witness did not say': { lines: (lines) => lines.map((line, at) => (at === 1 ? later(line) : line)) }, // prettier-ignore
  'of a state that the run does not name': { after: (after) => (after.root = sha('another')) },
  'after which the run does not say that it began': { after: (after) => (after.size = 2) },
  'that the log of the seal does not continue': { before: [...leavesOf(2), Buffer.from('a run that was deleted since')] }, // prettier-ignore
};

/** The same signature under a later time. */
function later(line: string): string {
  const [, head, encoded] = /^(.* )(\S+)\n$/.exec(line)!;
  const bytes = Buffer.from(encoded!, 'base64');
  bytes.writeBigUInt64BE(bytes.readBigUInt64BE(4) + 60n, 4);
  return `${head}${bytes.toString('base64')}\n`;
}

function* forgedMutants(): Generator<Mutant> {
  for (const [name, bend] of Object.entries(forgeries))
    yield { name: `a checkpoint ${name}`, files: opened(keys, story, all, bend), failure: ['history'] };
  yield { name: 'a checkpoint of the whole log of the seal', files: opened(keys, story, all, { before: leavesOf(7) }), failure: ['events'] }; // prettier-ignore
  const rotated: HistoryBend = { lines: ([, ...rest], text) => [signNote(stranger, text), ...rest] };
  yield { name: 'a checkpoint under a key of the log that the trust file lacks', files: opened(keys, story, all, rotated), strange: true }; // prettier-ignore
  yield { name: 'M: the checkpoint of another run', files: new Map(files).set(NOTE, noteOf(opened(keys, story, [one]))), failure: ['history'] }; // prettier-ignore
}

for (const [name, atLeast, mutants] of [
  ['A, B, L: changed without a key', 300, fileMutants],
  ['F, G, M: bent by the operator', 22, forgedMutants],
] as const) {
  test(`${name}, the checkpoint that a run was opened after fails or widens the bracket`, async (t) => {
    const honest = await verify(mutants === fileMutants ? small : files);
    await new Harness(trust(), honest).tryAll(mutants(), atLeast, t);
  });
}

test('the key of the log has to be valid when the witnesses saw the first checkpoint, not only the second', async () => {
  const since = (start: string) =>
    trustOf(keys, (each) => {
      each.witnessPolicy = policyOf(all, '2');
      each.trustedRoot.tlogs[0].publicKey.validFor = { start };
    });
  const { verdict } = await verify(files, since('2026-03-01T09:59:30.000Z'));
  const later = await verify(files, since('2026-03-01T09:59:31.000Z'));
  assert.deepEqual([verdict, later.verdict, later.failure], ['verified', 'failed', 'history']);
  assert.match(later.checks.history.detail, /^The key of the log was not valid at 2026-03-01T09:59:30\.000Z\.$/);
});

test('without the check history a log that was rewritten since the run was opened would escape', async () => {
  const harness = new Harness(trust(), base);
  const files = opened(keys, story, all, forgeries['that the log of the seal does not continue']);
  const mutant = { name: 'a log that was rewritten', files };
  const noticed = await harness.report(mutant);
  assert.deepEqual([noticed.verdict, noticed.failure], ['failed', 'history']);
  const overruled = await harness.report(mutant, 'history');
  assert.deepEqual([overruled.verdict, overruled.guarantee], ['verified', 'witnessed']);
});
