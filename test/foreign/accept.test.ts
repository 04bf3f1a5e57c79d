/** What the shipped command makes, under verifiers that we did not write: by the auditor's page, and besides. */
import assert from 'node:assert/strict';
import { createPublicKey, generateKeyPairSync, X509Certificate } from 'node:crypto';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { formatVkey, NOTE_ED25519, rawOfEd25519 } from '@pangolin/contracts/note';
import type { TrustDocument } from '@pangolin/contracts/trust';
import { standalone } from '../audit/standalone.ts';
import { auditorPage } from './auditor-page.ts';
import { deploy, type Deployment } from './deployment.ts';
import { sigstoreJs } from './sigstore-js.ts';
import { foreign, toolPath, toolsSkip, type Answer } from './tools.ts';

const skip = toolsSkip();
const PANGOLIN = join(import.meta.dirname, '..', '..', 'bin', 'pangolin');
const DSSE = join(import.meta.dirname, 'dsse.py');
let deployment: Deployment;
let trust: TrustDocument;
let vkey: string;
before(async () => {
  if (skip) return;
  deployment = await deploy();
  trust = JSON.parse(readFileSync(join(deployment.dir, 'trust.json'), 'utf8')) as TrustDocument;
  const spki = Buffer.from(trust.trustedRoot.tlogs[0]!.publicKey.rawBytes, 'base64');
  vkey = formatVkey({ name: trust.origin, type: NOTE_ED25519, publicKey: rawOfEd25519(spki)! });
});
after(() => deployment?.[Symbol.dispose]());

/** In a copy of the deployment after `change`. */
function inCopy<T>(work: (dir: string) => T, change: (dir: string) => void = () => {}): T {
  const dir = mkdtempSync(join(tmpdir(), 'pangolin-accept-'));
  try {
    cpSync(deployment.dir, dir, { recursive: true });
    change(dir);
    return work(dir);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}
const keyOf = (role: 'seal' | 'attest') =>
  createPublicKey({
    key: Buffer.from(trust.signers.find(({ roles }) => roles[0] === role)!.publicKey, 'base64'),
    format: 'der',
    type: 'spki',
  });
/** With the certificates that the token comes from, as cosign's trusted root has them. */
function trustedRoot(dir: string): unknown {
  const pems = readFileSync(join(dir, 'tsa-chain.pem'), 'utf8').match(/-----BEGIN[^]*?END CERTIFICATE-----\n/g)!;
  const certificates = pems.map((pem) => ({ rawBytes: new X509Certificate(pem).raw.toString('base64') }));
  const authority = { uri: 'https://tsa.example', subject: { organization: 'Test', commonName: 'TSA' }, certChain: { certificates }, validFor: { start: '2020-01-01T00:00:00Z' } }; // prettier-ignore
  return { ...trust.trustedRoot, timestampAuthorities: [authority] };
}
const edit = (name: string, change: (text: string) => string) => (dir: string) => {
  const before = readFileSync(join(dir, name), 'latin1');
  const changed = change(before);
  assert.notEqual(changed, before);
  writeFileSync(join(dir, name), changed, 'latin1');
};
const accepts = (answer: Answer): void => assert.ok(answer.ok, answer.said);
const refuses = (answer: Answer): void => assert.ok(!answer.ok, 'it was accepted');

test('Go reads the tiles of the log, proves every entry, and sees that the log only grew', { skip }, () => {
  const tiles = (dir: string): Answer => foreign(toolPath('tlogcheck'), ['tiles', vkey, 'log'], { cwd: dir });
  const grew = (dir: string): Answer =>
    foreign(toolPath('tlogcheck'), ['consistency', vkey, 'older', 'log'], { cwd: dir });
  inCopy((dir) => {
    accepts(tiles(dir));
    assert.match(tiles(dir).said, /^2 /);
    accepts(grew(dir));
  });
  const flip = (text: string): string =>
    `${text.slice(0, -1)}${String.fromCharCode(text.charCodeAt(text.length - 1) ^ 1)}`;
  inCopy((dir) => refuses(tiles(dir)), edit('log/tile/0/000.p/2', flip));
  inCopy((dir) => refuses(tiles(dir)), edit('log/tile/entries/000.p/2', flip));
  inCopy(
    (dir) => refuses(tiles(dir)),
    edit('log/checkpoint', (text) => text.replace('\n2\n', '\n1\n')),
  );
  inCopy((dir) => refuses(grew(dir)), edit('log/tile/0/000.p/2', flip));
});

test(
  'securesystemslib verifies seal, attestations and the summary of the auditor, each under its own key only',
  { skip },
  () => {
    inCopy((dir) => {
      for (const role of ['seal', 'attest'] as const) {
        writeFileSync(join(dir, `${role}.pub`), keyOf(role).export({ type: 'spki', format: 'pem' }));
      }
      const check = (file: string, key: string): Answer =>
        foreign('python3', [DSSE, join('bundle', file), `${key}.pub`], { cwd: dir });
      const attestations = readdirSync(join(dir, 'bundle/attestations')).map((name) => `attestations/${name}`);
      assert.equal(attestations.length, 4);
      accepts(check('seal.sigstore.json', 'seal'));
      refuses(check('seal.sigstore.json', 'attest'));
      for (const name of attestations) accepts(check(name, 'attest'));
      refuses(check(attestations[0]!, 'seal'));
      const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
      writeFileSync(join(dir, 'auditor.pem'), privateKey.export({ type: 'pkcs8', format: 'pem' }));
      writeFileSync(join(dir, 'auditor.pub'), publicKey.export({ type: 'spki', format: 'pem' }));
      accepts(foreign(PANGOLIN, ['verify', 'bundle', '--trust', 'trust.json', '--attest', 'auditor.pem', '--attest-out', 'bundle/summary'], { cwd: dir })); // prettier-ignore
      accepts(check('summary', 'auditor'));
      refuses(check('summary', 'attest'));
      edit('bundle/seal.sigstore.json', (text) => text.replace('application/vnd.in-toto+json', 'application/json'))(
        dir,
      );
      refuses(check('seal.sigstore.json', 'seal'));
      edit(`bundle/${attestations[0]}`, (text) => text.replace(/"payload":"eyJ/, '"payload":"fyJ'))(dir);
      refuses(check(attestations[0]!, 'attest'));
    });
  },
);

test('sigstore-js and sigstore-go verify the seal of each run, and refuse that of the other', { skip }, () => {
  inCopy((dir) => {
    const verify = sigstoreJs(trustedRoot(dir), keyOf('seal'), true);
    const sealOf = (run: string): string => {
      const { files } = JSON.parse(readFileSync(join(dir, `${run}.json`), 'utf8')) as { files: Record<string, string> };
      writeFileSync(join(dir, `${run}.events`), files['events.jsonl']!);
      writeFileSync(join(dir, `${run}.seal`), files['seal.sigstore.json']!);
      return files['seal.sigstore.json']!;
    };
    const seals = ['run-1', 'run-2'].map((run) => JSON.parse(sealOf(run)) as Seal);
    for (const seal of seals) verify(seal);
    const [one, two] = seals as [Seal, Seal];
    assert.throws(() => verify({ ...one, verificationMaterial: two.verificationMaterial }));
    assert.throws(() => verify({ ...one, dsseEnvelope: two.dsseEnvelope }));
    writeFileSync(join(dir, 'seal.pub'), keyOf('seal').export({ type: 'spki', format: 'pem' }));
    writeFileSync(join(dir, 'root.json'), JSON.stringify(trustedRoot(dir)));
    const go = (seal: string, events: string): Answer => {
      const flags = ['-publicKey', 'seal.pub', '-trustedrootJSONpath', 'root.json', '-requireCTlog=false'];
      return foreign('sigstore-go-verification', [...flags, '-artifact', `${events}.events`, `${seal}.seal`], {
        cwd: dir,
      });
    };
    for (const run of ['run-1', 'run-2']) accepts(go(run, run));
    refuses(go('run-1', 'run-2'));
  });
});

interface Seal {
  readonly dsseEnvelope: unknown;
  readonly verificationMaterial: unknown;
}

auditorPage(() => deployment);

test('our own verifier agrees', { skip }, async () => {
  for (const bundle of ['bundle', 'run-1.json', 'run-2.json', 'proof.json']) {
    const at = (name: string): string => join(deployment.dir, name);
    const { code, stdout } = await standalone([at(bundle), '--trust', at('trust.json')]);
    assert.equal(code, 0, stdout);
    assert.match(stdout, /tsa-attested/);
    if (bundle !== 'proof.json') assert.match(stdout, /agent +"outputs\/app\.cdx\.json".*CycloneDX 1\.6, 1 components/);
  }
});
