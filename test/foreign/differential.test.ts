/** Class N of evidence.md §8: whatever a verifier that is not ours refuses, ours refuses; what holds, holds for all. */
import assert from 'node:assert/strict';
import { createHash, createPublicKey, sign, X509Certificate, type KeyObject } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { leafHash, verifyConsistency, verifyInclusion } from '@pangolin/contracts/merkle';
import { cosignatureText, NOTE_COSIGNATURE, noteKeyId, type NoteKey } from '@pangolin/contracts/note';
import { timeStampRequest } from '@pangolin/contracts/time-stamp';
import { consistencyProof, inclusionProof } from '@pangolin/contracts/tlog';
import type { TrustDocument } from '@pangolin/contracts/trust';
import { normaliseTimeStamp } from '@pangolin/controller/audit/timestamps/normalise';
import { memoryReader } from '@pangolin/verify/readers/memory';
import { exitCodeOf } from '@pangolin/verify/report';
import { verifyBundle } from '@pangolin/verify/verify';
import { makeAuthority, reply, type Authority } from '../audit/tsa.ts';
import {
  ed25519,
  forgeKeys,
  jcs,
  mth,
  noteLine,
  ORIGIN,
  sealOf,
  sha,
  signNote,
  trustOf,
  type Files,
  type Json,
  type SealBend,
} from '../verify/forge.ts';
import { forgeToken, type Bend } from '../verify/forge-token.ts';
import { base64FieldMutants, fileMutants, payloadMutants } from '../verify/generic-mutants.ts';
import type { Mutant } from '../verify/harness.ts';
import { byteMutants } from '../verify/json-mutants.ts';
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

const sealIn = (files: Files): Json => JSON.parse(files.get(SEAL)!.toString()) as Json;
function withSeal(files: Files, change: (seal: Json) => void): Files {
  const seal = sealIn(files);
  change(seal);
  return new Map(files).set(SEAL, jcs(seal));
}
const stamp =
  (...tokens: readonly Buffer[]) =>
  (seal: Json): void => {
    const rfc3161Timestamps = tokens.map((each) => ({ signedTimestamp: each.toString('base64') }));
    seal.verificationMaterial.timestampVerificationData = { rfc3161Timestamps };
  };
const flipped = (bytes: Buffer, at: number): Buffer =>
  Buffer.from(bytes.map((byte, each) => (each === at ? byte ^ 1 : byte)));
const bentText = (text: string, at: number): string => flipped(Buffer.from(text, 'base64'), at).toString('base64');

before(async () => {
  authority = makeAuthority();
  const signature = Buffer.from(sealIn(plain).dsseEnvelope.signatures[0].sig as string, 'base64');
  const imprint = createHash('sha256').update(signature).digest();
  token = normaliseTimeStamp(await reply(authority, timeStampRequest(imprint, 9n)), imprint, 9n);
  stamped = withSeal(plain, stamp(token));
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

/** By name; those that are programs only where they are. @param tsa whether they demand a time stamp. */
function judges(tsa: boolean): readonly (readonly [string, Judge])[] {
  return [
    ['sigstore-js', js(sealKey, tsa)],
    ...(skip ? [] : [['cosign', cosign(tsa)] as const]),
    ...(skip || !tsa ? [] : [['sigstore-go', sigstoreGo()] as const]),
  ];
}

const exitOf = async (files: Files, trust: TrustDocument): Promise<number> =>
  exitCodeOf(await verifyBundle(memoryReader(files), trust));

/** A mutant that we do not fail, and the exit code that it has: only of these another verifier could think worse than we. */
interface Passed {
  readonly name: string;
  readonly files: Files;
  readonly exit: number;
}

/** Our verdict over all of them: how many there are, and those that we do not fail. */
async function passedOf(
  mutants: Iterable<Mutant>,
  trust: TrustDocument,
): Promise<{ readonly count: number; readonly passed: readonly Passed[] }> {
  const passed: Passed[] = [];
  let count = 0;
  for (const { name, files, trust: own } of mutants) {
    if (!files || own !== undefined) continue;
    count++;
    const exit = await exitOf(files, trust);
    if (exit !== 1) passed.push({ name, files, exit });
  }
  return { count, passed };
}

/** Changes of the stamped seal by somebody without keys: of every byte, and of every value in it. */
function* keyless(): Generator<Mutant> {
  for (const { name, bytes } of byteMutants(stamped.get(SEAL)!)) {
    yield { name: `${SEAL}: ${name}`, files: new Map(stamped).set(SEAL, bytes) };
  }
  for (const mutant of fileMutants(stamped)) if (/^seal\.sigstore\.json: (?!bit)/.test(mutant.name)) yield mutant;
  yield* payloadMutants(stamped);
  for (const mutant of base64FieldMutants(stamped)) if (mutant.name.startsWith('seal')) yield mutant;
}

/** Of the log below the seal, which all of them know by its digest alone. */
function* keylessEvents(): Generator<Mutant> {
  for (const mutant of fileMutants(plain)) if (mutant.name.startsWith(EVENTS)) yield mutant;
}

/** Whole bundles of every form that a seal can have, with the token of the authority. */
function* honest(): Generator<readonly [string, Files]> {
  yield ['as it is', stamped];
  const events = plain.get(EVENTS)!;
  const signature = signatureIn(plain);
  const form = (bend: SealBend): Files =>
    new Map(plain).set(SEAL, sealOf(keys, events, { signature: () => signature, file: stamp(token), ...bend }));
  for (const [index, logSize] of [[3, 4], [7, 8], [3, 300], [299, 300]] as const) yield [`entry ${index} of ${logSize}`, form({ index, logSize })]; // prettier-ignore
  const second = forgeToken(authority, signature);
  yield ['two time stamps', form({ file: stamp(...[token, second].sort(Buffer.compare)) })];
  const witness = ed25519();
  const cosigned = (text: string, line: string): string => {
    const note: NoteKey = { name: 'witness.example', type: NOTE_COSIGNATURE, publicKey: witness.spki.subarray(-32) };
    const time = Buffer.alloc(8);
    time.writeBigUInt64BE(1_772_400_000n);
    const cosignature = sign(null, Buffer.from(cosignatureText(1_772_400_000n, text)), witness.privateKey);
    return `${text}\n${line}${noteLine(note.name, noteKeyId(note), Buffer.concat([time, cosignature]))}`;
  };
  yield ['seen by a witness', form({ note: cosigned })];
}

test('what holds, holds for sigstore-js, sigstore-go, cosign and us', { skip }, async (t) => {
  let count = 0;
  for (const [name, files] of honest()) {
    assert.equal(await exitOf(files, trusting(true)), 0, name);
    for (const [judge, accepts] of judges(true)) assert.ok(accepts(files), `${judge}: ${name}`);
    count++;
  }
  assert.equal(await exitOf(plain, trusting(false)), 0);
  for (const [judge, accepts] of judges(false)) assert.ok(accepts(plain), judge);
  t.diagnostic(`${count} bundles with a time stamp, and one without`);
});

/** Shows that they can say no: each refuses each of these, and so do we. */
const refusedByAll: Readonly<Record<string, (files: Files) => Files>> = {
  'an event changed': (files) => new Map(files).set(EVENTS, flipped(files.get(EVENTS)!, 300)),
  'another statement under the signature': (files) =>
    withSeal(files, ({ dsseEnvelope }) => (dsseEnvelope.payload = bentText(dsseEnvelope.payload, 40))),
  'another signature': (files) =>
    withSeal(files, ({ dsseEnvelope: { signatures } }) => (signatures[0].sig = bentText(signatures[0].sig, 20))),
  'no entry of a log': (files) =>
    withSeal(files, ({ verificationMaterial }) => (verificationMaterial.tlogEntries = [])),
  'another hash in the proof': (files) =>
    withSeal(files, (seal) => {
      const { hashes } = seal.verificationMaterial.tlogEntries[0].inclusionProof;
      hashes[0] = bentText(hashes[0], 3);
    }),
  'another checkpoint': (files) =>
    withSeal(files, (seal) => {
      const { checkpoint } = seal.verificationMaterial.tlogEntries[0].inclusionProof;
      checkpoint.envelope = checkpoint.envelope.replace('\n7\n', '\n8\n');
    }),
  'the time stamp of another signature': (files) =>
    withSeal(files, stamp(forgeToken(authority, Buffer.from('another signature')))),
};

test('each of them can refuse', { skip }, async () => {
  for (const [name, change] of Object.entries(refusedByAll)) {
    const files = change(stamped);
    assert.equal(await exitOf(files, trusting(true)), 1, name);
    for (const [judge, accepts] of judges(true)) assert.ok(!accepts(files), `${judge}: ${name}`);
  }
});

const entryOf = (seal: Json): Json => seal.verificationMaterial.tlogEntries[0];
const noteOf = (seal: Json): Json => entryOf(seal).inclusionProof.checkpoint;
/** As a bundle with another checkpoint text, signed by the log or not. */
const retold = (edit: (text: string) => string, line = (text: string): string => signNote(keys.log, text)) =>
  withSeal(stamped, (seal) => {
    const text = edit((noteOf(seal).envelope as string).split('\n\n')[0]!.concat('\n'));
    noteOf(seal).envelope = `${text}\n${line(text)}`;
  });

/** The cases of sigstore-conformance's `bundle-verify` that can be put to a bundle of ours, by their names there. */
const conformance: Readonly<Record<string, () => Files>> = {
  'checkpoint-bad-keyhint': () =>
    retold((text) => text, (text) => noteLine(ORIGIN, Buffer.alloc(4), sign(null, Buffer.from(text), keys.log.privateKey))),
  'checkpoint-wrong-roothash': () => retold((text) => text.replace(/[^\n]+\n$/, `${Buffer.alloc(32, 7).toString('base64')}\n`)),
  'checkpoint-no-matching-origin': () => retold((text) => text.replace(ORIGIN, '')),
  'checkpoint-two-sigs-one-invalid': () =>
    retold((text) => text, (text) => `${signNote(keys.log, text)}${signNote(ed25519(), text)}`),
  'checkpoint-invalid-signature': () => retold((text) => text, (text) => signNote(keys.log, `${text}x`)),
  'inclusion-proof-mismatch': () => withSeal(stamped, (seal) => entryOf(seal).inclusionProof.hashes.reverse()),
  'log-index-negative': () => withSeal(stamped, (seal) => (entryOf(seal).inclusionProof.logIndex = entryOf(seal).logIndex = '-1')),
  'tlog-entry-duplicate': () => withSeal(stamped, ({ verificationMaterial: { tlogEntries } }) => tlogEntries.push(tlogEntries[0])),
  'unknown-version': () => withSeal(stamped, (seal) => (seal.mediaType = seal.mediaType.replace('v0.3', 'v0.9'))),
  'root-certificate-in-bundle': () =>
    withSeal(stamped, ({ verificationMaterial: material }) => {
      const rawBytes = new X509Certificate(authority.rootPem).raw.toString('base64');
      material.x509CertificateChain = { certificates: [{ rawBytes }] };
    }),
  'dsse-mismatched-envelope': () =>
    withSeal(stamped, (seal) => (seal.dsseEnvelope = sealIn(tell(keys, 'run-2').files).dsseEnvelope)),
  'dsse-mismatched-signature': () =>
    withSeal(stamped, ({ dsseEnvelope }) => (dsseEnvelope.signatures = sealIn(tell(keys, 'run-2').files).dsseEnvelope.signatures)),
  'dsse-two-signatures': () => withSeal(stamped, ({ dsseEnvelope: { signatures } }) => signatures.push(signatures[0])),
  'rekor2-timestamp-payload-mismatch': () => withToken({ imprintOf: Buffer.from('another') }),
  'rekor2-timestamp-outside-validity': () => withToken({ genTime: '20200101000000Z' }),
  'rekor2-timestamp-expired-chain': () => withToken({ genTime: '20500101000000Z' }),
  'rekor2-timestamp-with-root': () =>
    withToken({ certificates: (signer) => [signer, new X509Certificate(authority.rootPem).raw].sort(Buffer.compare) }),
  'rekor2-timestamp-untrusted-embedded-cert': () => {
    using alike = makeAuthority();
    return withSeal(stamped, stamp(forgeToken(alike, signatureIn(stamped))));
  },
}; // prettier-ignore
const signatureIn = (files: Files): Buffer =>
  Buffer.from(sealIn(files).dsseEnvelope.signatures[0].sig as string, 'base64');
const withToken = (bend: Bend): Files => withSeal(stamped, stamp(forgeToken(authority, signatureIn(stamped), bend)));

test('what sigstore-conformance has clients refuse, we refuse', async () => {
  for (const [name, make] of Object.entries(conformance)) assert.equal(await exitOf(make(), trusting(true)), 1, name);
});

/**
 * What is left of a seal whose time stamp was taken out is whole: the one downgrade. A trust file that asks for one puts
 * it below (exit 3), and the tools refuse it with the flags that ask for one; without, both take it.
 */
test(
  'of all that a stranger can change, only the removal of the time stamp is not failed, and strict flags refuse it',
  { skip },
  async (t) => {
    const { count, passed } = await passedOf(keyless(), trusting(true));
    const log = await passedOf(keylessEvents(), trusting(false));
    t.diagnostic(`${count} mutants of the seal and ${log.count} of the log, all but ${passed.length} refused by us`);
    assert.ok(count > 4500 && log.count > 500, `only ${count} and ${log.count} mutants`);
    assert.deepEqual(log.passed, []);
    assert.deepEqual(
      passed.map(({ exit, files }) => [exit, files.get(SEAL)!.equals(plain.get(SEAL)!)]),
      [[3, true]],
      passed.map(({ name }) => name).join('\n'),
    );
    const [{ files }] = passed as [Passed];
    assert.equal(await exitOf(files, trusting(false)), 0);
    for (const [judge, accepts] of judges(true)) assert.ok(!accepts(files), judge);
    for (const [judge, accepts] of judges(false)) assert.ok(accepts(files), judge);
  },
);

test('of all that the operator can bend nothing holds for us and not for them', { skip }, async (t) => {
  const { count, passed } = await passedOf(sealMutants(keys, plain), trusting(false));
  t.diagnostic(`${count} mutants, ${count - passed.length} refused by us`);
  assert.ok(count > 300, `only ${count} mutants`);
  // Whose key the trust file lacks cannot be checked, and that is no yes: they, who are told one key, say no.
  assert.deepEqual(
    passed.map(({ name, exit }) => [name, exit]),
    [['seal: signed by a stranger', 4]],
  );
  for (const [judge, accepts] of judges(false)) assert.ok(!accepts(passed[0]!.files), judge);
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
