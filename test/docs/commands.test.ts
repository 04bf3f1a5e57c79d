/** Shell lines of the documentation, run as they are written. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { trustDocument } from '@pangolin/controller/audit/keys';
import { exportBundle } from '@pangolin/storage/bundle';
import { writeBundle } from '@pangolin/storage/bundle-writers';
import { openWorld, recordRun } from '../audit/world.ts';

const root = dirname(dirname(import.meta.dirname));

/** The `sh` block of the page that holds `word`. */
function shellOf(page: string, word: string): string {
  const blocks = [...readFileSync(join(root, page), 'utf8').matchAll(/^```sh\n([^]*?)^```/gm)].map(
    (match) => match[1]!,
  );
  const found = blocks.filter((block) => block.includes(word));
  assert.equal(found.length, 1, `${page} has one block with ${word}`);
  return found[0]!;
}

function temporary(t: TestContext): string {
  const dir = mkdtempSync(join(tmpdir(), 'pangolin-docs-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

const has = (program: string): boolean => spawnSync(program, ['--version'], { stdio: 'ignore' }).error === undefined;
const missing = ['openssl', 'jq', 'sha256sum'].filter((program) => !has(program));
const skip = missing.length > 0 && !process.env['CI'] ? `not installed: ${missing.join(', ')}` : false;

test('openssl and jq check a seal as docs/evidence.md says, and notice a bent one', { skip }, async (t) => {
  const script = shellOf('docs/evidence.md', 'openssl');
  const dir = join(temporary(t), 'bundle');
  await using world = await openWorld();
  await recordRun(world, 'run-1');
  assert.equal((await world.sealer().advance()).error, undefined);
  await writeBundle(exportBundle(world.store, 'run-1'), dir);
  writeFileSync(join(dir, 'trust.json'), JSON.stringify(trustDocument(world.keys)));
  const check = () => spawnSync('sh', ['-ec', script], { cwd: dir, encoding: 'utf8' });

  const good = check();
  assert.equal(good.status, 0, good.stderr);
  assert.match(good.stdout, /Verified OK\nevents\.jsonl: OK/);

  const events = readFileSync(join(dir, 'events.jsonl'), 'utf8');
  writeFileSync(join(dir, 'events.jsonl'), events.replace('succeeded', 'cancelled'));
  assert.notEqual(check().status, 0);
  writeFileSync(join(dir, 'events.jsonl'), events);
  const seal = JSON.parse(readFileSync(join(dir, 'seal.sigstore.json'), 'utf8')) as {
    dsseEnvelope: { payload: string };
  };
  const payload = Buffer.from(seal.dsseEnvelope.payload, 'base64').toString('utf8').replace('succeeded', 'cancelled');
  seal.dsseEnvelope.payload = Buffer.from(payload).toString('base64');
  writeFileSync(join(dir, 'seal.sigstore.json'), JSON.stringify(seal));
  assert.notEqual(check().status, 0);
});

test('the worker runs standalone as worker-image/README.md says', (t) => {
  const dir = temporary(t);
  const script = shellOf('worker-image/README.md', 'worker run')
    .split('\n')
    .filter((line) => !line.startsWith('docker'))
    .join('\n')
    .replaceAll('bin/pangolin', `'${join(root, 'bin', 'pangolin')}'`);
  const { status, stderr } = spawnSync('sh', ['-ec', script], { cwd: dir, encoding: 'utf8' });
  assert.equal(status, 0, stderr);
  assert.equal(readFileSync(join(dir, 'job/out/outputs/greeting.txt'), 'utf8'), 'hello\n');
  assert.ok(existsSync(join(dir, 'job/out/output.json')));
});
