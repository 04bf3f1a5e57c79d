import assert from 'node:assert/strict';
import { createPublicKey, generateKeyPairSync, verify } from 'node:crypto';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { keyIdOf } from '@pangolin/contracts/dsse';
import { formatVkey, noteKeyHash, parseVkey } from '@pangolin/contracts/note';
import { openKeys, trustDocument } from '@pangolin/controller/audit/keys';

function temporaryDir(t: TestContext): string {
  const dir = mkdtempSync(join(tmpdir(), 'pangolin-keys-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  return join(dir, 'keys');
}

test('keys and origin are made on first use and are the same ever after', async (t) => {
  const dir = temporaryDir(t);
  const first = await openKeys(dir);
  const second = await openKeys(dir);
  assert.match(first.origin, /^pangolin-[0-9a-f]{8}\.local$/);
  assert.deepEqual(
    [second.origin, second.createdAt, second.seal.keyid, second.attest.keyid, second.log.keyid],
    [first.origin, first.createdAt, first.seal.keyid, first.attest.keyid, first.log.keyid],
  );
  assert.equal(new Set([first.seal.keyid, first.attest.keyid, first.log.keyid]).size, 3);
});

test('only the owner can read them, whatever the umask', async (t) => {
  const dir = temporaryDir(t);
  mkdirSync(dir, { mode: 0o755 });
  const umask = process.umask(0);
  t.after(() => process.umask(umask));
  await openKeys(dir);
  assert.equal(statSync(dir).mode & 0o777, 0o700);
  assert.deepEqual(readdirSync(dir).sort(), ['attest.pem', 'deployment.json', 'log.pem', 'seal.pem']);
  for (const name of readdirSync(dir)) assert.equal(statSync(join(dir, name)).mode & 0o777, 0o600, name);
});

test('processes that start together get one set of keys', async (t) => {
  const dir = temporaryDir(t);
  const all = await Promise.all(Array.from({ length: 6 }, () => openKeys(dir)));
  assert.equal(
    new Set(all.map(({ origin, seal, attest, log }) => [origin, seal.keyid, attest.keyid, log.keyid].join())).size,
    1,
  );
  assert.equal(readdirSync(dir).length, 4);
});

test('each key signs for its public key: P-256 for statements, Ed25519 for the log', async (t) => {
  const keys = await openKeys(temporaryDir(t));
  const bytes = Buffer.from('bytes');
  for (const [signer, algorithm, type] of [
    [keys.seal, 'sha256', 'ec'],
    [keys.attest, 'sha256', 'ec'],
    [keys.log, null, 'ed25519'],
  ] as const) {
    const key = createPublicKey({ key: signer.publicKey, format: 'der', type: 'spki' });
    assert.equal(key.asymmetricKeyType, type);
    assert.equal(signer.keyid, keyIdOf(key));
    assert.equal(verify(algorithm, bytes, key, await signer.sign(bytes)), true);
  }
  assert.deepEqual(parseVkey(formatVkey(keys.log.note)), keys.log.note);
});

const spoiled: readonly (readonly [string, (dir: string) => void, string])[] = [
  ['a key that everybody can read', (dir) => chmodSync(join(dir, 'seal.pem'), 0o644), 'DENIED'],
  ['a key file that is no key', (dir) => writeFileSync(join(dir, 'log.pem'), 'nothing'), 'INVALID'],
  [
    'a log key in the place of the seal key',
    (dir) => writeFileSync(join(dir, 'seal.pem'), readFileSync(join(dir, 'log.pem'))),
    'INVALID',
  ],
  [
    'a key on another curve',
    (dir) =>
      writeFileSync(
        join(dir, 'attest.pem'),
        generateKeyPairSync('ec', { namedCurve: 'P-384' }).privateKey.export({ type: 'pkcs8', format: 'pem' }),
      ),
    'INVALID',
  ],
  [
    'an origin with a path',
    (dir) => {
      const path = join(dir, 'deployment.json');
      writeFileSync(path, readFileSync(path, 'utf8').replace('.local', '.local/log'));
    },
    'INVALID',
  ],
];
for (const [what, spoil, code] of spoiled) {
  test(`${what} is refused, without quoting the file`, async (t) => {
    const dir = temporaryDir(t);
    await openKeys(dir);
    const secret = readFileSync(join(dir, 'seal.pem'), 'utf8').split('\n')[1]!;
    spoil(dir);
    await assert.rejects(openKeys(dir), (error: Error & { code: string }) => {
      assert.equal(error.code, code);
      assert.ok(!error.message.includes(secret));
      return true;
    });
  });
}

test('the trust document names each key once, with its role, and holds no private key', async (t) => {
  const keys = await openKeys(temporaryDir(t));
  const trust = trustDocument(keys);
  assert.deepEqual(
    trust.signers.map(({ keyid, roles }) => [keyid, roles]),
    [
      [keys.seal.keyid, ['seal']],
      [keys.attest.keyid, ['attest']],
    ],
  );
  for (const { keyid, publicKey, validFor } of trust.signers) {
    assert.equal(keyIdOf(Buffer.from(publicKey, 'base64')), keyid);
    assert.deepEqual(validFor, { start: keys.createdAt });
  }
  const [log] = trust.trustedRoot.tlogs;
  assert.equal(log!.baseUrl, `https://${trust.origin}`);
  assert.equal(log!.checkpointKeyId.keyId, noteKeyHash(keys.log.note).toString('base64'));
  assert.ok(!JSON.stringify(trust).includes('PRIVATE'));
});
