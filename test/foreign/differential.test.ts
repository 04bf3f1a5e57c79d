/** Class N of evidence.md §8: whatever a verifier that is not ours refuses, ours refuses; what holds, holds for all. */
import assert from 'node:assert/strict';
import { createHash, createPublicKey, X509Certificate, type KeyObject } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test, type TestContext } from 'node:test';
import { leafHash, verifyConsistency, verifyInclusion } from '@pangolin/contracts/merkle';
import { timeStampRequest } from '@pangolin/contracts/time-stamp';
import { consistencyProof, inclusionProof } from '@pangolin/contracts/tlog';
import type { TrustDocument } from '@pangolin/contracts/trust';
import { normaliseTimeStamp } from '@pangolin/controller/audit/timestamps/normalise';
import { memoryReader } from '@pangolin/verify/readers/memory';
import { exitCodeOf } from '@pangolin/verify/report';
import { readAuthorities } from '@pangolin/verify/time-stamp/authorities';
import { checkTimeStamp } from '@pangolin/verify/time-stamp/check';
import { Refusal } from '@pangolin/verify/refusal';
import { verifyBundle } from '@pangolin/verify/verify';
import { makeAuthority, reply, type Authority } from '../audit/tsa.ts';
import { forgeKeys, mth, sealOf, sha, trustOf, type Files, type Json } from '../verify/forge.ts';
import { base64FieldMutants, fileMutants, payloadMutants } from '../verify/generic-mutants.ts';
import type { Mutant } from '../verify/harness.ts';
import { sealMutants } from '../verify/operator-mutants.ts';
import { tell } from '../verify/story.ts';
import { sigstoreJs } from './sigstore-js.ts';
import { foreign, toolPath, toolsSkip } from './tools.ts';

const skip = toolsSkip();
const SEAL = 'seal.sigstore.json';
const EVENTS = 'events.jsonl';
const keys = forgeKeys();
const { files: plain } = tell(keys);
const sealKey = createPublicKey({ key: keys.seal.spki, format: 'der', type: 'spki' });
const dir = mkdtempSync(join(tmpdir(), 'pangolin-differential-'));
let authority: Authority;
let stamped: Files;
let token: Buffer;

before(async () => {
  authority = makeAuthority();
  const events = plain.get(EVENTS)!;
  const first = JSON.parse(plain.get(SEAL)!.toString()) as Json;
  const signature = Buffer.from(first.dsseEnvelope.signatures[0].sig as string, 'base64');
  const imprint = createHash('sha256').update(signature).digest();
  token = normaliseTimeStamp(await reply(authority, timeStampRequest(imprint, 9n)), imprint, 9n);
  const file = (seal: Json): void => {
    const rfc3161Timestamps = [{ signedTimestamp: token.toString('base64') }];
    seal.verificationMaterial.timestampVerificationData = { rfc3161Timestamps };
  };
  stamped = new Map(plain).set(SEAL, sealOf(keys, events, { signature: () => signature, file }));
});
after(() => {
  authority[Symbol.dispose]();
  rmSync(dir, { recursive: true, force: true });
});

const trusting = (tsa: boolean): TrustDocument =>
  trustOf(keys, (each) => {
    if (!tsa) return;
    each.tsaRoots = [authority.rootPem];
    each.require = { timeTier: 'tsa-attested' };
  });
function trustedRoot(): unknown {
  const certificates = [authority.signerPem, authority.rootPem].map((pem) => ({
    rawBytes: new X509Certificate(pem).raw.toString('base64'),
  }));
  const tsa = { uri: 'https://tsa.example', subject: { organization: 'Test', commonName: 'TSA' }, certChain: { certificates }, validFor: { start: '2020-01-01T00:00:00Z' } }; // prettier-ignore
  return { ...trusting(false).trustedRoot, timestampAuthorities: [tsa] };
}

/** What a verifier says of a seal and the log that it is to be of. */
type Judge = (files: Files) => boolean;

function js(publicKey: KeyObject, tsa: boolean): Judge {
  const verify = sigstoreJs(trustedRoot(), publicKey, tsa);
  return (files) => {
    try {
      const seal = JSON.parse(files.get(SEAL)!.toString()) as Json;
      verify(seal);
      const statement = JSON.parse(Buffer.from(seal.dsseEnvelope.payload, 'base64').toString()) as Json;
      return statement.subject[0].digest.sha256 === sha(files.get(EVENTS)!);
    } catch {
      return false;
    }
  };
}

function cosign(tsa: boolean): Judge {
  const place = mkdtempSync(join(dir, 'cosign-'));
  writeFileSync(join(place, 'seal.pub'), sealKey.export({ type: 'spki', format: 'pem' }));
  writeFileSync(join(place, 'root.json'), JSON.stringify(trustedRoot()));
  const type = 'https://pangolin.dev/attestation/run-seal/v1';
  const flags = ['--bundle', SEAL, '--key', 'seal.pub', '--trusted-root', 'root.json', '--type', type];
  if (tsa) flags.push('--use-signed-timestamps');
  return (files) => {
    for (const name of [SEAL, EVENTS]) writeFileSync(join(place, name), files.get(name)!);
    return foreign('cosign', ['verify-blob-attestation', ...flags, EVENTS], { cwd: place }).ok;
  };
}

function sigstoreGo(): Judge {
  const place = mkdtempSync(join(dir, 'sigstore-go-'));
  writeFileSync(join(place, 'seal.pub'), sealKey.export({ type: 'spki', format: 'pem' }));
  writeFileSync(join(place, 'root.json'), JSON.stringify(trustedRoot()));
  const flags = ['-publicKey', 'seal.pub', '-trustedrootJSONpath', 'root.json', '-requireCTlog=false'];
  return (files) => {
    for (const name of [SEAL, EVENTS]) writeFileSync(join(place, name), files.get(name)!);
    return foreign('sigstore-go-verification', [...flags, '-artifact', EVENTS, SEAL], { cwd: place }).ok;
  };
}

async function holds(files: Files, trust: TrustDocument): Promise<boolean> {
  return exitCodeOf(await verifyBundle(memoryReader(files), trust)) === 0;
}

/** Of every `stride`th mutant that a judge refuses, none is verified by us; `atLeast` were refused. */
async function compare(
  t: TestContext,
  judge: Judge,
  trust: TrustDocument,
  mutants: Iterable<Mutant>,
  { stride, atLeast }: { readonly stride: number; readonly atLeast: number },
): Promise<void> {
  let [at, judged, refused] = [0, 0, 0];
  const lenient: string[] = [];
  for (const { name, files, trust: own } of mutants) {
    if (!files?.has(SEAL) || own !== undefined || at++ % stride !== 0) continue;
    judged++;
    if (judge(files)) continue;
    refused++;
    if (await holds(files, trust)) lenient.push(name);
  }
  t.diagnostic(`${judged} mutants, ${refused} refused there`);
  assert.deepEqual(lenient, []);
  assert.ok(refused >= atLeast, `only ${refused} of ${judged} were refused`);
}

/** Changes of the stamped seal and its log by somebody without keys. */
function* keyless(): Generator<Mutant> {
  for (const mutant of fileMutants(stamped)) if (/^(seal|events)/.test(mutant.name)) yield mutant;
  yield* payloadMutants(stamped);
  for (const mutant of base64FieldMutants(stamped)) if (mutant.name.startsWith('seal')) yield mutant;
}

test('what holds, holds for sigstore-js, sigstore-go, cosign and us', { skip }, async () => {
  assert.equal(sigstoreGo()(stamped), true);
  for (const [tsa, files] of [
    [true, stamped],
    [false, plain],
  ] as const) {
    assert.equal(await holds(files, trusting(tsa)), true);
    assert.equal(js(sealKey, tsa)(files), true);
    assert.equal(cosign(tsa)(files), true);
  }
  // A seal without the token is good only where no token is asked for.
  assert.equal(await holds(plain, trusting(true)), false);
  assert.equal(js(sealKey, true)(plain), false);
  assert.equal(cosign(true)(plain), false);
});

test('whatever sigstore-js refuses of what a stranger changed, we refuse', async (t) => {
  await compare(t, js(sealKey, true), trusting(true), keyless(), { stride: 3, atLeast: 800 });
});

test('whatever sigstore-js refuses of what the operator bent, we refuse', async (t) => {
  await compare(t, js(sealKey, false), trusting(false), sealMutants(keys, plain), { stride: 1, atLeast: 100 });
});

test('whatever cosign refuses, we refuse', { skip }, async (t) => {
  await compare(t, cosign(true), trusting(true), keyless(), { stride: 101, atLeast: 15 });
  await compare(t, cosign(false), trusting(false), sealMutants(keys, plain), { stride: 13, atLeast: 8 });
});

test('whatever sigstore-go refuses of what a stranger changed, we refuse', { skip }, async (t) => {
  await compare(t, sigstoreGo(), trusting(true), keyless(), { stride: 97, atLeast: 15 });
});

test('every seal that we make, whatever the size of the log, holds for sigstore-js', () => {
  const verify = js(sealKey, false);
  for (let logSize = 1; logSize <= 20; logSize++) {
    for (const index of new Set([0, logSize >> 1, logSize - 1])) {
      const seal = sealOf(keys, plain.get(EVENTS)!, { logSize, index });
      assert.ok(verify(new Map(plain).set(SEAL, seal)), `${index} of ${logSize}`);
    }
  }
});

test('Go and we say the same of every proof, whole or bent', { skip }, (t) => {
  const leaves = Array.from({ length: 33 }, (_, at) => Buffer.from(`entry ${at}`));
  const hashAt = (level: number, index: number): Buffer =>
    mth(leaves.slice(index * 2 ** level, (index + 1) * 2 ** level));
  const rootAt = (size: number): Buffer => mth(leaves.slice(0, size));
  const cases: Proof[] = [];
  for (const size of [1, 2, 3, 4, 7, 8, 9, 16, 31, 32, 33]) {
    for (let first = 0; first < size; first++) {
      const leaf = leafHash(leaves[first]!);
      cases.push({ Inclusion: true, First: first, Size: size, Leaf: leaf, Root: rootAt(size), Hashes: inclusionProof(first, size, hashAt) });
      if (first === 0) continue;
      cases.push({ Inclusion: false, First: first, Size: size, Leaf: rootAt(first), Root: rootAt(size), Hashes: consistencyProof(first, size, hashAt) });
    }
  } // prettier-ignore
  const all = cases.flatMap((proof) => [proof, ...bent(proof)]);
  const ours = all.map(({ Inclusion, First, Size, Leaf, Root, Hashes }) =>
    Inclusion ? verifyInclusion(First, Size, Leaf, Hashes, Root) : verifyConsistency(First, Size, Hashes, Leaf, Root),
  );
  const input = all
    .map((proof) =>
      JSON.stringify(proof, (_, value: Json) =>
        value?.type === 'Buffer' ? Buffer.from(value.data).toString('base64') : value,
      ),
    ) // prettier-ignore
    .join('\n');
  const { said } = foreign(toolPath('tlogcheck'), ['proofs'], { cwd: dir, input });
  const theirs = said.trimEnd().split('\n').map((line) => line === 'true'); // prettier-ignore
  t.diagnostic(`${all.length} proofs, ${ours.filter(Boolean).length} hold`);
  const differing = all.filter((_, at) => ours[at] !== theirs[at]);
  assert.deepEqual(differing, []);
  assert.ok(ours.filter(Boolean).length >= cases.length && ours.length > 10 * cases.length);
});

interface Proof {
  readonly Inclusion: boolean;
  readonly First: number;
  readonly Size: number;
  readonly Leaf: Buffer;
  readonly Root: Buffer;
  readonly Hashes: readonly Buffer[];
}

function* bent(proof: Proof): Generator<Proof> {
  const { First, Size, Leaf, Root, Hashes } = proof;
  const flipped = (hash: Buffer): Buffer => Buffer.from(hash.map((byte, at) => (at === 7 ? byte ^ 1 : byte)));
  for (const by of [-1, 1]) {
    yield { ...proof, First: First + by };
    yield { ...proof, Size: Size + by };
  }
  yield { ...proof, Size: Size * 2 };
  yield { ...proof, Leaf: flipped(Leaf) };
  yield { ...proof, Root: flipped(Root) };
  yield { ...proof, Leaf: Root, Root: Leaf };
  yield { ...proof, Hashes: [...Hashes, Root] };
  yield { ...proof, Hashes: [Leaf, ...Hashes] };
  yield { ...proof, Hashes: [] };
  yield { ...proof, Inclusion: !proof.Inclusion };
  for (const [at, hash] of Hashes.entries()) {
    yield { ...proof, Hashes: Hashes.with(at, flipped(hash)) };
    yield { ...proof, Hashes: Hashes.toSpliced(at, 1) };
    if (at > 0) yield { ...proof, Hashes: Hashes.with(at, Hashes[at - 1]!).with(at - 1, hash) };
  }
}

test('whatever openssl refuses of a changed token, we refuse', { skip }, (t) => {
  const authorities = readAuthorities(trusting(true));
  const seal = JSON.parse(stamped.get(SEAL)!.toString()) as Json;
  const signature = Buffer.from(seal.dsseEnvelope.signatures[0].sig as string, 'base64');
  writeFileSync(join(dir, 'signature'), signature);
  writeFileSync(join(dir, 'root.pem'), authority.rootPem);
  writeFileSync(join(dir, 'signer.pem'), authority.signerPem);
  const openssl = (bytes: Buffer): boolean => {
    writeFileSync(join(dir, 'token'), bytes);
    const args = ['ts', '-verify', '-data', 'signature', '-in', 'token', '-CAfile', 'root.pem'];
    return foreign('openssl', [...args, '-untrusted', 'signer.pem'], { cwd: dir }).ok;
  };
  const ours = (bytes: Buffer): boolean => {
    try {
      return checkTimeStamp(bytes, signature, authorities) > 0;
    } catch (error) {
      if (error instanceof Refusal) return false;
      throw error;
    }
  };
  assert.deepEqual([openssl(token), ours(token)], [true, true]);
  let refused = 0;
  for (let bit = 0; bit < token.length * 8; bit += 167) {
    const changed = Buffer.from(token);
    changed[bit >> 3]! ^= 1 << (bit & 7);
    if (openssl(changed)) continue;
    refused++;
    assert.equal(ours(changed), false, `bit ${bit}`);
  }
  t.diagnostic(`${refused} of ${Math.ceil((token.length * 8) / 167)} refused by openssl`);
  assert.ok(refused > 20);
});
