import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createPublicKey, X509Certificate } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { bundleFromJSON, type SerializedBundle } from '@sigstore/bundle';
import { TrustedRoot } from '@sigstore/protobuf-specs';
import { toSignedEntity, toTrustMaterial, Verifier } from '@sigstore/verify';
import { parseCanonical } from '@pangolin/contracts/canonical';
import type { PangolinError } from '@pangolin/contracts/errors';
import { sealKey } from '@pangolin/contracts/layout';
import type { SigstoreBundle } from '@pangolin/contracts/sigstore-bundle';
import type { TrustDocument } from '@pangolin/contracts/trust';
import { trustDocument } from '@pangolin/controller/audit/keys';
import { rfc3161Authority } from '@pangolin/controller/audit/timestamps/rfc3161';
import { exportBundle } from '@pangolin/storage/bundle';
import { memoryReader } from '@pangolin/verify/readers/memory';
import type { Report } from '@pangolin/verify/report';
import { verifyBundle } from '@pangolin/verify/verify';
import { makeAuthority, reply, serveAuthority, serveHttp, type KeyKind } from './tsa.ts';
import { openWorld, recordRun, type World } from './world.ts';

const quick = { timeoutMs: 5000, tries: 2, pauseMs: 1, restMs: 60_000 };

async function check(world: World, runId: string, trust: TrustDocument): Promise<Report> {
  const files = new Map<string, Buffer>();
  for await (const { name, body } of exportBundle(world.store, runId)) files.set(name, body);
  return verifyBundle(memoryReader(files), trust);
}

async function sealOf(world: World, runId: string): Promise<SigstoreBundle> {
  return parseCanonical(await world.store.get(sealKey(runId))) as SigstoreBundle;
}
const tokensOf = (seal: SigstoreBundle): Buffer[] =>
  (seal.verificationMaterial.timestampVerificationData?.rfc3161Timestamps ?? []).map(({ signedTimestamp }) =>
    Buffer.from(signedTimestamp, 'base64'),
  );

const kinds: readonly (readonly [KeyKind, boolean])[] = [
  ['P-256', false],
  ['P-384', true],
  ['P-521', false],
  ['rsa:2048', true],
];
for (const [kind, intermediate] of kinds) {
  test(`a seal with a time stamp of a ${kind} authority is attested, and openssl and sigstore-js agree`, async () => {
    using authority = makeAuthority({ kind, intermediate });
    await using served = await serveAuthority(authority);
    await using world = await openWorld();
    await recordRun(world, 'a');
    const { error } = await world
      .sealer({ timestamps: [rfc3161Authority({ id: 'tsa', url: served.url, ...quick })] })
      .advance();
    assert.equal(error, undefined);
    const trust = trustDocument(world.keys);
    const tsaRoots = [authority.rootPem, ...(intermediate ? [authority.intermediatePem!] : [])];
    const report = await check(world, 'a', { ...trust, tsaRoots });
    assert.equal(report.verdict, 'verified', JSON.stringify(report.checks));
    assert.equal(report.timeTier, 'tsa-attested');
    assert.equal(report.claim, 'tamper-detecting');
    assert.ok(report.sealDelayMs! > 0);

    const seal = await sealOf(world, 'a');
    const signature = Buffer.from(seal.dsseEnvelope.signatures[0].sig, 'base64');
    const file = (name: string, bytes: Uint8Array | string): string => {
      writeFileSync(join(authority.dir, name), bytes);
      return join(authority.dir, name);
    };
    const args = ['ts', '-verify', '-data', file('sig', signature), '-in', file('token', tokensOf(seal)[0]!)];
    args.push('-CAfile', file('ca', authority.rootPem), '-untrusted', file('pool', tsaRoots.join('')));
    assert.match(execFileSync('openssl', args, { encoding: 'utf8', stdio: 'pipe' }), /Verification: OK/);

    const pems = [authority.signerPem, ...(intermediate ? [authority.intermediatePem!] : []), authority.rootPem];
    const certificates = pems.map((pem) => ({ rawBytes: new X509Certificate(pem).raw.toString('base64') }));
    const timestampAuthorities = [{ uri: served.url, subject: { organization: 'Test', commonName: 'Test TSA' }, certChain: { certificates }, validFor: { start: '2026-01-01T00:00:00Z' } }]; // prettier-ignore
    const trustedRoot = { ...trust.trustedRoot, timestampAuthorities };
    assert.equal((await check(world, 'a', { ...trust, trustedRoot })).timeTier, 'tsa-attested');
    const publicKey = createPublicKey({ key: world.keys.seal.publicKey, format: 'der', type: 'spki' });
    const root = TrustedRoot.fromJSON(JSON.parse(JSON.stringify(trustedRoot)));
    const material = toTrustMaterial(root, () => ({ publicKey, validFor: () => true }));
    const verifier = new Verifier(material, { tlogThreshold: 1, ctlogThreshold: 0, timestampThreshold: 1 });
    const verify = (bundle: unknown): unknown =>
      verifier.verify(toSignedEntity(bundleFromJSON(bundle as SerializedBundle)));
    verify(seal);
    const { timestampVerificationData: _, ...bare } = seal.verificationMaterial;
    assert.throws(() => verify({ ...seal, verificationMaterial: bare }), { code: 'TIMESTAMP_ERROR' });
  });
}

test('two authorities: both have to hold, and each is in the seal once', async () => {
  using first = makeAuthority();
  using second = makeAuthority({ kind: 'rsa:2048' });
  await using one = await serveAuthority(first);
  await using two = await serveAuthority(second);
  await using world = await openWorld();
  await recordRun(world, 'a');
  const authorities = [one, two].map(({ url }, at) => rfc3161Authority({ id: `tsa-${at}`, url, ...quick }));
  await world.sealer({ timestamps: authorities }).advance();
  const trust = trustDocument(world.keys);
  const both = await check(world, 'a', { ...trust, tsaRoots: [first.rootPem, second.rootPem] });
  assert.deepEqual([both.verdict, both.timestamps], ['verified', 2]);
  const alone = await check(world, 'a', { ...trust, tsaRoots: [first.rootPem] });
  assert.deepEqual([alone.verdict, alone.failure], ['failed', 'time']);
  const unknown = await check(world, 'a', trust);
  assert.deepEqual([unknown.verdict, unknown.timeTier], ['verified', 'asserted']);
  assert.ok(unknown.findings.some(({ code }) => code === 'timestamp-of-a-stranger'));
});

const outages: readonly (readonly [string, Parameters<typeof serveHttp>[0], number])[] = [
  ['hangs', () => {}, 2],
  ['stops in the middle', (_, response) => void response.writeHead(200, { 'content-length': '900' }).write('x'), 2],
  ['answers 503', (_, response) => void response.writeHead(503).end(), 2],
  ['answers garbage', (_, response) => void response.writeHead(200, { 'content-type': 'application/timestamp-reply' }).end('garbage'), 1], // prettier-ignore
  ['answers a page', (_, response) => void response.writeHead(200, { 'content-type': 'text/html' }).end('<p>'), 1],
  ['floods', (_, response) => void response.writeHead(200, { 'content-type': 'application/timestamp-reply' }).end(Buffer.alloc(200_000)), 2], // prettier-ignore
  ['sends elsewhere', (_, response) => void response.writeHead(302, { location: 'http://127.0.0.1:1/' }).end(), 2],
];
for (const [what, answer, requests] of outages) {
  test(`an authority that ${what} delays no seal for good: it goes without, and says so`, async () => {
    await using served = await serveHttp(answer);
    await using world = await openWorld();
    for (const runId of ['a', 'b']) await recordRun(world, runId);
    const problems: PangolinError[] = [];
    const authority = rfc3161Authority({
      id: 'tsa',
      url: served.url,
      ...quick,
      timeoutMs: 100,
      onGivenUp: (problem) => void problems.push(problem),
    });
    const progress = await world.sealer({ timestamps: [authority] }).advance();
    assert.deepEqual([[...progress.sealed].sort(), progress.pending, progress.error], [['a', 'b'], 0, undefined]);
    assert.ok(problems.length >= 1);
    assert.match(problems[0]!.message, /the time-stamping authority tsa/);
    assert.ok(served.requests() >= requests);
    const report = await check(world, 'a', trustDocument(world.keys));
    assert.deepEqual([report.verdict, report.timeTier], ['verified', 'asserted']);
    assert.ok(report.findings.some(({ code }) => code === 'timestamp-missing'));
  });
}

test('a token that no auditor would accept is left out: it would spoil the seal', async () => {
  using authority = makeAuthority();
  await using served = await serveAuthority(authority);
  await using bent = await serveHttp(async (query, response) => {
    const token = await reply(authority, query);
    // The signature is the last thing in it.
    token[token.length - 1]! ^= 1;
    response.writeHead(200, { 'content-type': 'application/timestamp-reply' }).end(token);
  });
  const problems: string[] = [];
  const ask = (url: string, now = Date.now) =>
    rfc3161Authority({ id: 'tsa', url, now, ...quick, onGivenUp: ({ message }) => void problems.push(message) });
  await using world = await openWorld();
  await recordRun(world, 'a');
  const timestamps = [ask(bent.url), ask(served.url, () => Date.now() + 3_600_000)];
  assert.deepEqual(await world.sealer({ timestamps }).advance(), { sealed: ['a'], pending: 0 });
  assert.deepEqual(tokensOf(await sealOf(world, 'a')), []);
  for (const [at, why] of [/does not verify/, /its clock says .* and ours/].entries()) {
    assert.match(problems[at]!, why);
  }
  const report = await check(world, 'a', { ...trustDocument(world.keys), tsaRoots: [authority.rootPem] });
  assert.deepEqual([report.verdict, report.timeTier], ['verified', 'asserted']);
  assert.ok(report.findings.some(({ code }) => code === 'timestamp-missing'));
});

test('a controller that stops gives up no time stamp: the next one asks again', async () => {
  await using silent = await serveHttp(() => {});
  await using world = await openWorld();
  await recordRun(world, 'a');
  const stop = new AbortController();
  const timestamps = [rfc3161Authority({ id: 'tsa', url: silent.url, signal: stop.signal })];
  const advance = world.sealer({ timestamps }).advance();
  while (silent.requests() === 0) await new Promise((resolve) => setImmediate(resolve));
  stop.abort();
  const { sealed, error } = await advance;
  assert.deepEqual([sealed, world.evidence.sealOf('a')!.stage], [[], 'signed']);
  assert.match(error!.message, /the controller stops/);
});

test('an authority that was given up is left alone for a while', async () => {
  await using served = await serveHttp((_, response) => void response.writeHead(503).end());
  const authority = rfc3161Authority({ id: 'tsa', url: served.url, ...quick });
  assert.equal(await authority.stamp(Buffer.from('x')), undefined);
  const asked = served.requests();
  assert.equal(asked, 2);
  assert.equal(await authority.stamp(Buffer.from('y')), undefined);
  assert.equal(served.requests(), asked);
});

test('a replayed answer is not taken: it answers another request', async () => {
  using authority = makeAuthority();
  await using honest = await serveAuthority(authority);
  let recorded: Buffer | undefined;
  await using replay = await serveHttp(async (query, response) => {
    recorded ??= Buffer.from(await (await fetch(honest.url, { method: 'POST', body: query })).arrayBuffer());
    response.writeHead(200, { 'content-type': 'application/timestamp-reply' }).end(recorded);
  });
  const problems: string[] = [];
  const tsa = rfc3161Authority({
    id: 'tsa',
    url: replay.url,
    ...quick,
    onGivenUp: ({ message }) => void problems.push(message),
  });
  assert.ok(await tsa.stamp(Buffer.from('x')));
  assert.equal(await tsa.stamp(Buffer.from('x')), undefined);
  assert.match(problems[0]!, /answers another request/);
  assert.equal(await tsa.stamp(Buffer.from('y')), undefined);
  assert.match(problems[1]!, /something else than was sent/);
});

test('a request with a weak hash is refused by the authority itself', () => {
  using authority = makeAuthority();
  writeFileSync(join(authority.dir, 'data'), 'data');
  execFileSync('openssl', ['ts', '-query', '-data', 'data', '-md5', '-out', 'weak'], {
    cwd: authority.dir,
    stdio: 'pipe',
  });
  execFileSync('openssl', ['ts', '-reply', '-config', 'tsa.cnf', '-queryfile', 'weak', '-out', 'r'], { cwd: authority.dir, stdio: 'pipe' }); // prettier-ignore
  assert.match(execFileSync('openssl', ['ts', '-reply', '-in', 'r', '-text'], { cwd: authority.dir, encoding: 'utf8', stdio: 'pipe' }), /Rejected/); // prettier-ignore
});
