/**
 * kill -9 of the controller between every two stages of a seal, with a time-stamping authority, a witness and a bucket that each are
 * asked for real: the next controller goes on with the same signature at the same place of the log, and one anchor version.
 */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { CreateBucketCommand, ListObjectVersionsCommand } from '@aws-sdk/client-s3';
import Database from 'better-sqlite3';
import { openKeys, trustDocument } from '@pangolin/controller/audit/keys';
import { trustedSurroundings } from '@pangolin/controller/audit/evidence-options';
import type { EvidenceConfig } from '@pangolin/contracts/config';
import { openS3Place } from '@pangolin/storage/s3-place';
import { openS3Anchor } from '@pangolin/verify/anchor/s3';
import { memoryReader } from '@pangolin/verify/readers/memory';
import { verifyBundle } from '@pangolin/verify/verify';
import { makeAuthority, serveAuthority } from '../audit/tsa.ts';
import { serveWitness } from '../audit/witness-server.ts';
import { rgw } from '../storage/s3-servers.ts';
import { exportedFiles } from './bundles.ts';
import { blocks, Deployment, runOf, script } from './harness.ts';

const credentials = { accessKeyId: 'testaccess', secretAccessKey: 'testsecret' };
const AWS = { AWS_ACCESS_KEY_ID: credentials.accessKeyId, AWS_SECRET_ACCESS_KEY: credentials.secretAccessKey };
const preload = `--import ${new URL('./kill-point.mjs', import.meta.url).href}`;

/** Where the controllers of one run die, one after the other. Points of kill-point.mjs. */
const lives: Readonly<Record<string, readonly string[]>> = {
  first: ['write:events#1:before', 'write:statements#1:after', 'ask:timestamp#1:before', 'ask:timestamp#1:after'],
  second: ['write:tile#1:before', 'write:tile#2:after', 'write:checkpoint#1:before', 'write:checkpoint#1:after'],
  third: ['ask:witness#2:before', 'ask:witness#2:after', 'write:checkpoint#1:before', 'write:checkpoint#1:after'],
  fourth: ['anchor:run#1:before', 'anchor:run#1:after', 'write:seal#1:before', 'write:seal#1:after'],
  fifth: ['anchor:checkpoint#1:before', 'anchor:checkpoint#1:after'],
};

interface Row {
  readonly sig: Buffer | null;
  readonly tokens: string | null;
  readonly log_index: number | null;
  readonly checkpoint_size: number | null;
}

test('killed between any two stages, a seal is completed as it was begun', { skip: rgw.skip ?? false }, async (t) => {
  assert.notEqual(rgw.endpoint, '', 'in CI every S3 server must be there');
  const deployment = new Deployment('process');
  t.after(() => deployment.dispose());
  const state = join(deployment.storage, 'controller');
  mkdirSync(state, { recursive: true });
  const keys = await openKeys(join(state, 'keys'));
  using authority = makeAuthority();
  await using tsa = await serveAuthority(authority);
  await using witness = await serveWitness(keys.log.note, 'w.example');
  const bucket = `crash-${randomUUID()}`;
  const { client } = openS3Place(`s3://${bucket}?endpoint=${rgw.endpoint}`, { credentials });
  await client.send(new CreateBucketCommand({ Bucket: bucket, ObjectLockEnabledForBucket: true }));
  const evidence: EvidenceConfig = {
    timestamp: [{ id: 'tsa', url: `${tsa.url}tsa` }],
    witnesses: [{ name: 'w', url: witness.url, vkey: witness.vkey }],
    anchors: [{ id: 'worm', type: 's3-object-lock', bucket, region: 'us-east-1', endpoint: rgw.endpoint, retentionDays: 1 }], // prettier-ignore
  };
  writeFileSync(join(state, 'pangolin.yaml'), JSON.stringify({ evidence }));
  const trust = { ...trustDocument(keys), ...trustedSurroundings(evidence), tsaRoots: [authority.rootPem] };

  const sealOf = (run: string): Row | undefined => {
    const db = new Database(join(state, 'state.db'));
    try {
      return db.prepare('SELECT sig, tokens, log_index, checkpoint_size FROM seal WHERE run_id = ?').get(run) as Row;
    } finally {
      db.close();
    }
  };
  let kills = 0;
  const live = async (at: string | undefined): Promise<void> => {
    const env = at === undefined ? {} : { NODE_OPTIONS: preload, PANGOLIN_TEST_KILL: at };
    const controller = deployment.serve({ untilIdle: true, env: { ...AWS, ...env } });
    const { code, signal } = await controller.end();
    if (signal === 'SIGKILL') kills++;
    else assert.equal(code, 0, controller.text);
  };
  for (const [run, points] of Object.entries(lives)) {
    deployment.drop(`${run}.json`, runOf(run, deployment.repo, [{ id: 'one', ...blocks(script('true')) }]));
    let before: Row | undefined;
    for (const at of [...points, undefined]) {
      await live(at);
      const row = sealOf(run);
      for (const [name, value] of Object.entries(before ?? {})) {
        if (value !== null) assert.deepEqual(row![name as keyof Row], value, `${run}: ${name} after ${at}`);
      }
      before = row;
    }
    const report = await verifyBundle(memoryReader(await exportedFiles(deployment.storage, run)), trust, {
      expectRun: run,
      openAnchor: (anchor) => openS3Anchor(anchor, credentials),
    });
    assert.deepEqual([report.verdict, report.guarantee, report.timeTier, report.checks.anchor.result], ['verified', 'witnessed', 'tsa-attested', true], JSON.stringify(report.checks)); // prettier-ignore
  }
  const planned = Object.values(lives).flat().length;
  assert.equal(kills, planned, 'every kill hit');
  const { Versions: versions = [], DeleteMarkers: markers = [] } = await client.send(new ListObjectVersionsCommand({ Bucket: bucket })); // prettier-ignore
  const runs = Object.keys(lives).length;
  assert.deepEqual([versions.length, markers.length], [2 * runs, 0], 'one version of each seal and checkpoint');
  assert.equal(witness.seen()!.size, runs);
  assert.match(readFileSync(join(deployment.storage, 'log', 'checkpoint'), 'utf8'), new RegExp(`\\n${runs}\\n`));
});
