/**
 * A served run that goes on for long enough to get heads, while its controller is killed before and after every write of one.
 * Driven and checked with the shipped command.
 */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { CHECKPOINT, headsKey } from '@pangolin/contracts/layout';
import type { LogReport } from '@pangolin/verify/log/check-log';
import type { Report } from '@pangolin/verify/report';
import { blocks, Deployment, runOf, script } from './harness.ts';
import { poll } from '../poll.ts';

const preload = `--import ${new URL('./kill-point.mjs', import.meta.url).href}`;

test('a run that goes on is committed to by the log, whatever becomes of its controllers', async (t) => {
  const deployment = new Deployment('process');
  t.after(() => deployment.dispose());
  const state = join(deployment.storage, 'controller');
  mkdirSync(state, { recursive: true });
  const configure = (headEvery: string): void =>
    writeFileSync(join(state, 'pangolin.yaml'), JSON.stringify({ evidence: { headEvery } }));
  configure('10ms');
  const often = await deployment.serve().end();
  assert.equal(often.code, 2, 'more often than the least is refused');
  configure('1s');
  const work = blocks(script('true'));
  const items = [
    { id: 'build', ...work },
    { id: 'ship', executor: 'approval', depends_on: ['build'] },
    { id: 'tell', ...work, depends_on: ['ship'] },
  ];
  deployment.drop('long.json', runOf('long', deployment.repo, items));
  for (const at of [
    'write:heads#1:before',
    'write:heads#1:after',
    'write:checkpoint#1:before',
    'write:checkpoint#1:after',
  ]) {
    // prettier-ignore
    const controller = deployment.serve({ env: { NODE_OPTIONS: preload, PANGOLIN_TEST_KILL: at } });
    const { signal } = await controller.end();
    assert.equal(signal, 'SIGKILL', `${at}\n${controller.text}`);
  }
  const controller = deployment.serve();
  await poll('the log has a head', () => existsSync(join(deployment.storage, CHECKPOINT)));
  await poll('it waits for a person', async () => (await deployment.status('long')).items[1]?.phase === 'waiting');
  assert.equal((await deployment.cli('orch', 'approve', 'long/ship')).code, 0);
  await poll('the run is sealed', async () => (await deployment.status('long')).sealedAt);
  await controller.stop();

  const heads = readFileSync(join(deployment.storage, headsKey('long')), 'utf8').split('\n').length - 1;
  assert.ok(heads >= 1);
  const log = await deployment.json<LogReport>('log', 'check');
  assert.deepEqual([log.verdict, log.size, log.heads, log.seals], ['consistent', heads + 1, heads, 1]);
  const bundle = join(deployment.dir, 'long.json');
  assert.equal((await deployment.cli('orch', 'audit', 'long', '--out', bundle)).code, 0);
  const report = await deployment.json<Report>('verify', bundle, '--run', 'long');
  assert.deepEqual([report.verdict, report.heads!.count], ['verified', heads]);
  assert.ok(report.heads!.longestMs < Date.parse(report.run!.completedAt!) - Date.parse(report.run!.submittedAt));
  const { stdout } = await deployment.cli('verify', bundle);
  assert.match(stdout, new RegExp(`the log committed to it ${heads} time`));
});
