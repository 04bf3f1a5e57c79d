/**
 * Class N of evidence.md §8 for tokens: what we take for a time stamp, openssl and pkijs take for one. That nothing else
 * passes with us, single bits included, is what test/verify/time-stamps.test.ts shows; here is that nothing of it would
 * have to be refused.
 */
import assert from 'node:assert/strict';
import { createHash, createPrivateKey, X509Certificate } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { Certificate, TimeStampResp, type SignedDataVerifyParams } from 'pkijs';
import { timeStampRequest } from '@pangolin/contracts/time-stamp';
import { normaliseTimeStamp } from '@pangolin/controller/audit/timestamps/normalise';
import { Refusal } from '@pangolin/verify/refusal';
import { readAuthorities } from '@pangolin/verify/time-stamp/authorities';
import { checkTimeStamp } from '@pangolin/verify/time-stamp/check';
import { makeAuthority, reply, type Authority, type AuthorityOptions } from '../audit/tsa.ts';
import { attribute, essOf, forgeToken, type Bend } from '../verify/forge-token.ts';
import { forgeKeys, trustOf } from '../verify/forge.ts';
import { bends } from '../verify/token-bends.ts';
import { foreign, toolsSkip } from './tools.ts';

const skip = toolsSkip();
const signature = Buffer.from('the signature of a seal');
const keys = forgeKeys();
const dir = mkdtempSync(join(tmpdir(), 'pangolin-tokens-'));
let authority: Authority;
before(() => void (authority = makeAuthority()));
after(() => {
  authority[Symbol.dispose]();
  rmSync(dir, { recursive: true, force: true });
});

const pemsOf = ({ rootPem, intermediatePem }: Authority): string[] => [
  rootPem,
  ...(intermediatePem === undefined ? [] : [intermediatePem]),
];

/** What each says of a token over `signature` by this authority. */
type Judge = (token: Buffer) => boolean | Promise<boolean>;

function ours(by: Authority): Judge {
  const authorities = readAuthorities(trustOf(keys, (each) => (each.tsaRoots = pemsOf(by))));
  return (token) => {
    try {
      return checkTimeStamp(token, signature, authorities) > 0;
    } catch (error) {
      if (error instanceof Refusal) return false;
      throw error;
    }
  };
}

/** `-attime`: openssl judges certificates by today's date, and means the time of the token by it only when it is told. */
function openssl({ rootPem, intermediatePem = '', signerPem }: Authority): Judge {
  const place = mkdtempSync(join(dir, 'openssl-'));
  const files = { signature, 'root.pem': rootPem, 'pool.pem': signerPem + intermediatePem };
  for (const [name, bytes] of Object.entries(files)) writeFileSync(join(place, name), bytes);
  return (token) => {
    writeFileSync(join(place, 'token'), token);
    // A GeneralizedTime, wherever it is.
    const [, time] = /\x18.(\d{14})/.exec(token.toString('latin1')) ?? [];
    const at = time === undefined ? NaN : Date.parse(time.replace(/(....)(..)(..)(..)(..)(..)/, '$1-$2-$3T$4:$5:$6Z'));
    const when = Number.isNaN(at) ? [] : ['-attime', String(at / 1000)];
    const args = [
      'ts',
      '-verify',
      '-data',
      'signature',
      '-in',
      'token',
      '-CAfile',
      'root.pem',
      '-untrusted',
      'pool.pem',
    ];
    return foreign('openssl', [...args, ...when], { cwd: place }).ok;
  };
}

const certificate = (pem: string): Certificate => Certificate.fromBER(new X509Certificate(pem).raw);

function pkijs(by: Authority): Judge {
  const trustedCerts = pemsOf(by).map(certificate);
  const data = new Uint8Array(signature).buffer;
  return async (token) => {
    try {
      // Without `checkChain` any authority will do.
      const how: SignedDataVerifyParams = { signer: 0, trustedCerts, data, checkChain: true };
      return await TimeStampResp.fromBER(new Uint8Array(token)).verify(how);
    } catch {
      return false;
    }
  };
}

const judges = (authority: Authority): readonly (readonly [string, Judge])[] => [
  ['openssl', openssl(authority)],
  ['pkijs', pkijs(authority)],
];

const others: readonly AuthorityOptions[] = [{ kind: 'P-384', intermediate: true }, { kind: 'rsa:2048' }];

/** Forms that a token may have, and `openssl ts` gives none. */
const forms: Readonly<Record<string, (signer: Buffer) => Bend>> = {
  'as we forge them': () => ({}),
  'of a SHA-512 imprint': () => ({ imprintHash: 'sha512' }),
  'with fractions of a second': () => ({ genTime: '20270601100000.25Z' }),
  'with both kinds of ESSCertID': (signer) => ({
    more: [attribute('1.2.840.113549.1.9.16.2.12', essOf(signer, 'sha1'))],
  }),
};

test('what we accept of an authority, openssl and pkijs accept', { skip }, async (t) => {
  let count = 0;
  const accepted = async (by: Authority, kind: string): Promise<void> => {
    const imprint = createHash('sha256').update(signature).digest();
    const answer = normaliseTimeStamp(await reply(by, timeStampRequest(imprint, 9n)), imprint, 9n);
    const signer = new X509Certificate(by.signerPem).raw;
    const forged = Object.entries(forms).map(([form, make]) => [form, forgeToken(by, signature, make(signer))] as const); // prettier-ignore
    const all = [['ours', ours(by)] as const, ...judges(by)];
    for (const [form, token] of [['its answer', answer] as const, ...forged]) {
      for (const [name, accepts] of all) assert.equal(await accepts(token), true, `${name}: ${kind}, ${form}`);
      count++;
    }
  };
  await accepted(authority, 'P-256');
  for (const options of others) {
    using other = makeAuthority(options);
    await accepted(other, options.kind!);
  }
  t.diagnostic(`${count} tokens`);
});

const FREE_FORMS = [
  'a SHA-1 imprint',
  'another content type',
  'a signed attribute twice',
  'a time with an offset',
  'a time with a trailing zero',
  'an impossible time',
  'the other of two signatures',
  'a certificate twice',
  'another kind of signature',
];
/** Of what we refuse, what each lets pass; §3.9 says why we do not. Without a certificate openssl takes one of its pool. */
const lenient: Readonly<Record<string, readonly string[]>> = {
  openssl: [...FREE_FORMS, 'no content type', 'no certificate'],
  pkijs: [
    ...FREE_FORMS,
    'no ESSCertID',
    'the ESSCertID of another certificate',
    'an ESSCertID v1 of another certificate',
  ],
};

test('of the bent tokens, none of which we accept, each refuses all but those that are named', { skip }, async (t) => {
  using alike = makeAuthority();
  const tokens: (readonly [string, Buffer])[] = [
    ...Object.entries(bends).map(([name, [bend]]) => [name, forgeToken(authority, signature, bend)] as const),
    ['of a look-alike', forgeToken(alike, signature)],
    ['under a stolen name', forgeToken(authority, signature, { key: createPrivateKey(alike.signerKeyPem) })],
  ];
  const accepted: Record<string, string[]> = { openssl: [], pkijs: [] };
  for (const [name, token] of tokens) {
    assert.equal(await ours(authority)(token), false, name);
    for (const [judge, accepts] of judges(authority)) if (await accepts(token)) accepted[judge]!.push(name);
  }
  t.diagnostic(`${tokens.length} tokens, none accepted by us`);
  for (const [judge, names] of Object.entries(lenient)) assert.deepEqual(accepted[judge]!.sort(), [...names].sort());
});
