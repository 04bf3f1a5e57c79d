/** The verifier as an auditor gets it: `npm pack`, then nothing but Node and that archive, offline. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { builtinModules } from 'node:module';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { canonical } from '@pangolin/contracts/canonical';
import { forgeKeys, trustOf } from './forge.ts';
import { tell } from './story.ts';

const root = dirname(dirname(import.meta.dirname));
/** What the one file may weigh, in bytes. */
const SIZE_MAX = 250_000;
const keys = forgeKeys();
let dir: string;
let tarball: string;
const at = (...names: string[]): string => join(dir, ...names);
// The Node of the tests for npm and for what it runs.
const env = { HOME: '', PATH: `${dirname(process.execPath)}${delimiter}${process.env.PATH}` };

before(() => {
  dir = mkdtempSync(join(tmpdir(), 'pangolin-package-'));
  env.HOME = dir;
  const { stdout, stderr, status } = spawnSync('npm', ['pack', '-w', 'verify', '--json', '--pack-destination', dir], { cwd: root, env, encoding: 'utf8' }); // prettier-ignore
  assert.equal(status, 0, stderr);
  const start = stdout.search(/^[[{]/m);
  const packed = JSON.parse(stdout.slice(start)) as Record<string, { filename: string; files: { path: string }[] }>;
  const [{ filename, files }] = Object.values(packed) as [{ filename: string; files: { path: string }[] }];
  assert.deepEqual(files.map(({ path }) => path).sort(), ['README.md', 'dist/LICENSE', 'dist/pangolin-verify.mjs', 'package.json']); // prettier-ignore
  tarball = at(filename);
  writeFileSync(at('trust.json'), JSON.stringify(trustOf(keys)));
  const { files: bundle } = tell(keys);
  const document = (changed = bundle): string =>
    canonical({ files: Object.fromEntries([...changed].map(([name, bytes]) => [name, bytes.toString()])) });
  writeFileSync(at('bundle.json'), document());
  const evil = bundle.get('events.jsonl')!.toString().replace('Succeeded', 'Cancelled');
  writeFileSync(at('evil.json'), document(new Map(bundle).set('events.jsonl', Buffer.from(evil))));
});
after(() => rmSync(dir, { recursive: true }));

test('one file, of a stated size, that imports nothing but Node', () => {
  execFileSync('tar', ['-xf', tarball, '-C', dir]);
  const program = at('package/dist/pangolin-verify.mjs');
  assert.ok(statSync(program).size < SIZE_MAX, `${statSync(program).size} bytes`);
  const text = readFileSync(program, 'utf8');
  const imported = [...text.matchAll(/(?:\bfrom|\bimport\()\s*["']([^"']+)["']/g)].map((match) => match[1]!);
  assert.ok(imported.length > 3);
  for (const name of imported) assert.ok(name.startsWith('node:') && builtinModules.includes(name.slice(5)), name);
  assert.doesNotMatch(text, /\brequire\(/);
  // By itself, in a directory without anything else.
  mkdirSync(at('alone'));
  cpSync(program, at('alone/pangolin-verify.mjs'));
  const args = ['pangolin-verify.mjs', '../bundle.json', '--trust', '../trust.json'];
  const { status, stdout } = spawnSync(process.execPath, args, { cwd: at('alone'), env: {}, encoding: 'utf8' });
  assert.equal(status, 0, stdout);
});

test('npx runs it from the archive, offline, with the exit codes of the command', () => {
  const npx = (...args: string[]) =>
    spawnSync('npx', ['--offline', '--yes', '--package', tarball, 'pangolin-verify', ...args], {
      cwd: dir,
      env,
      encoding: 'utf8',
    });
  const good = npx('bundle.json', '--trust', 'trust.json', '-o', 'json');
  assert.equal(good.status, 0, good.stderr);
  assert.equal((JSON.parse(good.stdout) as { verdict: string }).verdict, 'verified');
  assert.equal(npx('evil.json', '--trust', 'trust.json').status, 1);
  assert.equal(npx('bundle.json', '--trust', 'nowhere.json').status, 2);
  assert.equal(npx('bundle.json').status, 4);
});
