import assert from 'node:assert/strict';
import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import { test } from 'node:test';
import { keyIdOf } from '@pangolin/contracts/dsse';
import { isPangolinError } from '@pangolin/contracts/errors';
import { spkiOfEd25519 } from '@pangolin/contracts/note';
import { isLowOrder, loadTrust, parseTrustFile } from '@pangolin/verify/trust-file';
import { forgeKeys, trustOf, type Json } from './forge.ts';

const keys = forgeKeys();

test('a deployment\u2019s trust document loads', () => {
  const trust = parseTrustFile(Buffer.from(JSON.stringify(trustOf(keys), null, 2)));
  assert.deepEqual([...loadTrust(trust).signers.keys()], [keys.seal.keyid, keys.attest.keyid]);
});

const bad: readonly [string, (trust: Json) => void, RegExp][] = [
  ['an unknown field', (trust) => (trust.note = 'x'), /unknown field "note"/],
  ['another schema', (trust) => (trust.schema = 'pangolin-trust/2'), /schema/],
  ['no signer', (trust) => (trust.signers = []), /signers has 0 elements/],
  ['a key twice', (trust) => trust.signers.push(trust.signers[0]), /twice/],
  [
    'a key id of another key',
    (trust) => (trust.signers[0].keyid = trust.signers[1].keyid),
    /not the one of its public key/,
  ],
  ['a key that is no key', (trust) => (trust.signers[0].publicKey = 'AAAA'), /not a SubjectPublicKeyInfo/],
  ['a key in other base64', (trust) => (trust.signers[0].publicKey += '='), /base64/],
  ['an unknown role', (trust) => (trust.signers[0].roles = ['root']), /roles/],
  [
    'an Ed25519 key that seals',
    (trust) => (trust.signers[0].publicKey = keys.log.spki.toString('base64')),
    /not an ECDSA P-256 key/,
  ],
  ['a time that is none', (trust) => (trust.signers[0].revokedAt = 'yesterday'), /RFC 3339/],
  ['a log elsewhere', (trust) => (trust.trustedRoot.tlogs[0].baseUrl = 'https://other.example'), /other\.example/],
  [
    'another key id of the log',
    (trust) => (trust.trustedRoot.tlogs[0].logId.keyId = Buffer.alloc(32).toString('base64')),
    /key id of the log/,
  ],
  [
    'a time-stamping authority, which this version cannot use',
    (trust) => (trust.trustedRoot.timestampAuthorities = [{}]),
    /timestampAuthorities/,
  ],
];

for (const [name, change, why] of bad) {
  test(`a trust file with ${name} is refused`, () => {
    assert.throws(
      () => loadTrust(trustOf(keys, change)),
      (error) => isPangolinError(error, 'INVALID') && why.test(error.message),
    );
  });
}

test('a P-384 key is refused', () => {
  const spki = generateKeyPairSync('ec', { namedCurve: 'P-384' }).publicKey.export({ type: 'spki', format: 'der' });
  assert.throws(
    () => loadTrust(trustOf(keys, (trust) => (trust.signers[0].publicKey = spki.toString('base64')))),
    /P-256/,
  );
});

test('a compressed public key is refused: the log entry has to have one form', () => {
  const { x, y } = createPublicKey({ key: keys.seal.spki, format: 'der', type: 'spki' }).export({ format: 'jwk' });
  const odd = Buffer.from(y!, 'base64url').at(-1)! % 2;
  const point = Buffer.concat([Buffer.of(2 + odd), Buffer.from(x!, 'base64url')]);
  const spki = Buffer.concat([Buffer.from('3039301306072a8648ce3d020106082a8648ce3d030107032200', 'hex'), point]);
  assert.equal(keyIdOf(spki), keys.seal.keyid, 'it is the same key');
  assert.throws(
    () => loadTrust(trustOf(keys, (trust) => (trust.signers[0].publicKey = spki.toString('base64')))),
    /canonical form/,
  );
});

test('a log key of low order is refused, because with older versions of OpenSSL anything verifies under it', () => {
  const identity = Buffer.concat([Buffer.of(1), Buffer.alloc(31)]);
  const trust = trustOf({ ...keys, log: { ...keys.log, spki: spkiOfEd25519(identity) } });
  assert.throws(() => loadTrust(trust), /low order/);
});

test('the points of order 8 are two, and both are known', () => {
  // y of the two differ only in sign, so they add up to the prime.
  const read = (hex: string): bigint => BigInt(`0x${Buffer.from(hex, 'hex').reverse().toString('hex')}`);
  const ys = [
    '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
    'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
  ];
  const p = 2n ** 255n - 19n;
  assert.equal(read(ys[0]!) + read(ys[1]!), p);
  // Doubled twice, such a point has y = -1: that is 4y⁴ terms on the curve, checked here by the doubling formula.
  for (const hex of ys) {
    assert.equal(yOfQuadruple(read(hex), p), p - 1n);
    const other = Buffer.from(hex, 'hex');
    other[31]! |= 0x80;
    assert.ok(isLowOrder(Buffer.from(hex, 'hex')) && isLowOrder(other));
  }
});

/** y of 4P on edwards25519, from y of P: y(2P) = (y² + x²) / (2 + x² - y²) with x² = (y² - 1) / (d y² + 1). */
function yOfQuadruple(y: bigint, p: bigint): bigint {
  const power = (base: bigint, exponent: bigint): bigint => {
    let result = 1n;
    for (let b = base % p, e = exponent; e > 0n; e >>= 1n, b = (b * b) % p) if (e & 1n) result = (result * b) % p;
    return result;
  };
  const over = (a: bigint, b: bigint): bigint => (((a % p) + p) * power(((b % p) + p) % p, p - 2n)) % p;
  const d = over(-121665n, 121666n);
  const double = (of: bigint): bigint => {
    const y2 = (of * of) % p;
    const x2 = over(y2 - 1n, d * y2 + 1n);
    return over(y2 + x2, 2n + x2 - y2);
  };
  return double(double(y));
}
