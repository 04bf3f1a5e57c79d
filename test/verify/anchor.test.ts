/** Class J of evidence.md §8 against an anchor in memory: what lies there decides, not what the bundle says. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { PangolinError } from '@pangolin/contracts/errors';
import type { TrustDocument } from '@pangolin/contracts/trust';
import type { AnchorReader, LockedObject } from '@pangolin/verify/anchor/anchor';
import { openSnapshot, readSnapshot, recording } from '@pangolin/verify/anchor/snapshot';
import { readListing } from '@pangolin/verify/anchor/s3';
import { signV4 } from '@pangolin/verify/anchor/sigv4';
import { memoryReader } from '@pangolin/verify/readers/memory';
import { exitCodeOf, type Report } from '@pangolin/verify/report';
import { renderReport } from '@pangolin/verify/render';
import { verifyBundle, verifyWith } from '@pangolin/verify/verify';
import { forgeKeys, jcs, noteLine, ORIGIN, resealed, sealOf, trustOf, type Files, type Json } from './forge.ts';
import { tell } from './story.ts';

const keys = forgeKeys();
const { files } = tell(keys);
const seal = files.get('seal.sigstore.json')!;
const events = files.get('events.jsonl')!;
const WRITTEN = Date.UTC(2026, 2, 2);
const DAY = 24 * 3600 * 1000;
const trust = trustOf(keys, (each) => {
  each.anchors = [{ type: 's3-object-lock', bucket: 'worm', region: 'eu-west-1', prefix: 'a/', minRetentionDays: 30 }];
});
const sha = (text: string): string => createHash('sha256').update(text).digest('hex');
const KEY = `a/anchors/v1/${sha(ORIGIN)}/runs/${sha('run-1')}/seal.sigstore.json`;

/** `not a seal`: the reader answers that it is none without its content. */
type Version = (Partial<LockedObject> & { readonly versionId?: string }) | 'deleted' | 'not a seal';
const good = { lockMode: 'COMPLIANCE', retainUntil: WRITTEN + 31 * DAY, lastModified: WRITTEN };

/** @param versions the oldest first. */
function holding(...versions: readonly Version[]): AnchorReader {
  const ids = versions.map((each, at) => (typeof each === 'object' ? each.versionId : undefined) ?? `v${at}`);
  return {
    versions: async (key) =>
      key === KEY ? versions.map((each, at) => ({ versionId: ids[at]!, deleteMarker: each === 'deleted' })) : [],
    get: async (_, versionId) => {
      const version = versions[ids.indexOf(versionId)];
      return typeof version === 'object' ? { body: seal, ...good, ...version } : undefined;
    },
  };
}

async function check(reader: AnchorReader, bundle: Files = files, document: TrustDocument = trust): Promise<Report> {
  return verifyBundle(memoryReader(bundle), document, { openAnchor: () => reader });
}
const outcome = (report: Report): string =>
  report.failure ?? [report.verdict, report.guarantee, ...report.findings.map(({ code }) => code).filter((code) => /anchor|equiv/.test(code))].join(' '); // prettier-ignore

/** Looks at the anchor, and then at the snapshot that was taken on the way; says what came of each. */
async function twice(reader: AnchorReader, bundle = files): Promise<[live: string, later: string]> {
  const { open, bytes } = recording(() => reader, WRITTEN);
  const live = await verifyBundle(memoryReader(bundle), trust, { openAnchor: open });
  const snapshot = readSnapshot(bytes());
  const offline = { openAnchor: openSnapshot(snapshot), snapshotOf: snapshot.takenAt };
  const report = await verifyBundle(memoryReader(bundle), trust, offline);
  assert.deepEqual([report.claim, report.guarantee], ['tamper-detecting', 'detect']);
  return [outcome(live), outcome(report)];
}

const bent = (change: (statement: Json) => void, runId?: string): Buffer =>
  sealOf(keys, events, {
    statement: (each) => {
      if (runId !== undefined) each.predicate.runId = runId;
      change(each);
    },
  });
const forged = resealed(keys, files, (all) => void (all[0].nonce = '0'.repeat(32)));
const forgedSeal = forged.get('seal.sigstore.json')!;
const stamped = Buffer.from(
  JSON.stringify(
    ((file: Json) => {
      const { publicKey, tlogEntries } = file.verificationMaterial;
      const timestampVerificationData = { rfc3161Timestamps: [{ signedTimestamp: 'AAAA' }] };
      return { ...file, verificationMaterial: { publicKey, timestampVerificationData, tlogEntries } };
    })(JSON.parse(seal.toString())),
  ),
);

const cosigned = sealOf(keys, events, {
  signature: () =>
    Buffer.from((JSON.parse(seal.toString()) as Json).dsseEnvelope.signatures[0].sig as string, 'base64'),
  note: (text, line) => `${text}\n${line}${noteLine('w.example', Buffer.alloc(4), Buffer.alloc(72, 1))}`,
});

const FINE = 'verified external-immutable';
const rows: Readonly<Record<string, readonly [AnchorReader, string]>> = {
  'the seal, locked': [holding({}), FINE],
  nothing: [holding(), 'anchor-missing'],
  'only a delete marker': [holding('deleted'), 'anchor-missing'],
  'a delete marker on top': [holding({}, 'deleted'), `${FINE} anchor-foreign-version`],
  'junk before it': [holding({ body: Buffer.from('junk') }, {}), `${FINE} anchor-foreign-version`],
  'junk behind it': [holding({}, { body: Buffer.from('junk') }), `${FINE} anchor-foreign-version`],
  'a seal of a stranger before it': [
    holding({ body: sealOf(forgeKeys(), events) }, {}),
    `${FINE} anchor-foreign-version`,
  ],
  'a second seal of the same key behind it': [holding({}, { body: forgedSeal }), `${FINE} equivocation`],
  'a second seal of the same key before it': [holding({ body: forgedSeal }, {}), 'root-mismatch'],
  'the same seal twice': [holding({}, {}), FINE],
  'a seal of another run only': [holding({ body: bent(() => {}, 'run-10') }), 'anchor-missing'],
  'a seal of another deployment only': [
    holding({ body: bent(({ predicate }) => (predicate.logOrigin = 'other.example')) }),
    'anchor-missing',
  ],
  'another statement of the same key only': [
    holding({ body: bent((each) => (each.predicateType = 'https://slsa.dev/provenance/v1')) }),
    'anchor-missing',
  ],
  'a lock that the owner can lift': [holding({ lockMode: 'GOVERNANCE' }), 'anchor-weak'],
  'no lock': [holding({ lockMode: undefined, retainUntil: undefined }), 'anchor-weak'],
  'a lock without an end': [holding({ retainUntil: undefined }), 'anchor-weak'],
  'a lock that is too short': [holding({ retainUntil: WRITTEN + 30 * DAY - 1 }), 'anchor-weak'],
  'the seal with a time stamp that the bundle lacks': [holding({ body: stamped }), 'stripped'],
  'the seal with a cosignature that the bundle lacks': [holding({ body: cosigned }), 'stripped'],
  // What a bucket keeps whose versioning is suspended: one version, replaced by every write and locked by nobody.
  'the seal in a bucket with suspended versioning': [
    holding({ versionId: 'null', lockMode: undefined, retainUntil: undefined }),
    'anchor-weak',
  ],
  'an unlocked copy from before versioning, and the seal': [
    holding({ versionId: 'null', lockMode: undefined, retainUntil: undefined }, {}),
    'anchor-weak',
  ],
  'another seal from while versioning was suspended': [
    holding({ versionId: 'null', body: forgedSeal }, {}),
    'root-mismatch',
  ],
  'the seal, and junk from while versioning was suspended': [
    holding({}, { versionId: 'null', body: Buffer.from('junk') }),
    `${FINE} anchor-foreign-version`,
  ],
  'two genuine seals of the same second, listed by the server': [
    holding({ lastModified: WRITTEN }, { lastModified: WRITTEN, body: forgedSeal }),
    `${FINE} equivocation`,
  ],
  'what is too long or compressed, before it': [holding('not a seal', {}), `${FINE} anchor-foreign-version`],
};
for (const [what, [reader, expected]] of Object.entries(rows)) {
  // A snapshot condemns what the anchor does, and vouches for nothing.
  const later = expected.startsWith(FINE) ? `${expected.replace(FINE, 'verified detect')} anchor-snapshot` : expected;
  test(`an anchor with ${what}: ${expected}`, async () => assert.deepEqual(await twice(reader), [expected, later]));
}

test('an operator with all keys who rewrites a run that was anchored is found out', async () => {
  assert.equal(outcome(await verifyBundle(memoryReader(forged), trust)), 'verified detect');
  assert.equal(outcome(await check(holding({}), forged)), 'root-mismatch');
  assert.equal(outcome(await check(holding({}, { body: forgedSeal }), forged)), 'root-mismatch');
  const honest = await check(holding({}, { body: forgedSeal }));
  assert.deepEqual([honest.verdict, honest.claim], ['verified', 'tamper-evident']);
});

test('without the check anchor the rewritten run would escape', async () => {
  const options = { openAnchor: () => holding({}) };
  const report = await verifyWith(memoryReader(forged), trust, options, 'anchor');
  const failed = Object.entries(report.checks).filter(([, { result }]) => result === false);
  assert.deepEqual([report.verdict, failed.map(([id]) => id)], ['verified', ['anchor']]);
});

test('a bundle that names the version to look at is none', async () => {
  const named = (change: (file: Json) => void): Files => {
    const file = JSON.parse(seal.toString()) as Json;
    change(file);
    return new Map(files).set('seal.sigstore.json', jcs(file));
  };
  for (const bundle of [
    new Map(files).set('anchor.json', Buffer.from('{"versionId":"v1"}')),
    named((file) => (file.versionId = 'v1')),
    named((file) => (file.verificationMaterial.anchor = { bucket: 'worm', versionId: 'v1' })),
  ]) {
    assert.equal(outcome(await check(holding({ body: Buffer.from('junk') }, {}), bundle)), 'structure');
  }
});

test('an anchor that cannot be reached is neither tampered with nor passed', async () => {
  const down: AnchorReader = {
    versions: () => Promise.reject(new PangolinError('UNAVAILABLE', 'no answer')),
    get: () => Promise.reject(new PangolinError('UNAVAILABLE', 'no answer')),
  };
  const report = await check(down);
  assert.deepEqual([outcome(report), exitCodeOf(report)], ['incomplete detect', 4]);
  assert.equal(report.checks.anchor.result, 'n/a');
  assert.match(report.checks.anchor.detail, /^It cannot be checked because .* gave no answer \(no answer\)\.$/);
  assert.match(renderReport(report), /^INCOMPLETE\./);
  assert.equal(outcome(await check(down, new Map(files).set('notes.txt', Buffer.of(1)))), 'structure');
  const required = await check(down, files, { ...trust, require: { guarantee: 'external-immutable' } });
  assert.deepEqual(required.below, ['guarantee']);
  assert.equal((await check(holding({}), files, { ...trust, require: { guarantee: 'external-immutable' } })).below, undefined); // prettier-ignore
});

test('a snapshot answers for the runs and buckets that were asked for, and only whole', async () => {
  const { open, bytes } = recording(() => holding({}), WRITTEN);
  await verifyBundle(memoryReader(files), trust, { openAnchor: open });
  const snapshot = readSnapshot(bytes());
  for (const change of [
    (listing: Json) => (listing.key += 'x'),
    (listing: Json) => (listing.anchor = 'eu-west-1/other'),
    (listing: Json) => (listing.anchor = 'eu-west-2/worm'),
  ]) {
    const other = structuredClone(snapshot);
    change(other.listings[0]);
    const options = { openAnchor: openSnapshot(other), snapshotOf: other.takenAt };
    const report = await verifyBundle(memoryReader(files), trust, options);
    assert.deepEqual([outcome(report), exitCodeOf(report)], ['incomplete detect', 4]);
    assert.match(report.checks.anchor.detail, /the snapshot of 2026-03-02T00:00:00\.000Z is of other runs or buckets/);
  }
  const required = { ...trust, require: { guarantee: 'external-immutable' as const } };
  const report = await verifyBundle(memoryReader(files), required, { openAnchor: openSnapshot(snapshot), snapshotOf: snapshot.takenAt }); // prettier-ignore
  assert.deepEqual([report.verdict, report.below], ['verified', ['guarantee']]);
  for (const wrong of ['{}', '[]', 'x', ` ${bytes().toString()}`, bytes().toString().replace('COMPLIANCE"', 'COMPLIANCE","x":1,"y":"')]) // prettier-ignore
    assert.throws(() => readSnapshot(Buffer.from(wrong)), { code: 'INVALID', message: /snapshot of the anchors cannot be used/ }); // prettier-ignore
});

test('a listing counts the versions of exactly one key, in the order of the server', () => {
  const version = (key: string, id: string, kind = 'Version'): string =>
    `<${kind}><Key>${key}</Key><VersionId>${id}</VersionId><IsLatest>false</IsLatest></${kind}>`;
  const xml = (body: string): string =>
    `<?xml version="1.0"?><ListVersionsResult xmlns="x">${body}</ListVersionsResult>`;
  const key = 'p q/run-1';
  const text = xml(version('p+q%2Frun-1', '3', 'DeleteMarker') + version('p%20q%2Frun-1', 'null') + version('p+q%2Frun-10', '1')); // prettier-ignore
  assert.deepEqual(readListing(text, key).versions, [
    { versionId: '3', deleteMarker: true },
    { versionId: 'null', deleteMarker: false },
  ]);
  const more = '<IsTruncated>true</IsTruncated><NextKeyMarker>p+q%2Frun-1</NextKeyMarker><NextVersionIdMarker>a</NextVersionIdMarker>'; // prettier-ignore
  assert.deepEqual(readListing(xml(more), key).next, { 'key-marker': key, 'version-id-marker': 'a' });
  assert.equal(readListing(xml(more.replace('run-1<', 'run-10<')), key).next, undefined);
  assert.throws(() => readListing('<html>', key), { code: 'UNAVAILABLE' });
});

test('requests are signed as the AWS documentation has it', () => {
  // "Examples: Signature Calculations", GET Bucket (List Objects).
  const headers = signV4(
    'GET',
    new URL('https://examplebucket.s3.amazonaws.com/?max-keys=2&prefix=J'),
    'us-east-1',
    { accessKeyId: 'AKIAIOSFODNN7EXAMPLE', secretAccessKey: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY' },
    new Date('2013-05-24T00:00:00Z'),
  );
  assert.match(
    headers['authorization']!,
    /Signature=34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7$/,
  );
});
