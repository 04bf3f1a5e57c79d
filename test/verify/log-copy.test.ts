/** `pangolin-verify --log`: an auditor's copy of `log/` and the bundles that he was given, in whatever form. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { canonical } from '@pangolin/contracts/canonical';
import { trustDocument } from '@pangolin/controller/audit/keys';
import { exportBundle } from '@pangolin/storage/bundle';
import type { LogReport } from '@pangolin/verify/log/check-log';
import { gist, standalone, type Said } from '../audit/standalone.ts';
import { beginRun, openWorld, recordRun, START, type World } from '../audit/world.ts';

const MINUTE = 60_000;
let dir: string;
let world: World;
/** The log after all that is told; the second half of the story, by whoever restored a backup, is in `restored`. */
let restored: World;
const at = (...names: string[]): string => join(dir, ...names);

/** The evidence of the run as a folder, an archive and a document. */
async function bundles(of: World, run: string, name = run): Promise<void> {
  const files: Record<string, string | { base64: string }> = {};
  for await (const { name: file, body } of exportBundle(of.store, run)) {
    mkdirSync(dirname(at(name, file)), { recursive: true });
    writeFileSync(at(name, file), body);
    const text = body.toString('utf8');
    files[file] = Buffer.from(text).equals(body) ? text : { base64: body.toString('base64') };
  }
  writeFileSync(at(`${name}.json`), canonical({ files }));
  execFileSync('tar', ['--format=ustar', '-cf', at(`${name}.tar`), '-C', at(name), '.']);
}

before(async () => {
  dir = mkdtempSync(join(tmpdir(), 'pangolin-log-copy-'));
  world = await openWorld();
  const advance = async (of: World, minute: number): Promise<void> =>
    assert.equal((await of.sealer({ now: () => START + minute * MINUTE }).advance()).error, undefined);
  await recordRun(world, 'a', 1);
  await advance(world, 1);
  const finish = await beginRun(world, 'b', 3, 3);
  await advance(world, 2);
  finish();
  await advance(world, 3);
  await bundles(world, 'a');
  await bundles(world, 'b');
  cpSync(join(world.dir, 'storage', 'log'), at('log'), { recursive: true });
  writeFileSync(at('trust.json'), JSON.stringify(trustDocument(world.keys)));

  const backup = at('backup');
  cpSync(join(world.dir, 'storage'), join(backup, 'storage'), { recursive: true });
  cpSync(join(world.dir, 'keys'), join(backup, 'keys'), { recursive: true });
  await world.db.backup(join(backup, 'state.db'));
  restored = await openWorld(backup);
  await recordRun(world, 'c', 1);
  await advance(world, 4);
  await recordRun(restored, 'c', 2);
  await recordRun(restored, 'd', 1);
  await advance(restored, 5);
  await bundles(world, 'c');
  await bundles(restored, 'c', 'c-again');
  await bundles(restored, 'd');
  cpSync(join(world.dir, 'storage', 'log'), at('log-of-c'), { recursive: true });
  cpSync(join(backup, 'storage', 'log'), at('log-restored'), { recursive: true });
});
after(async () => {
  await restored[Symbol.asyncDispose]();
  await world[Symbol.asyncDispose]();
  rmSync(dir, { recursive: true, force: true });
});

const check = (log: string, given: readonly string[], ...flags: readonly string[]): Promise<Said> =>
  standalone(['--log', at(log), ...given.map((name) => at(name)), '--trust', at('trust.json'), '-o', 'json', ...flags]);
async function found(
  code: number,
  log: string,
  given: readonly string[],
  ...flags: readonly string[]
): Promise<LogReport> {
  const said = await check(log, given, ...flags);
  assert.equal(said.code, code, said.stderr + said.stdout);
  return JSON.parse(said.stdout) as LogReport;
}
const codes = ({ problems }: LogReport): string[] => [...new Set(problems.map(({ code }) => code))].sort();

test('all bundles, in any form, account for the whole log, heads included', async () => {
  const reports: LogReport[] = [];
  for (const form of ['', '.tar', '.json']) reports.push(await found(0, 'log', [`a${form}`, `b${form}`], '--complete'));
  const [report] = reports as [LogReport];
  assert.deepEqual([report.verdict, report.size, report.seals, report.heads], ['consistent', 3, 2, 1]);
  for (const other of reports) assert.deepEqual(gist(other), gist(report));
  // Every entry is accounted for, so nothing is left that others could be of.
  assert.equal((await found(0, 'log', ['a', 'b'])).verdict, 'consistent');
});

test('a run of which there is no bundle cannot be checked; where there should be one, it was deleted', async () => {
  const some = await found(4, 'log', ['a.json']);
  assert.deepEqual(codes(some), []);
  assert.deepEqual(some.unchecked, ['2 entries of the log (1, 2) cannot be checked because no bundle that was given is of their runs']); // prettier-ignore
  const all = await found(1, 'log', ['a.json'], '--complete');
  assert.deepEqual(all.problems.map(({ code, index }) => [code, index]), [['run-missing', 1], ['run-missing', 2]]); // prettier-ignore
});

test('a restored backup forked the log, and told one run twice: the bundles of before say so', async () => {
  assert.deepEqual(codes(await found(0, 'log-of-c', ['a', 'b', 'c'], '--complete')), []);
  assert.deepEqual(codes(await found(0, 'log-restored', ['a', 'b', 'c-again', 'd'], '--complete')), []);
  const forked = await found(1, 'log-restored', ['a', 'b', 'c', 'd']);
  assert.deepEqual(codes(forked), ['forked', 'seal-unlogged']);
  const twice = await found(1, 'log-restored', ['a', 'b', 'c', 'c-again.tar', 'd']);
  assert.deepEqual(codes(twice), ['forked', 'seal-unlogged', 'two-seals']);
  assert.match(twice.problems.find(({ code }) => code === 'two-seals')!.message, /^the run c has two seals, in .*\/c and in .*\/c-again\.tar$/); // prettier-ignore
  assert.deepEqual(codes(await found(1, 'log', ['a', 'b', 'c'])), ['behind', 'seal-unlogged']);
});

test('a run that says that it began after a log that never was is found out', async () => {
  const { lastCheckpoint } = restored.evidence;
  restored.evidence.lastCheckpoint = () => ({ size: 2, root: '7'.repeat(64) });
  await recordRun(restored, 'e', 1);
  restored.evidence.lastCheckpoint = lastCheckpoint;
  assert.equal((await restored.sealer({ now: () => START + 6 * MINUTE }).advance()).error, undefined);
  await bundles(restored, 'e');
  cpSync(join(restored.dir, 'storage', 'log'), at('log-of-e'), { recursive: true });
  const report = await found(1, 'log-of-e', ['a', 'b', 'c-again', 'd', 'e'], '--complete');
  assert.deepEqual(report.problems.map(({ code, message }) => [code, message]), [['forked', `the submission in ${at('e')} has another checkpoint of 2 entries than this log had then`]]); // prettier-ignore
  assert.deepEqual(codes(await found(4, 'log-of-e', ['a', 'b', 'c-again', 'd'])), []);
});

test('what is no bundle, and events that are not the sealed ones, are no run of this deployment', async () => {
  writeFileSync(at('no-bundle.json'), '{"files":{"a":1}}');
  assert.deepEqual(codes(await found(1, 'log', ['a', 'b', 'no-bundle.json'])), ['seal-unreadable']);
  cpSync(at('b'), at('bent'), { recursive: true });
  writeFileSync(at('bent', 'events.jsonl'), '{}\n');
  assert.deepEqual(codes(await found(1, 'log', ['a', 'bent'])), ['head-missing', 'seal-unreadable']);
  cpSync(at('b'), at('open'), { recursive: true });
  rmSync(at('open', 'seal.sigstore.json'));
  assert.deepEqual((await found(4, 'log', ['a', 'open'])).unsealed, [at('open')]);
});

test('a key that the trust file lacks leaves the log incomplete', async () => {
  const document = trustDocument(world.keys);
  writeFileSync(at('trust-less.json'), JSON.stringify({ ...document, signers: document.signers.slice(1) }));
  const said = await standalone(['--log', at('log'), at('a'), at('b'), '--trust', at('trust-less.json'), '--complete']);
  assert.equal(said.code, 4);
  assert.match(
    said.stdout,
    /^INCOMPLETE\. .*\n[^]*unchecked .*\/a cannot be checked because the trust file has no key/,
  );
});

test('what cannot be used is said, and is neither consistent nor tampered with', async () => {
  symlinkSync(at('log', 'checkpoint'), at('link'));
  mkdirSync(at('linked'));
  symlinkSync(at('log', 'checkpoint'), at('linked', 'checkpoint'));
  for (const [argv, why] of [
    [['--log', at('log'), at('a')], /^no trust file/],
    [['--log', at('nowhere'), '--trust', at('trust.json')], /^there is no directory/],
    [['--log', at('linked'), '--trust', at('trust.json')], /checkpoint cannot be read/],
    [['--log', at('log'), at('nowhere'), '--trust', at('trust.json')], /^there is no bundle at/],
    [['--log', at('log'), '--run', 'a', '--trust', at('trust.json')], /^--run goes with one bundle/],
    [[at('a'), '--complete', '--trust', at('trust.json')], /^--complete goes with --log/],
  ] as const) {
    const { code, stdout, stderr } = await standalone(argv);
    assert.deepEqual([code, stdout], [2, ''], stderr);
    assert.match(stderr, why);
  }
  assert.deepEqual(codes(await found(1, 'a', ['a'])), ['behind', 'log-missing', 'seal-unlogged']);
});
