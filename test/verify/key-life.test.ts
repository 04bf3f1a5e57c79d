/** Class I of evidence.md §8: when a key counts, by what the auditor's trust file says and who attests the time. */
import assert from 'node:assert/strict';
import { createHash, sign } from 'node:crypto';
import { after, test } from 'node:test';
import { cosignatureText, formatVkey, NOTE_COSIGNATURE } from '@pangolin/contracts/note';
import { memoryReader } from '@pangolin/verify/readers/memory';
import { verifyBundle } from '@pangolin/verify/verify';
import { makeAuthority } from '../audit/tsa.ts';
import { forgeToken } from './forge-token.ts';
import { ed25519, forgeKeys, noteLine, sealOf, trustOf, type Files, type Json, type SealBend } from './forge.ts';
import { tell } from './story.ts';

const keys = forgeKeys();
const { files } = tell(keys);
const authority = makeAuthority();
after(() => authority[Symbol.dispose]());
const witness = ed25519();
const note = { name: 'witness.example', type: NOTE_COSIGNATURE, publicKey: witness.spki.subarray(-32) };

/** The run of the story is completed on 2026-03-01. */
interface Attested {
  /** The time of the token over the seal's signature. */
  readonly token?: string;
  /** When the witness saw the log. */
  readonly seen?: string;
}

function sealed({ token, seen }: Attested): Files {
  const bend: SealBend = {
    ...(token !== undefined && {
      file: (seal: Json) => {
        const signature = Buffer.from(seal.dsseEnvelope.signatures[0].sig as string, 'base64');
        const stamp = forgeToken(authority, signature, { genTime: token.replace(/[-:T]|\.\d+/g, '') });
        const rfc3161Timestamps = [{ signedTimestamp: stamp.toString('base64') }];
        seal.verificationMaterial.timestampVerificationData = { rfc3161Timestamps };
      },
    }),
    ...(seen !== undefined && { note: (text: string, line: string) => `${text}\n${line}${cosigned(text, seen)}` }),
  };
  return new Map(files).set('seal.sigstore.json', sealOf(keys, files.get('events.jsonl')!, bend));
}

function cosigned(text: string, seen: string): string {
  const seconds = BigInt(Date.parse(seen) / 1000);
  const time = Buffer.alloc(8);
  time.writeBigUInt64BE(seconds);
  const signature = sign(null, Buffer.from(cosignatureText(seconds, text)), witness.privateKey);
  const keyId = createHash('sha256').update(`${note.name}\n`).update(Buffer.of(NOTE_COSIGNATURE)).update(note.publicKey).digest().subarray(0, 4); // prettier-ignore
  return noteLine(note.name, keyId, Buffer.concat([time, signature]));
}

async function outcome(attested: Attested, signer: Json, log: Json = {}): Promise<string> {
  const trust = trustOf(keys, (each) => {
    each.tsaRoots = [authority.rootPem];
    each.witnessPolicy = `witness one ${formatVkey(note)}\nquorum one\n`;
    Object.assign(each.signers[0], signer);
    Object.assign(each.trustedRoot.tlogs[0].publicKey, log);
  });
  const { verdict, failure, checks } = await verifyBundle(memoryReader(sealed(attested)), trust);
  return failure === undefined ? verdict : `${failure}: ${Object.values(checks).find(({ result }) => result === false)!.detail}`; // prettier-ignore
}

const revokedAt = '2027-06-01T00:00:00.000Z';
const before = '2027-05-31T23:59:59Z';
const later = '2027-06-01T00:00:01Z';
const validFor = (start: string, end?: string): Json => ({ validFor: { start, ...(end !== undefined && { end }) } });

const rows: readonly [string, Attested, Json, RegExp, Json?][] = [
  ['a key that is not limited', {}, {}, /^verified$/],
  ['a key not yet valid when the run was completed', {}, validFor('2026-04-01T00:00:00Z'), /^time: .*not valid at/],
  ['a key expired when the run was completed', {}, validFor('2025-01-01T00:00:00Z', '2026-02-01T00:00:00Z'), /^time: .*not valid at/],
  ['a key valid then and expired now', {}, validFor('2026-01-01T00:00:00Z', '2026-04-01T00:00:00Z'), /^verified$/],
  ['a key that expired before the token', { token: later }, validFor('2026-01-01T00:00:00Z', '2027-05-01T00:00:00Z'), /^time: .*not valid at/],
  ['a key that begins after the token', { token: before }, validFor('2027-06-01T00:00:00Z'), /^time: .*not valid at/],
  ['revoked, and nobody attests a time', {}, { revokedAt }, /^time: .*no trusted time says/],
  ['revoked after the token', { token: before }, { revokedAt }, /^verified$/],
  ['revoked at the very time of the token', { token: revokedAt }, { revokedAt }, /^time: .*had been revoked/],
  ['revoked before the token', { token: later }, { revokedAt }, /^time: .*had been revoked/],
  ['revoked after the witness saw it', { seen: before }, { revokedAt }, /^verified$/],
  ['revoked before the witness saw it', { seen: later }, { revokedAt }, /^time: .*had been revoked/],
  ['token before, witness after the revocation', { token: before, seen: later }, { revokedAt }, /^time: .*had been revoked/],
  ['token after the revocation, witness before', { token: later, seen: before }, { revokedAt }, /^time: .*had been revoked/],
  ['both before the revocation', { token: before, seen: before }, { revokedAt }, /^verified$/],
  ['a key of the log not yet valid', {}, {}, /^time: .*the log was not valid at/, validFor('2026-04-01T00:00:00Z')],
  ['a key of the log that was rotated before', {}, {}, /^time: .*the log was not valid at/, validFor('2025-01-01T00:00:00Z', '2026-02-01T00:00:00Z')],
  ['a key of the log that was rotated since', {}, {}, /^verified$/, validFor('2025-01-01T00:00:00Z', '2026-04-01T00:00:00Z')],
]; // prettier-ignore
for (const [name, attested, signer, expected, log] of rows) {
  test(`${name}: ${expected.source}`, async () => assert.match(await outcome(attested, signer, log), expected));
}

test('after a rotation both logs count, the old one for what it signed', async () => {
  const fresh = { ...keys, log: ed25519() };
  const trust = trustOf(keys, (each) => each.trustedRoot.tlogs.push(trustOf(fresh).trustedRoot.tlogs[0]));
  const check = async (bundle: Files) => (await verifyBundle(memoryReader(bundle), trust)).verdict;
  assert.equal(await check(files), 'verified');
  const events = files.get('events.jsonl')!;
  const renewed = new Map(files).set('seal.sigstore.json', sealOf(fresh, events));
  assert.equal(await check(renewed), 'verified');
  const mixed = sealOf(keys, events, { logKey: fresh.log });
  assert.equal(await check(new Map(files).set('seal.sigstore.json', mixed)), 'failed');
});
