/** A controller whose clock is wrong, on Ceph RGW: the store refuses what is signed more than 15 minutes off. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { freshPlace, rgw } from '../storage/s3-servers.ts';
import { blocks, Deployment, patch, runOf, script } from './harness.ts';

const preload = `--import ${new URL('./kill-point.mjs', import.meta.url).href}`;
const HOUR_MS = 3_600_000;

describe('a controller on S3 whose clock is wrong', { skip: rgw.skip ?? false }, () => {
  for (const [what, aheadMs] of [
    // Behind is worse: grants that are signed by such a clock have ended already.
    ['an hour behind', -HOUR_MS],
  ] as const) {
    test(`${what}: its own requests and the grants of its tasks are good all the same`, async () => {
      const { bucket, prefix } = await freshPlace(rgw, { bucket: 'pangolin-clock', prefix: randomUUID() });
      const deployment = new Deployment('process', `s3://${bucket}/${prefix}?endpoint=${rgw.endpoint}`);
      try {
        const file = join(deployment.dir, 'r.json');
        const edit = { id: 'edit', ...blocks(script('echo four >> src/a.txt'), patch) };
        const needs = { p: { from: 'edit', select: { kind: 'patch' } } };
        const use = { id: 'use', needs, ...blocks(script('git apply inputs/p; grep four src/a.txt'), patch) };
        writeFileSync(file, JSON.stringify(runOf('r', deployment.repo, [edit, use])));
        await deployment.cli('orch', 'submit', file, '--receipt-timeout', '0s');
        await deployment.settle({ env: { NODE_OPTIONS: preload, PANGOLIN_TEST_CLOCK_MS: String(aheadMs) } });
        const status = await deployment.status('r');
        assert.ok(Math.abs(Date.parse(status.submittedAt) - Date.now() - aheadMs) < HOUR_MS / 2, status.submittedAt);
        assert.deepEqual(
          status.items.map(({ phase, attempts }) => [phase, attempts]),
          [
            ['done', 1],
            ['done', 1],
          ],
          JSON.stringify(status),
        );
      } finally {
        await deployment.dispose();
      }
    });
  }
});
