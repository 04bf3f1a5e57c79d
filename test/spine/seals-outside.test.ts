/**
 * A served deployment with everybody who can vouch from outside, real or by the letter: `openssl ts` behind HTTP, witnesses, and an
 * S3 server's Object Lock behind a proxy that answers 503 for as long as it is told to. Driven and checked with the shipped command.
 */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { CreateBucketCommand } from '@aws-sdk/client-s3';
import type { EvidenceStatus } from '@pangolin/contracts/evidence-status';
import { NOTE_ED25519, rawOfEd25519, type NoteKey } from '@pangolin/contracts/note';
import type { TrustDocument } from '@pangolin/contracts/trust';
import { openS3Place } from '@pangolin/storage/s3-place';
import type { Report } from '@pangolin/verify/report';
import { makeAuthority, serveAuthority, serveHttp } from '../audit/tsa.ts';
import { serveWitness } from '../audit/witness-server.ts';
import { pangolin, type Result } from '../cli/harness.ts';
import { faultProxy } from '../storage/fault-proxy.ts';
import { rgw } from '../storage/s3-servers.ts';
import { blocks, Deployment, runOf, script } from './harness.ts';
import { poll } from '../poll.ts';

const credentials = { accessKeyId: 'testaccess', secretAccessKey: 'testsecret' };
const AWS = { AWS_ACCESS_KEY_ID: credentials.accessKeyId, AWS_SECRET_ACCESS_KEY: credentials.secretAccessKey };

async function newBucket(): Promise<string> {
  assert.notEqual(rgw.endpoint, '', 'in CI every S3 server must be there');
  const bucket = `worm-${randomUUID()}`;
  const { client } = openS3Place(`s3://${bucket}?endpoint=${rgw.endpoint}`, { credentials });
  await client.send(new CreateBucketCommand({ Bucket: bucket, ObjectLockEnabledForBucket: true }));
  return bucket;
}

/** The shipped command on a deployment's storage, with credentials of the bucket. */
async function cli(deployment: Deployment, line: string, code = 0): Promise<Result> {
  const env = { ...AWS, PANGOLIN_STORAGE: deployment.storage };
  const result = await pangolin(line.split(' '), { cwd: deployment.dir, env });
  assert.equal(result.code, code, `pangolin ${line}\n${result.stderr}\n${result.stdout}`);
  return result;
}

function configure(deployment: Deployment, evidence: object): void {
  const dir = join(deployment.storage, 'controller');
  mkdirSync(dir, { recursive: true });
  writeFileSync(join(dir, 'pangolin.yaml'), JSON.stringify({ evidence }));
}

async function logKeyOf(deployment: Deployment): Promise<NoteKey> {
  await cli(deployment, 'key init');
  const { origin, trustedRoot } = JSON.parse((await cli(deployment, 'trust export')).stdout) as TrustDocument;
  const spki = Buffer.from(trustedRoot.tlogs[0]!.publicKey.rawBytes, 'base64');
  return { name: origin, type: NOTE_ED25519, publicKey: rawOfEd25519(spki)! };
}

const drop = (deployment: Deployment, run: string): void =>
  deployment.drop(`${run}.json`, runOf(run, deployment.repo, [{ id: 'one', ...blocks(script('true')) }]));

/** What the report finds, but for how the process provider isolates. */
const lackOf = ({ findings }: Report): string[] =>
  findings.flatMap(({ code }) => (code === 'shared-user' || code === 'sandbox-weaker-than-asked' ? [] : code)).sort();

describe('a deployment that others vouch for', { skip: rgw.skip }, () => {
  test('time stamp, witnesses and a bucket that comes back: attested, witnessed and immutable, and the lag shows', async (t) => {
    const deployment = new Deployment('process');
    t.after(() => deployment.dispose());
    const log = await logKeyOf(deployment);
    using authority = makeAuthority();
    await using tsa = await serveAuthority(authority);
    await using one = await serveWitness(log, 'one.example');
    await using two = await serveWitness(log, 'two.example');
    const bucket = await newBucket();
    const proxy = await faultProxy(rgw.endpoint);
    t.after(() => proxy.close());
    const anchor = { id: 'worm', type: 's3-object-lock', bucket, region: 'us-east-1', endpoint: proxy.endpoint, retentionDays: 1 }; // prettier-ignore
    configure(deployment, {
      timestamp: [{ id: 'tsa', url: tsa.url }],
      witnesses: [one, two].map(({ name, url, vkey }) => ({ name, url, vkey })),
      anchors: [anchor],
    });
    let down = true;
    proxy.fault = () => (down ? { kind: 'status', status: 503, code: 'SlowDown' } : undefined);

    drop(deployment, 'first');
    const controller = deployment.serve({ env: AWS });
    const behind = await poll('the lag shows', async () => {
      const { stdout } = await cli(deployment, 'orch status -o json');
      const { evidence } = JSON.parse(stdout) as { evidence?: EvidenceStatus };
      return evidence?.waiting[0]?.error === undefined ? undefined : evidence;
    });
    assert.equal(behind.pending, 1);
    assert.equal(behind.waiting[0]!.waitsFor, 'anchor');
    assert.match(behind.waiting[0]!.error!, /the anchor worm: .*SlowDown/);
    const states = behind.services.map(({ kind, id, state }) => `${kind} ${id} ${state}`).sort();
    assert.deepEqual(states, ['anchor worm failing', 'timestamp tsa ok', 'witness one.example ok', 'witness two.example ok']); // prettier-ignore
    assert.match(
      (await cli(deployment, 'orch status first')).stderr,
      /The seal of first waits for anchor since .*SlowDown/,
    );
    const doctor = JSON.parse((await cli(deployment, 'doctor -o json')).stdout) as { checks: { name: string; status: string; message: string }[] }; // prettier-ignore
    const finding = doctor.checks.find(({ name }) => name === 'evidence')!;
    assert.equal(finding.status, 'warn');
    assert.match(finding.message, /The anchor worm fails since/);
    // Work goes on meanwhile.
    drop(deployment, 'second');
    await poll('a later run finishes', async () =>
      (await deployment.status('second').catch(() => undefined))?.phase === 'succeeded' ? true : undefined,
    );
    assert.match((await cli(deployment, 'orch audit first --out early.json', 6)).stderr, /is not sealed yet/);

    down = false;
    for (const run of ['first', 'second']) {
      await poll(`${run} is sealed`, async () => (await deployment.status(run)).sealedAt);
    }
    await controller.stop();
    assert.equal(JSON.parse((await cli(deployment, 'orch status -o json')).stdout).evidence.pending, 0);

    writeFileSync(join(deployment.dir, 'tsa.pem'), authority.rootPem);
    const document = JSON.parse((await cli(deployment, 'trust export --tsa-certificates tsa.pem')).stdout) as TrustDocument; // prettier-ignore
    const verify = async (run: string, trust: TrustDocument, flags: string): Promise<Report> => {
      writeFileSync(join(deployment.dir, 'trust.json'), JSON.stringify(trust));
      return JSON.parse(
        (await cli(deployment, `verify ${run}.json --trust trust.json --run ${run} ${flags} -o json`)).stdout,
      ) as Report;
    };
    for (const run of ['first', 'second']) {
      await cli(deployment, `orch audit ${run} --out ${run}.json`);
      const report = await verify(run, { ...document, require: { guarantee: 'witnessed', timeTier: 'tsa-attested' } }, run === 'second' ? '--anchor live --anchor-snapshot kept.json' : '--anchor live'); // prettier-ignore
      assert.deepEqual([report.verdict, report.claim, report.guarantee, report.timeTier], ['verified', 'tamper-evident', 'witnessed', 'tsa-attested']); // prettier-ignore
      assert.deepEqual([report.timestamps, report.cosignatures, report.checks.anchor.result], [1, 2, true]);
      assert.deepEqual(lackOf(report), []); // prettier-ignore
      // When the first was opened there was no log that a witness could have seen.
      const { notBefore, notAfter } = report.timeBracket;
      assert.deepEqual([notBefore === undefined, notAfter === undefined], [run === 'first', false]);
      // What the bucket said is kept, and read again without it.
      const isKept = run === 'second';
      const offline = await verify(run, document, isKept ? '--anchor snapshot --anchor-snapshot kept.json' : '--anchor off'); // prettier-ignore
      assert.equal(offline.findings.some(({ code }) => code === 'anchor-snapshot'), isKept); // prettier-ignore
      assert.equal(offline.checks.anchor.result, isKept ? true : 'n/a');
      assert.deepEqual([offline.guarantee, offline.claim], ['witnessed', 'tamper-evident']);
    }
  });

  test('everybody outside fails in a way of their own: every run is sealed, and says what it lacks', async (t) => {
    const deployment = new Deployment('process');
    t.after(() => deployment.dispose());
    const log = await logKeyOf(deployment);
    await using hanging = await serveHttp(() => {});
    await using liar = await serveWitness(log, 'liar.example', { text: (text) => text.replace(/\n\d+\n/, '\n999\n') });
    await using late = await serveWitness(log, 'late.example', { time: () => 4_000_000_000n });
    const ask = (patience: object): void =>
      configure(deployment, {
        timestamp: [{ id: 'tsa', url: hanging.url, ...patience }],
        witnesses: [liar, late].map(({ name, url, vkey }) => ({ name, url, vkey })),
      });
    ask({});
    drop(deployment, 'run');
    const controller = deployment.serve();
    await poll('it asks', () => (hanging.requests() > 0 ? true : undefined));
    // The run is finished while its seal hangs, and another one is admitted and done.
    drop(deployment, 'other');
    await poll('both runs finish', async () => {
      const phases = await Promise.all(['run', 'other'].map((run) => deployment.status(run).catch(() => undefined)));
      return phases.every((status) => status?.phase === 'succeeded') ? true : undefined;
    });
    const waiting = JSON.parse((await cli(deployment, 'orch status run -o json')).stdout).seal;
    assert.equal(waiting?.waitsFor, 'timestamp');
    // Stopping does not wait for it; the next controller goes on with the same signature.
    await controller.stop();
    ask({ timeout: '1s' });
    const next = deployment.serve({ untilIdle: true });
    assert.equal((await next.end()).code, 0, next.text);
    assert.match(next.text, /a seal goes without: the time-stamping authority tsa: 127\.0\.0\.1:\d+ gave no answer/);
    assert.match(next.text, /a seal goes without: the witness liar\.example: its cosignature does not verify/);
    assert.match(next.text, /a seal goes without: the witness late\.example: its clock says 2096/);
    const { evidence } = JSON.parse((await cli(deployment, 'orch status -o json')).stdout) as {
      evidence: EvidenceStatus;
    };
    assert.deepEqual(evidence.services.map(({ id, state }) => `${id} ${state}`).sort(), ['late.example failing', 'liar.example failing', 'tsa failing']); // prettier-ignore
    assert.ok(evidence.services.every(({ missed }) => missed > 0));
    await cli(deployment, 'orch audit run --out run.json');
    const report = JSON.parse((await cli(deployment, 'verify run.json -o json')).stdout) as Report;
    assert.deepEqual([report.verdict, report.guarantee, report.timeTier], ['verified', 'detect', 'asserted']);
    assert.deepEqual(lackOf(report), ['quorum-not-met', 'timestamp-missing', 'witnesses-missing']); // prettier-ignore
  });
});
