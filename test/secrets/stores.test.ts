/** Where secrets come from: what each store gives, and what it refuses. */
import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { isPangolinError, type ErrorCode } from '@pangolin/contracts/errors';
import { createEnvSecrets } from '@pangolin/controller/secrets/env-store';
import { createFileSecrets } from '@pangolin/controller/secrets/file-store';
import { createHandover } from '@pangolin/controller/secrets/handover';
import type { SecretStore } from '@pangolin/controller/secrets/secret-store';

const dir = mkdtempSync(join(tmpdir(), 'pangolin-secrets-'));
after(() => rmSync(dir, { recursive: true, force: true }));

const folder = join(dir, 'secrets');
mkdirSync(folder, { mode: 0o700 });
const put = (name: string, value: string | Uint8Array, mode = 0o600): void =>
  writeFileSync(join(folder, name), value, { mode });
const GOOD = { 'npm-token': 'value-of-npm', 'db/password': 'two\nlines of it' };
put('npm-token', `${GOOD['npm-token']}\n`);
put('db%2Fpassword', GOOD['db/password']);
put('short', 'short');
put('long', 'x'.repeat(65_537));
put('binary', Buffer.from([...Array(10).keys()].map((n) => n + 200)));
put('null', 'with\0null inside');

const stores: Readonly<Record<string, SecretStore>> = {
  file: createFileSecrets(folder),
  environment: createEnvSecrets('S_', {
    S_NPM_TOKEN: GOOD['npm-token'],
    S_DB_PASSWORD: GOOD['db/password'],
    S_SHORT: 'short',
    S_LONG: 'x'.repeat(65_537),
  }),
};

const refuses = (code: ErrorCode, words: RegExp) => (error: unknown) => {
  assert.ok(isPangolinError(error, code), String(error));
  assert.match(error.message, words);
  assert.doesNotMatch(`${error.message} ${error.hint}`, /value-of|lines of|xxx/);
  return true;
};

for (const [name, store] of Object.entries(stores)) {
  describe(`the ${name} store`, () => {
    test('gives the value of a name, whole', async () => {
      for (const [ref, value] of Object.entries(GOOD)) assert.equal(await store.get(ref), value);
    });
    test('says that it does not know a name, and what would make it known', async () => {
      await assert.rejects(store.get('unknown'), refuses('NOT_FOUND', /no .*secret unknown in /));
    });
    test('refuses values that cannot be kept out of logs', async () => {
      await assert.rejects(store.get('short'), refuses('INVALID', /secret short .* has 5 bytes/));
      await assert.rejects(store.get('long'), refuses('INVALID', /secret long .* more than 65536 bytes/));
    });
  });
}

test('files that others may read, links, what is no text, and ways out of the folder are refused', async () => {
  const { file } = stores as { file: SecretStore };
  put('open', 'readable by all', 0o644);
  chmodSync(join(folder, 'open'), 0o644);
  symlinkSync('/etc/hostname', join(folder, 'link'));
  mkdirSync(join(folder, 'folder'), { mode: 0o700 });
  await assert.rejects(file.get('open'), refuses('DENIED', /others than their owner may use/));
  await assert.rejects(file.get('link'), refuses('DENIED', /no readable secret link/));
  await assert.rejects(file.get('folder'), refuses('DENIED', /no plain file/));
  await assert.rejects(file.get('binary'), refuses('INVALID', /not UTF-8/));
  await assert.rejects(file.get('null'), refuses('INVALID', /null character/));
  await assert.rejects(file.get('../../etc/hostname'), refuses('NOT_FOUND', /no readable secret/));
  await assert.rejects(file.get('..'), refuses('NOT_FOUND', /no readable secret/));
  chmodSync(folder, 0o750);
  await assert.rejects(file.get('npm-token'), refuses('DENIED', /others than their owner may use/));
  chmodSync(folder, 0o700);
});

test('the first that asks is given the values of a task, and nobody after it or after the end', async () => {
  const handover = createHandover(stores['file']!);
  const inDir = join(dir, `a-path-that-is-far-too-long-for-the-name-of-a-socket${'-and-longer'.repeat(6)}`, 'task');
  mkdirSync(inDir, { recursive: true });
  const ask = async (): Promise<string> => {
    // As a process in that directory would.
    const link = join(dir, 'in');
    rmSync(link, { force: true });
    symlinkSync(inDir, link);
    const socket = connect(join(link, 'secrets.sock'));
    let text = '';
    socket.on('data', (chunk: Buffer) => (text += chunk.toString())).on('error', () => undefined);
    await new Promise((resolve) => socket.once('close', resolve));
    return text;
  };
  await handover.offer('task', inDir, ['npm-token']);
  await handover.offer('task', inDir, ['npm-token']);
  assert.deepEqual(JSON.parse(await ask()), { 'npm-token': GOOD['npm-token'] });
  assert.equal(await ask(), '');
  handover.withdraw('task');
  await handover.offer('again', inDir, ['npm-token', 'db/password']);
  handover.withdraw('again');
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(await ask(), '');
  await assert.rejects(handover.offer('third', inDir, ['unknown']), refuses('NOT_FOUND', /unknown/));
});
