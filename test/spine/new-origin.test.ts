/** A database restored from an older backup is refused, and a new origin is the way out; all with the shipped command. */
import assert from 'node:assert/strict';
import { copyFileSync, existsSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { memoryReader } from '@pangolin/verify/readers/memory';
import { parseTrustFile } from '@pangolin/verify/trust-file';
import { verifyBundle } from '@pangolin/verify/verify';
import { readFileSync } from 'node:fs';
import { exportedFiles } from './bundles.ts';
import { blocks, Deployment, runOf, script } from './harness.ts';

test('a restored backup and lost keys are refused; a new origin goes on, and old evidence stays good', async (t) => {
  const deployment = new Deployment('process');
  t.after(() => deployment.dispose());
  const state = join(deployment.storage, 'controller');
  const serve = async (run?: string): Promise<{ code: number | null; text: string }> => {
    if (run !== undefined) deployment.drop(`${run}.json`, runOf(run, deployment.repo, [{ id: 'one', ...blocks(script('true')) }])); // prettier-ignore
    const controller = deployment.serve({ untilIdle: true });
    const { code } = await controller.end();
    return { code, text: controller.text };
  };
  const verdict = async (run: string, trust: string) =>
    (await verifyBundle(memoryReader(await exportedFiles(deployment.storage, run)), parseTrustFile(readFileSync(trust)), { expectRun: run })).verdict; // prettier-ignore

  assert.equal((await serve('first')).code, 0);
  copyFileSync(join(state, 'state.db'), join(deployment.dir, 'backup.db'));
  assert.equal((await serve('second')).code, 0);
  for (const name of readdirSync(join(state, 'keys'))) {
    assert.equal(statSync(join(state, 'keys', name)).mode & 0o777, 0o600, name);
  }
  for (const suffix of ['', '-wal', '-shm']) rmSync(join(state, `state.db${suffix}`), { force: true });
  copyFileSync(join(deployment.dir, 'backup.db'), join(state, 'state.db'));
  const refused = await serve();
  assert.equal(refused.code, 4);
  assert.match(refused.text, /has a log of 2 entries, the database only 1/);
  assert.match(refused.text, /pangolin key new-origin/);

  // Lost keys are the other way to get there.
  renameSync(join(state, 'keys'), join(deployment.dir, 'keys'));
  const lost = await serve();
  assert.equal(lost.code, 4);
  assert.match(lost.text, /not signed by the log/);
  rmSync(join(state, 'keys'), { recursive: true });
  renameSync(join(deployment.dir, 'keys'), join(state, 'keys'));

  const begun = await deployment.cli('key', 'new-origin', '--origin', 'log.acme.example');
  assert.equal(begun.code, 0, begun.stderr);
  const aside = join(
    state,
    readdirSync(state).find((name) => name.startsWith('before-'))!,
  );
  assert.ok(existsSync(join(aside, 'state.db')) && existsSync(join(aside, 'keys', 'seal.pem')));
  const next = await serve('third');
  assert.equal(next.code, 0, next.text);
  const trust = join(state, 'trust.json');
  assert.deepEqual(
    [await verdict('first', join(aside, 'trust.json')), await verdict('second', join(aside, 'trust.json')), await verdict('third', trust)],
    ['verified', 'verified', 'verified'],
  ); // prettier-ignore
  assert.notEqual(await verdict('third', join(aside, 'trust.json')), 'verified');
  // Both logs are there, each whole.
  for (const [file, size] of [
    [trust, 1],
    [join(aside, 'trust.json'), 2],
  ] as const) {
    const report = await deployment.json<{ origin: string; size: number }>('log', 'check', '--trust', file);
    assert.equal(report.size, size);
    assert.equal(report.origin === 'log.acme.example', file === trust);
  }
  // A name is for good.
  const renamed = await deployment.cli('key', 'init', '--origin', 'other.example');
  assert.equal(renamed.code, 4, renamed.stderr);
});
