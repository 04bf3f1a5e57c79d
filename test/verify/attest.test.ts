/** `--attest`: the summary that an auditor signs, by the shipped command's own code path. */
import assert from 'node:assert/strict';
import { createPublicKey, generateKeyPairSync, verify, type KeyObject } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { canonical } from '@pangolin/contracts/canonical';
import { keyIdOf, pae } from '@pangolin/contracts/dsse';
import type { Subject } from '@pangolin/contracts/statement';
import { noting } from '@pangolin/verify/attest';
import type { BundleReader } from '@pangolin/verify/bundle-reader';
import { memoryReader } from '@pangolin/verify/readers/memory';
import { verifyBundle } from '@pangolin/verify/verify';
import { standalone, type Said } from '../audit/standalone.ts';
import { forgeKeys, sha, trustOf, type Files, type Json } from './forge.ts';
import { tell } from './story.ts';

const dir = mkdtempSync(join(tmpdir(), 'pangolin-attest-'));
after(() => rmSync(dir, { recursive: true, force: true }));
const at = (name: string): string => join(dir, name);
const keys = forgeKeys();
const { files } = tell(keys);
const pem = (key: KeyObject): string => key.export({ type: 'pkcs8', format: 'pem' }) as string;
const { privateKey: auditor } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
writeFileSync(at('auditor.pem'), pem(auditor));
writeFileSync(at('trust.json'), JSON.stringify(trustOf(keys)));

const put = (name: string, bundle: Files): void =>
  writeFileSync(at(name), canonical({ files: Object.fromEntries([...bundle].map(([file, bytes]) => [file, bytes.toString()])) })); // prettier-ignore
put('bundle.json', files);
put('evil.json', new Map(files).set('events.jsonl', Buffer.from(files.get('events.jsonl')!.toString().replace('Succeeded', 'Cancelled')))); // prettier-ignore

let made = 0;
async function attested(bundle: string, more: readonly string[] = []): Promise<Said & { readonly summary: Json }> {
  const out = at(`summary-${made++}.json`);
  const said = await standalone([at(bundle), '--trust', at('trust.json'), '--attest', at('auditor.pem'), '--attest-out', out, '-o', 'json', ...more]); // prettier-ignore
  if (!existsSync(out)) return { ...said, summary: undefined };
  const { dsseEnvelope } = JSON.parse(readFileSync(out, 'utf8')) as Json;
  const payload = Buffer.from(dsseEnvelope.payload as string, 'base64');
  const [{ keyid, sig }] = dsseEnvelope.signatures;
  assert.equal(keyid, keyIdOf(createPublicKey(auditor)));
  assert.ok(verify('sha256', pae(payload), createPublicKey(auditor), Buffer.from(sig as string, 'base64')));
  return { ...said, summary: JSON.parse(payload.toString()) };
}

test('a verified bundle is PASSED: its log and seal are the subject, the trust file is the policy', async () => {
  const { code, stdout, stderr, summary } = await attested('bundle.json');
  assert.deepEqual([code, stderr], [0, '']);
  const { predicate, ...statement } = summary;
  const [events, seal] = ['events.jsonl', 'seal.sigstore.json'].map((name) => ({ name, digest: { sha256: sha(files.get(name)!) } })); // prettier-ignore
  assert.deepEqual(statement, {
    _type: 'https://in-toto.io/Statement/v1',
    subject: [events, seal],
    predicateType: 'https://slsa.dev/verification_summary/v1',
  });
  const { timeVerified, pangolin_report: report, ...rest } = predicate;
  assert.ok(Math.abs(Date.parse(timeVerified as string) - Date.now()) < 3_600_000);
  assert.deepEqual(rest, {
    verifier: { id: 'https://pangolin.dev/attestation/verify@v1' },
    resourceUri: 'https://log.forge.example/run-1',
    policy: { digest: { sha256: sha(readFileSync(at('trust.json'))) } },
    inputAttestations: [{ uri: seal!.name, digest: seal!.digest }],
    verificationResult: 'PASSED',
    verifiedLevels: ['PANGOLIN_TAMPER_DETECTING', 'PANGOLIN_DETECT', 'PANGOLIN_ASSERTED'],
  });
  const whole = JSON.parse(stdout) as Json;
  for (const [name, value] of Object.entries(report as Json)) assert.deepEqual(value, whole[name], name);
  assert.ok(['verdict', 'timeBracket', 'authzTier', 'closure', 'blobs'].every((name) => name in report));
});

test('what fails, and what is below what the trust file requires, is FAILED and has no level', async () => {
  const evil = await attested('evil.json');
  assert.equal(evil.code, 1);
  assert.deepEqual([evil.summary.predicate.verificationResult, evil.summary.predicate.verifiedLevels], ['FAILED', ['FAILED']]); // prettier-ignore
  assert.equal(evil.summary.predicate.pangolin_report.failure, 'events');
  writeFileSync(at('strict.json'), JSON.stringify(trustOf(keys, (each) => (each.require = { timeTier: 'tsa-attested' })))); // prettier-ignore
  const below = await attested('bundle.json', ['--trust', at('strict.json')]);
  assert.equal(below.code, 3);
  const { verificationResult, pangolin_report: report } = below.summary.predicate;
  assert.deepEqual([verificationResult, report.verdict, report.below], ['FAILED', 'verified', ['timeTier']]);
});

test('the subject is what was read, whatever stands there afterwards', async () => {
  const changed = new Map(files);
  const reader = memoryReader(changed);
  const subject: Subject[] = [];
  const racing: BundleReader = {
    ...reader,
    read: async (name) => {
      const bytes = await reader.read(name);
      changed.set(name, Buffer.from('another'));
      return bytes;
    },
  };
  await verifyBundle(noting(racing, subject), trustOf(keys));
  assert.deepEqual(subject, ['events.jsonl', 'seal.sigstore.json'].map((name) => ({ name, digest: { sha256: sha(files.get(name)!) } }))); // prettier-ignore
});

test('what settles nothing is not signed', async () => {
  put('open.json', new Map([...files].filter(([name]) => name !== 'seal.sigstore.json')));
  const { code, stdout, stderr, summary } = await attested('open.json');
  assert.deepEqual([code, summary, (JSON.parse(stdout) as Json).verdict], [4, undefined, 'incomplete']);
  assert.match(stderr, /^No summary was signed/);
});

test('a key that cannot be used is said before anything is verified, and no file is overwritten', async () => {
  const { privateKey: other } = generateKeyPairSync('ed25519');
  writeFileSync(at('other.pem'), pem(other));
  writeFileSync(at('none.pem'), 'x');
  writeFileSync(at('taken.json'), 'mine');
  for (const [argv, why] of [
    [['--trust', at('trust.json'), '--attest', at('other.pem')], /is not ECDSA P-256.*\n.*openssl genpkey/],
    [['--trust', at('trust.json'), '--attest', at('none.pem')], /not an unencrypted private key/],
    [['--trust', at('trust.json'), '--attest', at('nowhere.pem')], /nowhere\.pem cannot be read/],
    [['--trust', at('trust.json'), '--attest', at('auditor.pem'), '--attest-out', at('taken.json')], /taken\.json is there already/], // prettier-ignore
    [['--attest', at('auditor.pem')], /^--attest goes with --trust/],
    [['--log', at('.'), '--trust', at('trust.json'), '--attest', at('auditor.pem')], /^--attest goes with one bundle/],
  ] as const) {
    const { code, stdout, stderr } = await standalone([at('bundle.json'), ...argv]);
    assert.deepEqual([code, stdout], [2, ''], stderr);
    assert.match(stderr, why);
  }
  assert.equal(readFileSync(at('taken.json'), 'utf8'), 'mine');
});
