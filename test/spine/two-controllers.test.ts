/**
 * Two controllers on one storage: whoever they are, the evidence stays one line. Real processes; one of them is stopped in the
 * middle by SIGSTOP, which is what a suspended machine looks like to the others.
 */
import assert from 'node:assert/strict';
import { cpSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { CHECKPOINT } from '@pangolin/contracts/layout';
import type { LogReport } from '@pangolin/verify/log/check-log';
import { blocks, Deployment, runOf, script } from './harness.ts';
import { poll } from '../poll.ts';

const preload = `--import ${new URL('./kill-point.mjs', import.meta.url).href}`;
const AN_HOUR_AHEAD = { NODE_OPTIONS: preload, PANGOLIN_TEST_CLOCK_MS: '3600000' };

const drop = (deployment: Deployment, run: string): void =>
  deployment.drop(`${run}.json`, runOf(run, deployment.repo, [{ id: 'one', ...blocks(script('true')) }]));
const sealed = (deployment: Deployment, run: string): Promise<string> =>
  poll(`${run} is sealed`, async () => (await deployment.status(run).catch(() => undefined))?.sealedAt);

async function oneLine(deployment: Deployment, runs: readonly string[]): Promise<void> {
  const log = await deployment.json<LogReport>('log', 'check');
  assert.deepEqual([log.verdict, log.size, log.seals, log.foreign], ['consistent', runs.length, runs.length, 0], JSON.stringify(log)); // prettier-ignore
  for (const run of runs) await deployment.verified(run);
}

test('of two that start at once one serves; a stranger is kept out, also when the lease has run out', async (t) => {
  const deployment = new Deployment('process');
  t.after(() => deployment.dispose());
  drop(deployment, 'first');
  const both = [deployment.serve(), deployment.serve()];
  const ends = both.map(({ child }) => new Promise<number>((resolve) => child.once('close', () => resolve(both.findIndex((each) => each.child === child))))); // prettier-ignore
  const loser = both[await Promise.race(ends)]!;
  assert.equal((await loser.end()).code, 4, loser.text);
  assert.match(loser.text, /another controller/);
  await sealed(deployment, 'first');
  // With keys of its own it is no deployment that has lost its state.
  const stranger = join(deployment.dir, 'elsewhere');
  const init = await deployment.cli('key', 'init', '--state', stranger);
  assert.equal(init.code, 0, init.stderr);
  const early = await deployment.serve({ args: ['--state', stranger] }).end();
  assert.equal(early.code, 4, 'the lease is held');
  const winner = both.find((each) => each !== loser)!;
  winner.child.kill('SIGKILL');
  await winner.end();
  // With a log of its own it would fork what is published.
  const late = deployment.serve({ args: ['--state', stranger], env: AN_HOUR_AHEAD });
  assert.equal((await late.end()).code, 4, late.text);
  assert.match(late.text, /is not signed by the log .* of these keys/);
  drop(deployment, 'second');
  const next = deployment.serve({ untilIdle: true, env: AN_HOUR_AHEAD });
  assert.equal((await next.end()).code, 0, next.text);
  await oneLine(deployment, ['first', 'second']);
});

test('a controller that slept while a copy of it went on adds nothing to the log when it wakes up', async (t) => {
  const deployment = new Deployment('process');
  t.after(() => deployment.dispose());
  drop(deployment, 'first');
  const sleeper = deployment.serve();
  await sealed(deployment, 'first');
  sleeper.child.kill('SIGSTOP');
  const copy = join(deployment.dir, 'copy');
  cpSync(join(deployment.storage, 'controller'), copy, { recursive: true });
  drop(deployment, 'second');
  const copied = deployment.serve({ untilIdle: true, args: ['--state', copy] });
  assert.equal((await copied.end()).code, 0, copied.text);
  const checkpoint = readFileSync(join(deployment.storage, CHECKPOINT), 'utf8');
  // It may take this one in before it looks at its lease again; it cannot seal it.
  drop(deployment, 'third');
  sleeper.child.kill('SIGCONT');
  assert.equal((await sleeper.end()).code, 4, sleeper.text);
  assert.equal(readFileSync(join(deployment.storage, CHECKPOINT), 'utf8'), checkpoint, 'it has added nothing');
  await oneLine(deployment, ['first', 'second']);
  // The database that slept is behind the log now, and never goes on.
  const stale = deployment.serve({ env: AN_HOUR_AHEAD });
  assert.equal((await stale.end()).code, 4, stale.text);
  assert.match(stale.text, /the storage has (a|another) log of 2 entries/);
});
