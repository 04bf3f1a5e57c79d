/** The cost of 1,000 items: the formula of deploy/cost.mjs, by hand. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { writeFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { repository } from '../spine/harness.ts';

function cost(...args: readonly string[]): Record<string, number> {
  const { status, stdout, stderr } = spawnSync(process.execPath, ['deploy/cost.mjs', ...args], { cwd: repository, encoding: 'utf8' }); // prettier-ignore
  assert.equal(status, 0, stderr);
  return Object.fromEntries(stdout.trim().split('\n').map((line) => line.split(/ +\$/)).map(([what, sum]) => [what!, Number(sum)])); // prettier-ignore
}

test('tasks are paid by vCPU and GiB, requests by count, what stands by the hour', () => {
  const dir = mkdtempSync(join(tmpdir(), 'pangolin-cost-'));
  try {
    const prices = join(dir, 'prices.json');
    writeFileSync(prices, JSON.stringify({ vcpuSecond: 1, gibSecond: 0.5, spotFactor: 0.25, put: 1, get: 2, gibMonth: 1, endpointHour: 1 })); // prettier-ignore
    const args = ['--prices', prices, '--seconds', '10', '--cpu', '2', '--memory', '4', '--bytes', String(2 ** 30), '--hours', '2']; // prettier-ignore
    assert.deepEqual(cost(...args), {
      tasks: 1000 * 10 * (2 + 2),
      requests: 1000 * 6 + 20 + 2 * 360 + 1000 * 10 * 2,
      storagePerMonth: 1000,
      standing: 2 * (3600 * (0.5 + 0.5) + 14),
    });
    assert.equal(cost(...args, '--spot')['tasks'], 10_000);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
});
