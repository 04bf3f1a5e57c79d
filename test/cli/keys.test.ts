import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TrustDocument } from '@pangolin/contracts/trust';
import { StateStore } from '@pangolin/controller/store/state';
import { pangolin, tempDir } from './harness.ts';

interface Shown {
  readonly origin: string;
  readonly keys: readonly { readonly role: string; readonly keyid: string; readonly state: string }[];
}

const json = async <T>(args: readonly string[]): Promise<T> => {
  const { code, stdout, stderr } = await pangolin([...args, '-o', 'json']);
  assert.equal(code, 0, stderr);
  return JSON.parse(stdout) as T;
};

test('keys are made once, shown without their secrets, rotated and revoked, and the trust document follows', async () => {
  const storage = join(tempDir(), 'storage');
  const at = ['--storage', storage];
  const missing = await pangolin(['key', 'show', ...at]);
  assert.equal(missing.code, 3);
  assert.match(missing.stderr, /pangolin key init/);
  const made = await json<Shown>(['key', 'init', ...at]);
  assert.deepEqual(made.keys.map(({ role }) => role), ['seal', 'attest', 'log']); // prettier-ignore
  assert.deepEqual(await json<Shown>(['key', 'init', ...at]), made);
  assert.deepEqual(await json<Shown>(['key', 'show', ...at]), made);
  const dir = join(storage, 'controller', 'keys');
  const private_ = (): string[] => readdirSync(dir).filter((each) => each.endsWith('.pem')); // prettier-ignore
  for (const file of private_()) {
    assert.equal(statSync(join(dir, file)).mode & 0o777, 0o600);
    const secret = readFileSync(join(dir, file), 'utf8').split('\n')[1]!;
    assert.ok(!(await pangolin(['key', 'show', ...at])).stdout.includes(secret));
  }

  const rotated = await json<Shown>(['key', 'rotate', '--role', 'attest', ...at]);
  assert.deepEqual(rotated.keys.filter(({ role }) => role === 'attest').map(({ state }) => state), ['retired', 'in use']); // prettier-ignore
  const [seal] = made.keys;
  const revoked = await json<Shown>(['key', 'revoke', seal!.keyid, ...at]);
  assert.deepEqual(revoked.keys.filter(({ role }) => role === 'seal').map(({ state }) => state), ['revoked', 'in use']); // prettier-ignore
  assert.deepEqual(private_(), ['attest.pem', 'log.pem', 'seal.pem']);
  const trust = await json<TrustDocument>(['trust', 'export', ...at]);
  assert.equal(trust.signers.length, 4);
  assert.equal(trust.origin, made.origin);
  assert.ok(!JSON.stringify(trust).includes('PRIVATE'));
  assert.equal((await pangolin(['key', 'rotate', ...at])).code, 2);
  assert.equal((await pangolin(['key', 'rotate', '--role', 'log', ...at])).code, 2);
  assert.equal((await pangolin(['key', 'revoke', seal!.keyid, '--at', 'yesterday', ...at])).code, 2);
});

test('no key is changed while a controller serves', async () => {
  const storage = join(tempDir(), 'storage');
  const at = ['--storage', storage];
  const made = await json<Shown>(['key', 'init', ...at]);
  const state = new StateStore(join(storage, 'controller', 'state.db'));
  try {
    const refused = await pangolin(['key', 'rotate', '--role', 'seal', ...at]);
    assert.equal(refused.code, 4, refused.stderr);
    assert.match(refused.stderr, /another controller serves/);
  } finally {
    state.close();
  }
  assert.deepEqual(await json<Shown>(['key', 'show', ...at]), made);
  assert.equal((await pangolin(['key', 'rotate', '--role', 'seal', ...at])).code, 0);
});

test('trust export takes anchors from the configuration and certificates from the auditor', async () => {
  const storage = join(tempDir(), 'storage');
  const at = ['--storage', storage];
  await json(['key', 'init', ...at]);
  mkdirSync(storage, { recursive: true });
  const anchor = '{ id: worm, type: s3-object-lock, bucket: worm-1, region: eu-west-1, retentionDays: 7 }';
  writeFileSync(join(storage, 'pangolin.yaml'), `evidence:\n  anchors: [${anchor}]\n`);
  const trust = await json<TrustDocument>(['trust', 'export', ...at]);
  assert.deepEqual(trust.anchors, [{ type: 's3-object-lock', bucket: 'worm-1', region: 'eu-west-1', minRetentionDays: 7 }]); // prettier-ignore
  writeFileSync(join(storage, 'bad.pem'), 'no certificate');
  const bad = await pangolin(['trust', 'export', '--tsa-certificates', join(storage, 'bad.pem'), ...at]);
  assert.equal(bad.code, 2);
  assert.match(bad.stderr, /no certificate in PEM/);
});
