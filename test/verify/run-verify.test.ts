import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { canonical } from '@pangolin/contracts/canonical';
import { runVerify } from '@pangolin/verify/run-verify';
import { forgeKeys, trustOf, type Files } from './forge.ts';
import { tell } from './story.ts';

const keys = forgeKeys();
const { files } = tell(keys);
let folder: string;
const at = (name: string): string => join(folder, name);

const document = (bundle: Files): string =>
  canonical({ files: Object.fromEntries([...bundle].map(([name, bytes]) => [name, bytes.toString()])) });

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pangolin-verify-'));
  await writeFile(at('bundle.json'), document(files));
  await writeFile(at('evil.json'), document(new Map(files).set('notes', Buffer.from('x'))));
  await mkdir(at('links'));
  await symlink(at('bundle.json'), join(at('links'), 'events.jsonl'));
  await writeFile(at('unsealed.json'), document(new Map([...files].filter(([name]) => !name.startsWith('seal')))));
  await writeFile(at('trust.json'), JSON.stringify(trustOf(keys)));
  const others = forgeKeys();
  const without = { seal: { ...keys, seal: others.seal }, attest: { ...keys, attest: others.attest }, log: { ...keys, log: others.log } }; // prettier-ignore
  for (const [role, known] of Object.entries(without)) {
    await writeFile(at(`without-${role}.json`), JSON.stringify(trustOf(known)));
  }
  const gone = { type: 's3-object-lock', bucket: 'gone', region: 'us-east-1', endpoint: 'http://127.0.0.1:1', minRetentionDays: 1 }; // prettier-ignore
  await writeFile(at('dead.json'), JSON.stringify(trustOf(keys, (trust) => (trust.anchors = [gone]))));
  await writeFile(at('broken.json'), JSON.stringify(trustOf(keys)).slice(1));
  await writeFile(at('wrong.json'), JSON.stringify(trustOf(keys, (trust) => (trust.signers[0].keyid = 'x'))));
});
after(() => rm(folder, { recursive: true }));

async function run(...argv: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const output = { stdout: '', stderr: '' };
  const code = await runVerify(argv, {
    stdout: (text) => (output.stdout += text),
    stderr: (text) => (output.stderr += text),
  });
  return { code, ...output };
}

const cases: readonly [string, () => string[], number, RegExp][] = [
  ['a good bundle', () => [at('bundle.json'), '--trust', at('trust.json')], 0, /^VERIFIED/],
  [
    'the run that was asked for',
    () => [at('bundle.json'), '--trust', at('trust.json'), '--run', 'run-1'],
    0,
    /^VERIFIED/,
  ],
  ['another run', () => [at('bundle.json'), '--trust', at('trust.json'), '--run', 'run-2'], 1, /^FAILED/],
  ['a bad bundle', () => [at('evil.json'), '--trust', at('trust.json')], 1, /^FAILED/],
  ['a bad bundle, without trust', () => [at('evil.json')], 1, /^FAILED/],
  ['a folder with a link', () => [at('links'), '--trust', at('trust.json')], 1, /^FAILED[^]*not a plain file/],
  ['no trust file', () => [at('bundle.json')], 4, /^INCOMPLETE[^]*no trust file was given/],
  ['an unsealed run', () => [at('unsealed.json'), '--trust', at('trust.json')], 4, /^INCOMPLETE[^]*not sealed/],
  ...(['seal', 'attest', 'log'] as const).map((role): (typeof cases)[number] => [
    `a trust file without the key of the role ${role}`,
    () => [at('bundle.json'), '--trust', at(`without-${role}.json`)],
    4,
    /^INCOMPLETE[^]*– [^]*cannot be checked because the trust file has no key/,
  ]),
  [
    'a trust file that is no JSON',
    () => [at('bundle.json'), '--trust', at('broken.json')],
    2,
    /trust file is not JSON/,
  ],
  [
    'a trust file with a wrong key id',
    () => [at('bundle.json'), '--trust', at('wrong.json')],
    2,
    /not the one of its public key/,
  ],
  ['a trust file that is not there', () => [at('bundle.json'), '--trust', at('none.json')], 2, /cannot be read/],
  [
    'an anchor that was asked for and does not answer',
    () => [at('bundle.json'), '--trust', at('dead.json'), '--anchor', 'live'],
    4,
    /^INCOMPLETE[^]*– [^]*It cannot be checked because gone gave no answer \(/,
  ],
  ['that anchor, not asked for', () => [at('bundle.json'), '--trust', at('dead.json')], 0, /^VERIFIED/],
  [
    'an anchor that does not answer, whose answers were to be kept',
    () => [at('bundle.json'), '--trust', at('dead.json'), '--anchor', 'live', '--anchor-snapshot', at('kept.json')],
    4,
    /^INCOMPLETE/,
  ],
  ['what was not kept', () => [at('bundle.json'), '--anchor', 'snapshot', '--anchor-snapshot', at('kept.json')], 2, /kept\.json cannot be read/], // prettier-ignore
  ['what is no snapshot', () => [at('bundle.json'), '--anchor', 'snapshot', '--anchor-snapshot', at('bundle.json')], 2, /snapshot of the anchors cannot be used/], // prettier-ignore
  ['a snapshot over a file that is there', () => [at('bundle.json'), '--anchor', 'live', '--anchor-snapshot', at('bundle.json')], 2, /is there already/], // prettier-ignore
  ['a snapshot without its file', () => [at('bundle.json'), '--anchor', 'snapshot'], 2, /goes with --anchor-snapshot/],
  ['a file that nobody asks for', () => [at('bundle.json'), '--anchor-snapshot', at('kept.json')], 2, /goes with --anchor-snapshot/], // prettier-ignore
  ['an unknown way to look', () => [at('bundle.json'), '--anchor', 'maybe'], 2, /live, snapshot or off/],
  ['a bundle that is not there', () => [at('none.json')], 2, /no bundle at/],
  ['no bundle', () => [], 2, /name one bundle/],
  ['two bundles', () => ['a', 'b'], 2, /name one bundle/],
  ['an unknown option', () => [at('bundle.json'), '--force'], 2, /--force/],
  ['an unknown format', () => [at('bundle.json'), '-o', 'xml'], 2, /no output format xml/],
  ['a question', () => ['--help'], 0, /Exit codes/],
];

for (const [name, argv, code, text] of cases) {
  test(`${name}: exit code ${code}`, async () => {
    const result = await run(...argv());
    assert.equal(result.code, code, result.stderr);
    assert.match(code === 2 ? result.stderr : result.stdout, text);
    assert.equal(code === 2 ? result.stdout : result.stderr, '');
  });
}

test('the JSON report is the report', async () => {
  const { stdout } = await run(at('bundle.json'), '--trust', at('trust.json'), '-o', 'json');
  const report = JSON.parse(stdout) as Record<string, unknown>;
  assert.equal(report.schema, 'pangolin-verify-report/1');
  assert.equal(report.verdict, 'verified');
});

test('the standalone program verifies with nothing but Node', () => {
  const main = join(dirname(dirname(import.meta.dirname)), 'verify/src/main.ts');
  const ran = spawnSync(process.execPath, [main, at('evil.json'), '--trust', at('trust.json')], { encoding: 'utf8' });
  assert.equal(ran.status, 1, ran.stderr);
  assert.match(ran.stdout, /✗ The bundle is a closed set/);
});
