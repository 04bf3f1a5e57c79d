/** `deploy/cdk`: synthesises offline, and its own assertions hold. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { repository } from '../spine/harness.ts';

const app = join(repository, 'deploy', 'cdk');
const missing = existsSync(join(app, 'node_modules')) ? false : 'aws-cdk-lib is not here; run scripts/cdk.sh';
if (missing !== false && process.env['CI']) throw new Error(`in CI the CDK app must run: ${missing}`);

function node(args: readonly string[], env: Readonly<Record<string, string>> = {}): void {
  const { NODE_TEST_CONTEXT: _ours, ...inherited } = process.env;
  const { status, stdout, stderr } = spawnSync(process.execPath, ['--disable-warning=ExperimentalWarning', ...args], {
    cwd: app,
    encoding: 'utf8',
    env: { ...inherited, ...env },
  });
  assert.equal(status, 0, stdout + stderr);
}

test('the CDK app synthesises, with and without a controller', { skip: missing }, () => {
  const out = mkdtempSync(join(tmpdir(), 'pangolin-cdk-'));
  try {
    for (const context of [{}, { controllerImage: `pangolin-controller@sha256:${'a'.repeat(64)}` }]) {
      node(['app.ts'], { CDK_OUTDIR: out, CDK_CONTEXT_JSON: JSON.stringify(context) });
      assert.ok(readdirSync(out).includes('pangolin.template.json'));
    }
  } finally {
    rmSync(out, { recursive: true, force: true });
  }
});

test('the assertions of the CDK app hold', { skip: missing }, () => {
  node(['--test', 'stack.test.ts']);
});
