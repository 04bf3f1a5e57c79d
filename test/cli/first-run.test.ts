/** What a new user does first, with the real controller on the process backend. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { pangolin, root, tempDir } from './harness.ts';

test('init, submit, serve, status, outputs, audit and verify fit together without a further word', async () => {
  const cwd = tempDir();
  const steps: readonly (readonly [line: string, expected: RegExp])[] = [
    ['init', /^created run\.yaml$/m],
    ['orch submit run.yaml --receipt-timeout 0s', /^queued hello-1$/m],
    ['orch serve --until-idle --compute process', /^$/],
    ['orch status hello-1', /^hello-1 {2}succeeded {2}sealed$/m],
    ['orch watch hello-1', /hello-1 {2}succeeded, sealed/],
    ['orch outputs hello-1/shout --to got', /^$/],
    ['orch audit hello-1', /^hello-1\.bundle\.json$/m],
    ['verify hello-1.bundle.json --run hello-1', /^VERIFIED/],
  ];
  for (const [line, expected] of steps) {
    const { code, stdout, stderr } = await pangolin(line.split(' '), { cwd });
    assert.equal(code, 0, `pangolin ${line}\n${stderr}`);
    assert.match(stdout, expected);
  }
  assert.equal(readFileSync(join(cwd, 'got', 'shout.txt'), 'utf8'), 'HELLO\n');
  const wrongRun = await pangolin(['verify', 'hello-1.bundle.json', '--run', 'other'], { cwd });
  assert.equal(wrongRun.code, 1);
});

test('docs/cli.md says what the commands say', () => {
  execFileSync(process.execPath, [
    '--disable-warning=ExperimentalWarning',
    join(root, 'scripts', 'generate-cli-docs.mjs'),
    '--check',
  ]);
});
