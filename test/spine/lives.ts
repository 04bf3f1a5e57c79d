/** Controllers that are killed. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { memoryReader } from '@pangolin/verify/readers/memory';
import { parseTrustFile } from '@pangolin/verify/trust-file';
import { verifyBundle } from '@pangolin/verify/verify';
import { exportedFiles } from './bundles.ts';
import type { Deployment, ServeOptions } from './harness.ts';

/**
 * The lives of the controllers of one run: where each of them is killed, the last one is not. `POINT#N:before|after` are points of
 * kill-point.mjs; `log:MESSAGE#N` is killed from outside when it has said that.
 */
export type Lives = readonly string[];

const preload = `--import ${new URL('./kill-point.mjs', import.meta.url).href}`;

/** Serves until idle or killed, with these arguments and this environment besides. Answers whether it was killed. */
export async function live(
  deployment: Deployment,
  at: string | undefined,
  { args = [], env = {} }: Pick<ServeOptions, 'args' | 'env'> = {},
): Promise<boolean> {
  const fromOutside = /^log:(.+)#(\d+)$/.exec(at ?? '');
  const inside = at !== undefined && fromOutside === null;
  const controller = deployment.serve({
    untilIdle: true,
    args,
    env: { ...env, ...(inside && { NODE_OPTIONS: preload, PANGOLIN_TEST_KILL: at }) },
  });
  let heard = 0;
  controller.onEntry(({ msg }) => {
    if (fromOutside && msg === fromOutside[1] && ++heard === Number(fromOutside[2])) controller.child.kill('SIGKILL');
  });
  const { code, signal } = await controller.end();
  if (signal === 'SIGKILL') return true;
  assert.equal(code, 0, controller.text);
  assert.doesNotMatch(controller.text, /a pass failed|a step of the pass failed/);
  return false;
}

/** The bundle of the run verifies, in this process: commands cost seconds where many runs are looked at. */
export async function holds(deployment: Deployment, run: string): Promise<void> {
  const trust = parseTrustFile(readFileSync(join(deployment.storage, 'controller', 'trust.json')));
  const files = await exportedFiles(deployment.storage, run);
  const report = await verifyBundle(memoryReader(files), trust, { expectRun: run });
  assert.equal(report.verdict, 'verified', JSON.stringify(report.checks, null, 1));
}
