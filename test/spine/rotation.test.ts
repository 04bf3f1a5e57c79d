/**
 * Bundles from before and after a change of keys (evidence.md §3.10), each judged by the trust document that the deployment exports
 * then. The clock of time stamps is a real `openssl ts`; everything goes through the shipped command.
 */
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TrustDocument } from '@pangolin/contracts/trust';
import type { Report } from '@pangolin/verify/report';
import { makeAuthority, serveAuthority } from '../audit/tsa.ts';
import { blocks, Deployment, runOf, script } from './harness.ts';

test('what was sealed before a rotation stays good, and a revoked key counts only with a time stamp from before', async (t) => {
  const deployment = new Deployment('process');
  t.after(() => deployment.dispose());
  using authority = makeAuthority();
  await using tsa = await serveAuthority(authority);
  writeFileSync(join(deployment.dir, 'tsa.pem'), authority.rootPem);

  const seal = async (run: string, timestamp: readonly object[]): Promise<void> => {
    const state = join(deployment.storage, 'controller');
    mkdirSync(state, { recursive: true });
    writeFileSync(join(state, 'pangolin.yaml'), JSON.stringify({ evidence: { timestamp } }));
    deployment.drop(`${run}.json`, runOf(run, deployment.repo, [{ id: 'one', ...blocks(script('true')) }]));
    const controller = deployment.serve({ untilIdle: true });
    assert.equal((await controller.end()).code, 0, controller.text);
    const bundle = join(deployment.dir, `${run}.json`);
    assert.equal((await deployment.cli('orch', 'audit', run, '--out', bundle)).code, 0);
  };
  const change = async (...args: readonly string[]): Promise<void> => {
    const { code, stderr } = await deployment.cli('key', ...args);
    assert.equal(code, 0, stderr);
  };
  /** What auditors get from now on. */
  const exportTrust = async (name: string): Promise<TrustDocument> => {
    const { code, stdout, stderr } = await deployment.cli('trust', 'export', '--tsa-certificates', join(deployment.dir, 'tsa.pem')); // prettier-ignore
    assert.equal(code, 0, stderr);
    writeFileSync(join(deployment.dir, `${name}.trust.json`), stdout);
    return JSON.parse(stdout) as TrustDocument;
  };
  const judge = async (
    run: string,
    trust: string,
  ): Promise<{ readonly code: number | null; readonly report: Report }> => {
    // prettier-ignore
    const file = join(deployment.dir, `${trust}.trust.json`);
    const { code, stdout } = await deployment.cli('verify', join(deployment.dir, `${run}.json`), '--trust', file, '-o', 'json'); // prettier-ignore
    return { code, report: JSON.parse(stdout) as Report };
  };
  const verified = async (run: string, trust: string, timeTier: Report['timeTier']): Promise<void> => {
    const { code, report } = await judge(run, trust);
    assert.deepEqual([code, report.verdict, report.timeTier], [0, 'verified', timeTier], `${run} under ${trust}: ${JSON.stringify(report.checks)}`); // prettier-ignore
  };
  const refused = async (run: string, trust: string, why: RegExp): Promise<void> => {
    const { code, report } = await judge(run, trust);
    assert.deepEqual([code, report.verdict, report.failure], [1, 'failed', 'time'], `${run} under ${trust}`);
    assert.match(report.checks.time.detail, why);
  };

  await seal('plain', []);
  await seal('stamped', [{ id: 'tsa', url: tsa.url }]);
  const first = await exportTrust('first');
  await change('rotate', '--role', 'seal');
  await change('rotate', '--role', 'attest');
  await seal('after', []);
  await exportTrust('rotated');
  for (const trust of ['first', 'rotated']) {
    await verified('plain', trust, 'asserted');
    await verified('stamped', trust, 'tsa-attested');
  }
  await verified('after', 'rotated', 'asserted');
  const older = await judge('after', 'first');
  assert.deepEqual([older.code, older.report.verdict], [4, 'incomplete']);
  assert.match(older.report.checks.signature.detail, /^It cannot be checked because the trust file has no key/);

  const [old] = first.signers.filter(({ roles }) => roles.includes('seal'));
  await change('revoke', old!.keyid);
  await exportTrust('revoked');
  await verified('stamped', 'revoked', 'tsa-attested');
  await verified('after', 'revoked', 'asserted');
  await refused('plain', 'revoked', /^The key of the seal was revoked at .* and no trusted time says that it was used before\.$/); // prettier-ignore
  // It turns out to have been in wrong hands from the first: now the time stamp speaks against it.
  await change('revoke', old!.keyid, '--at', old!.validFor.start);
  await exportTrust('never');
  await refused('stamped', 'never', /^The key of the seal had been revoked by /);
  await refused('plain', 'never', /no trusted time/);
  await verified('after', 'never', 'asserted');
});
