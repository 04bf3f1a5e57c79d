/** Class H of evidence.md §8: tokens forged and bent, none of which may pass for an honest one. */
import assert from 'node:assert/strict';
import { createHash, createPrivateKey, X509Certificate } from 'node:crypto';
import { test } from 'node:test';
import { context, der, DerReader, sequence, setOf, TAG } from '@pangolin/contracts/der';
import { readTimeStamp, timeStampRequest } from '@pangolin/contracts/time-stamp';
import { normaliseTimeStamp } from '@pangolin/controller/audit/timestamps/normalise';
import { memoryReader } from '@pangolin/verify/readers/memory';
import { readAuthorities, type TrustedAuthority } from '@pangolin/verify/time-stamp/authorities';
import { checkTimeStamp } from '@pangolin/verify/time-stamp/check';
import { verifyBundle } from '@pangolin/verify/verify';
import { makeAuthority, reply, type Authority } from '../audit/tsa.ts';
import { attribute, forgeToken, INT } from './forge-token.ts';
import { forgeKeys, sealOf, trustOf, type Files, type Json } from './forge.ts';
import { tell } from './story.ts';
import { bends } from './token-bends.ts';

const trusting = (...authorities: readonly Authority[]): TrustedAuthority[] =>
  readAuthorities(trustOf(forgeKeys(), (each) => (each.tsaRoots = authorities.map(({ rootPem }) => rootPem))));

const signature = Buffer.from('the signature of a seal');

test('every flipped bit, and every byte cut off or added, of an honest token is refused', async (t) => {
  for (const kind of ['P-256', 'rsa:2048'] as const) {
    using authority = makeAuthority({ kind });
    const authorities = trusting(authority);
    const imprint = createHash('sha256').update(signature).digest();
    const token = normaliseTimeStamp(await reply(authority, timeStampRequest(imprint, 9n)), imprint, 9n);
    assert.ok(checkTimeStamp(token, signature, authorities) > 0);
    const escaped: number[] = [];
    for (let bit = 0; bit < token.length * 8; bit++) {
      const mutant = Buffer.from(token);
      mutant[bit >> 3]! ^= 1 << (bit & 7);
      if (!refuses(mutant, authorities)) escaped.push(bit);
    }
    for (let length = 0; length < token.length; length++) {
      if (!refuses(token.subarray(0, length), authorities)) escaped.push(-length);
    }
    if (!refuses(Buffer.concat([token, Buffer.of(0)]), authorities)) escaped.push(Infinity);
    t.diagnostic(`${kind}: ${token.length * 8} single bits, ${escaped.length} escaped`);
    assert.deepEqual(escaped, []);
  }
});

/** True for a refusal; anything else that is thrown is a bug of the verifier. */
function refuses(token: Buffer, authorities: readonly TrustedAuthority[], pattern = /./): boolean {
  try {
    checkTimeStamp(token, signature, authorities);
    return false;
  } catch (error) {
    assert.equal((error as Error).name, 'Refusal', (error as Error).stack);
    assert.match((error as Error).message, pattern);
    return true;
  }
}

for (const [name, [bend, why]] of Object.entries(bends)) {
  test(`a token with ${name} is refused`, () => {
    const { authority, authorities } = shared();
    assert.ok(checkTimeStamp(forgeToken(authority, signature), signature, authorities) > 0);
    assert.ok(refuses(forgeToken(authority, signature, bend), authorities, why));
  });
}

/** Making keys is slow; nothing changes this one. */
let made: { readonly authority: Authority; readonly authorities: TrustedAuthority[] } | undefined;
function shared() {
  if (!made) {
    const authority = makeAuthority();
    made = { authority, authorities: trusting(authority) };
    process.once('exit', () => authority[Symbol.dispose]());
  }
  return made;
}

const profiles: Readonly<Record<string, readonly [string, RegExp]>> = {
  'without a purpose': ['keyUsage=digitalSignature', /not for time stamps alone/],
  'whose purpose is not critical': ['extendedKeyUsage=timeStamping', /not for time stamps alone/],
  'with a second purpose': ['extendedKeyUsage=critical,timeStamping,codeSigning', /not for time stamps alone/],
  'with another purpose': ['extendedKeyUsage=critical,codeSigning', /not for time stamps alone/],
  'that is a certification authority': [
    'extendedKeyUsage=critical,timeStamping\nbasicConstraints=critical,CA:TRUE',
    /certification authority itself/,
  ],
  'whose key is not for signatures': [
    'extendedKeyUsage=critical,timeStamping\nkeyUsage=critical,keyAgreement',
    /not for signatures/,
  ],
  'with a critical extension that nobody knows': [
    'extendedKeyUsage=critical,timeStamping\n1.2.3.4=critical,ASN1:NULL',
    /critical extension/,
  ],
};
for (const [name, [extensions, why]] of Object.entries(profiles)) {
  test(`a token of a signer ${name} is refused`, () => {
    using authority = makeAuthority({ extensions });
    assert.ok(refuses(forgeToken(authority, signature), trusting(authority), why));
  });
}

test('a look-alike with equal names and serial number is a stranger', () => {
  const { authority, authorities } = shared();
  using alike = makeAuthority();
  assert.ok(refuses(forgeToken(alike, signature), authorities, /does not know/));
  const stolen = createPrivateKey(alike.signerKeyPem);
  assert.ok(refuses(forgeToken(authority, signature, { key: stolen }), authorities, /does not verify/));
  const pinned = { ...authorities[0]!, signer: new X509Certificate(alike.signerPem).raw };
  assert.ok(refuses(forgeToken(authority, signature), [pinned], /does not know/));
});

test('an issuer that may not issue, or not so deep, is refused, and an intermediate has to be trusted', () => {
  using authority = makeAuthority({ intermediate: true });
  assert.ok(refuses(forgeToken(authority, signature), trusting(authority), /does not know/));
  const chain = [authority.rootPem, authority.intermediatePem!];
  const whole = readAuthorities(trustOf(forgeKeys(), (each) => (each.tsaRoots = chain)));
  assert.ok(checkTimeStamp(forgeToken(authority, signature), signature, whole) > 0);
});

test('status, version and second signer have no place in the form', () => {
  const { authority, authorities } = shared();
  const token = forgeToken(authority, signature);
  const [status, content] = new DerReader(DerReader.one(token, TAG.sequence).content).all();
  const withStatus = (...parts: Buffer[]): Buffer => sequence(sequence(...parts), content!.bytes);
  assert.ok(refuses(withStatus(INT(1)), authorities, /answered with status 1/));
  assert.ok(refuses(withStatus(INT(2)), authorities, /status 2/));
  assert.ok(refuses(withStatus(INT(0), sequence(der(0x0c, Buffer.from('hello')))), authorities, /one form/));
  assert.ok(refuses(sequence(status!.bytes), authorities, /cut off/));
  const indefinite = Buffer.concat([Buffer.of(0x30, 0x80), token.subarray(4), Buffer.of(0, 0)]);
  assert.ok(refuses(indefinite, authorities, /length/));

  // The elements of the SignedData and of its SignerInfo, which a bent token has more of.
  const [type, explicit] = new DerReader(content!.content).all();
  const signed = new DerReader(explicit!.content)
    .into(TAG.sequence)
    .all()
    .map(({ bytes }) => bytes);
  const [signer] = new DerReader(DerReader.one(signed.at(-1)!, TAG.set).content).all();
  const info = new DerReader(signer!.content).all().map(({ bytes }) => bytes);
  const made = (elements: readonly Buffer[], signers: readonly Buffer[]): Buffer =>
    sequence(status!.bytes, sequence(type!.bytes, der(context(0), sequence(...elements.slice(0, -1), setOf(signers)))));
  assert.ok(checkTimeStamp(made(signed, [signer!.bytes]), signature, authorities) > 0);
  const another = sequence(...info.with(0, INT(3)));
  const unsignedAttribute = sequence(...info, setOf([attribute('1.2.840.113549.1.9.16.2.14', sequence())], context(1)));
  const revocations = signed.toSpliced(-1, 0, setOf([sequence()], context(1)));
  const root = new X509Certificate(authority.rootPem).raw;
  const chain = signed.with(3, setOf([new X509Certificate(authority.signerPem).raw, root], context(0)));
  for (const [bent, why] of [
    [made(signed, [signer!.bytes, another]), /one signer|behind the last|another|signer/],
    [made(signed, []), /cut off|tag|signer/],
    [made(signed, [unsignedAttribute]), /not in the form|one form/],
    [made(revocations, [signer!.bytes]), /not in the form|one form/],
    [made(chain, [signer!.bytes]), /more certificates/],
  ] as const) {
    assert.ok(refuses(bent, authorities, why));
  }
});

test('an answer with revocation lists, unsigned attributes and spare certificates gets the one form', async () => {
  using authority = makeAuthority({ intermediate: true, kind: 'P-384' });
  const imprint = createHash('sha256').update(signature).digest();
  const response = await reply(authority, timeStampRequest(imprint, 1n));
  const stamp = readTimeStamp(response);
  assert.ok(stamp.certificates.length >= 2, 'openssl sends the chain');
  const normal = normaliseTimeStamp(response, imprint, 1n);
  assert.equal(readTimeStamp(normal).certificates.length, 1);
  assert.deepEqual(normaliseTimeStamp(normal, imprint, 1n), normal);
});

test('a seal is attested by its token, and the token decides over a revoked key', async () => {
  const { authority } = shared();
  const keys = forgeKeys();
  const { files } = tell(keys);
  const stamped = (genTime: string): Files => {
    const file = (seal: Json): void => {
      const over = Buffer.from(seal.dsseEnvelope.signatures[0].sig, 'base64');
      const signedTimestamp = forgeToken(authority, over, { genTime }).toString('base64');
      seal.verificationMaterial.timestampVerificationData = { rfc3161Timestamps: [{ signedTimestamp }] };
    };
    return new Map(files).set('seal.sigstore.json', sealOf(keys, files.get('events.jsonl')!, { file }));
  };
  const trust = (signer: Json) =>
    trustOf(keys, (each) => {
      each.tsaRoots = [authority.rootPem];
      Object.assign(each.signers[0], signer);
    });
  const check = async (genTime: string | undefined, signer: Json) => {
    const { verdict, failure, timeTier } = await verifyBundle(
      memoryReader(genTime === undefined ? files : stamped(genTime)),
      trust(signer),
    );
    return failure ?? `${verdict} ${timeTier}`;
  };
  const revokedAt = '2027-06-01T00:00:00.000Z';
  const ends = { validFor: { start: '2026-01-01T00:00:00Z', end: revokedAt } };
  assert.equal(await check(undefined, {}), 'verified asserted');
  assert.equal(await check(undefined, { revokedAt }), 'time');
  assert.equal(await check('20270531235959Z', { revokedAt }), 'verified tsa-attested');
  assert.equal(await check('20270601000000Z', { revokedAt }), 'time');
  assert.equal(await check('20270531000000Z', ends), 'verified tsa-attested');
  assert.equal(await check('20270602000000Z', ends), 'time');
  assert.equal(await check('20270531000000Z', { validFor: { start: '2027-06-01T00:00:00Z' } }), 'time');
});

test('a token of another seal, two equal tokens and tokens out of order are refused', async () => {
  const { authority } = shared();
  const keys = forgeKeys();
  const { files } = tell(keys);
  const trust = trustOf(keys, (each) => (each.tsaRoots = [authority.rootPem]));
  const withTokens = (make: (over: Buffer) => Buffer[]): Files => {
    const file = (seal: Json): void => {
      const tokens = make(Buffer.from(seal.dsseEnvelope.signatures[0].sig, 'base64'));
      const rfc3161Timestamps = tokens.map((token) => ({ signedTimestamp: token.toString('base64') }));
      seal.verificationMaterial.timestampVerificationData = { rfc3161Timestamps };
    };
    return new Map(files).set('seal.sigstore.json', sealOf(keys, files.get('events.jsonl')!, { file }));
  };
  const check = async (make: (over: Buffer) => Buffer[]) => {
    const { failure, timestamps } = await verifyBundle(memoryReader(withTokens(make)), trust);
    return failure ?? timestamps;
  };
  const pair = (over: Buffer): Buffer[] =>
    ['20270601100000Z', '20270601100001Z']
      .map((genTime) => forgeToken(authority, over, { genTime }))
      .sort(Buffer.compare);
  assert.equal(await check((over) => pair(over)), 2);
  // One of two less must not make the bracket narrower.
  const { timeBracket, sealDelayMs, run } = await verifyBundle(memoryReader(withTokens(pair)), trust);
  assert.equal(timeBracket.notAfter, '2027-06-01T10:00:00.000Z');
  assert.equal(sealDelayMs, Date.parse(timeBracket.notAfter!) - Date.parse(run!.completedAt!));
  assert.equal(await check((over) => pair(over).reverse()), 'structure');
  assert.equal(
    await check((over) => [pair(over)[0]!, pair(over)[0]!].map((each, _, [first]) => first ?? each)),
    'time',
  );
  assert.equal(await check(() => [forgeToken(authority, Buffer.from('another signature'))]), 'time');
  assert.equal(await check((over) => [forgeToken(authority, over), Buffer.from('bad')].sort(Buffer.compare)), 'time');
});
