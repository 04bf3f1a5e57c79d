/** Bundles of a real run, exported by the shipped command: whatever is changed in one, the verifier notices. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { TrustDocument } from '@pangolin/contracts/trust';
import { memoryReader } from '@pangolin/verify/readers/memory';
import { openBundle } from '@pangolin/verify/readers/open';
import { parseTrustFile } from '@pangolin/verify/trust-file';
import { verifyBundle } from '@pangolin/verify/verify';
import {
  base64FieldMutants,
  eventMutants,
  fileMutants,
  nameMutants,
  payloadMutants,
} from '../verify/generic-mutants.ts';
import { joinLines, splitLines, type Files } from '../verify/forge.ts';
import { Harness, type Mutant } from '../verify/harness.ts';
import { exportedFiles } from './bundles.ts';
import { blocks, Deployment, outputs, patch, runOf, script } from './harness.ts';

let deployment: Deployment;
let document: string;
let directory: string;
let trust: TrustDocument;
let files: Files;

before(async () => {
  deployment = new Deployment('process');
  deployment.drop(
    'run.json',
    runOf('run', deployment.repo, [
      { id: 'make', ...blocks(script('echo made > made.txt; echo o > outputs/o'), patch, outputs) },
      {
        id: 'use',
        needs: { made: { from: 'make', select: { kind: 'patch' } } },
        ...blocks(script('git apply inputs/made'), patch),
      },
      { id: 'broken', ...blocks(script('exit 3')) },
      { id: 'behind', depends_on: ['broken'], ...blocks(script('true')) },
    ]),
  );
  await deployment.settle();
  document = await deployment.verified('run');
  directory = join(deployment.dir, 'bundle');
  const { code, stderr } = await deployment.cli('orch', 'audit', 'run', '--out', directory);
  assert.equal(code, 0, stderr);
  trust = parseTrustFile(readFileSync(join(deployment.storage, 'controller', 'trust.json')));
  files = await exportedFiles(deployment.storage, 'run');
});
after(() => deployment.dispose());

/** Lines of the log removed, repeated, swapped, and cut off. */
function* lineMutants(): Generator<Mutant> {
  const lines = splitLines(files.get('events.jsonl')!);
  const log = (changed: readonly Buffer[]): Files => new Map(files).set('events.jsonl', joinLines(changed));
  for (const [at, line] of lines.entries()) {
    yield { name: `line ${at} removed`, files: log(lines.toSpliced(at, 1)) };
    yield { name: `line ${at} twice`, files: log(lines.toSpliced(at, 0, line)) };
    yield { name: `cut off before line ${at}`, files: log(lines.slice(0, at)) };
    if (at > 0)
      yield { name: `line ${at} before ${at - 1}`, files: log(lines.with(at, lines[at - 1]!).with(at - 1, line)) };
  }
}

/** Every so-many-th, so that `count` of them are tried, from all over. */
function sampled(mutants: Iterable<Mutant>, count: number): Mutant[] {
  const all = [...mutants];
  const stride = Math.max(1, Math.floor(all.length / count));
  return all.filter((_, index) => index % stride === 0);
}

test('single changes, removals, repetitions and reorderings are all noticed', async (t) => {
  const base = await verifyBundle(memoryReader(files), trust);
  assert.equal(base.verdict, 'verified', JSON.stringify(base.checks, null, 1));
  const harness = new Harness(trust, base);
  const mutants = [
    ...lineMutants(),
    ...sampled(eventMutants(files), 120),
    ...sampled(fileMutants(files), 120),
    ...sampled(payloadMutants(files), 40),
    ...sampled(base64FieldMutants(files), 30),
    ...sampled(nameMutants(files), 60),
  ];
  for (const mutant of mutants) await harness.try(mutant);
  t.diagnostic(`${harness.count} mutants`);
  assert.ok(harness.count > 350, `only ${harness.count} mutants`);
  assert.deepEqual({ escaped: harness.tally.escaped, wrong: harness.tally.wrong }, { escaped: [], wrong: [] });
});

async function verdictOf(path: string): Promise<string> {
  const { reader, close } = await openBundle(path);
  try {
    return (await verifyBundle(reader, trust)).verdict;
  } finally {
    await close();
  }
}

test('the one JSON document is noticed when its text is bent anywhere', async () => {
  const text = readFileSync(document, 'utf8');
  const bent = join(deployment.dir, 'bent.json');
  const escaped: string[] = [];
  const trying = async (name: string, changed: string | Buffer): Promise<void> => {
    writeFileSync(bent, changed);
    if ((await verdictOf(bent)) !== 'failed') escaped.push(name);
  };
  // What the parser of JSON would forgive.
  const key = /"blobs\/[0-9a-f]{64}":"/.exec(text)![0];
  await trying('a line end behind it', `${text}\n`);
  await trying('a blank in it', text.replace('{"files"', '{ "files"'));
  await trying('a second document', text + text);
  await trying('a key twice', text.replace(key, `${key}other","${key.slice(1)}`));
  await trying('another field', text.replace(/\}$/, ',"x":1}'));
  await trying('an escape', text.replace('events.jsonl', '\\u0065vents.jsonl'));
  await trying('cut off', text.slice(0, -1));
  // A bit here and there.
  const bytes = Buffer.from(text);
  for (let at = 3; at < bytes.length; at += Math.floor(bytes.length / 60)) {
    const flipped = Buffer.from(bytes);
    flipped[at]! ^= 1;
    await trying(`a bit of byte ${at}`, flipped);
  }
  assert.deepEqual(escaped, []);
});

test('a directory is noticed when one of its files is bent, lost, renamed or joined by another', async () => {
  assert.equal(await verdictOf(directory), 'verified');
  const escaped: string[] = [];
  const names = readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
  for (const name of names) {
    const original = readFileSync(name);
    const attempts: readonly [string, () => void, () => void][] = [
      ['longer', () => writeFileSync(name, Buffer.concat([original, Buffer.of(10)])), () => {}],
      ['renamed', () => renameSync(name, `${name}x`), () => renameSync(`${name}x`, name)],
      ['joined', () => writeFileSync(`${name}.orig`, original), () => rmSync(`${name}.orig`)],
    ];
    for (const [what, bend, mend] of attempts) {
      bend();
      if ((await verdictOf(directory)) !== 'failed') escaped.push(`${name} ${what}`);
      mend();
      writeFileSync(name, original);
    }
  }
  assert.deepEqual(escaped, []);
  assert.equal(await verdictOf(directory), 'verified');
});

test('the shipped verifier exits 1 for a bundle that was bent', async () => {
  const bent = join(deployment.dir, 'bent.json');
  writeFileSync(bent, readFileSync(document, 'utf8').replace('Succeeded', 'Succeedec'));
  assert.equal((await deployment.cli('verify', bent)).code, 1);
  const log = join(directory, 'events.jsonl');
  writeFileSync(log, joinLines(splitLines(readFileSync(log)).slice(1)));
  assert.equal((await deployment.cli('verify', directory)).code, 1);
});
