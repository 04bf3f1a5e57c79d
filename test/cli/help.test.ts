/** Help is an interface: it is compared with what is checked in. `UPDATE_GOLDEN=1` rewrites it. */
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { pangolin } from './harness.ts';

const golden = (name: string): string => join(import.meta.dirname, 'golden', `${name}.txt`);

const screens: Readonly<Record<string, readonly string[]>> = {
  pangolin: ['--help'],
  'pangolin-orch': ['orch', '--help'],
  'pangolin-orch-submit': ['orch', 'submit', '--help'],
  'pangolin-pipeline-show': ['pipeline', 'show', '-h'],
};

for (const [name, args] of Object.entries(screens)) {
  test(`the help of ${name.replaceAll('-', ' ')} is the one that is checked in`, async () => {
    const { code, stdout, stderr } = await pangolin(args);
    assert.deepEqual([code, stderr], [0, '']);
    if (process.env.UPDATE_GOLDEN === '1') {
      mkdirSync(dirname(golden(name)), { recursive: true });
      writeFileSync(golden(name), stdout);
    }
    assert.equal(stdout, readFileSync(golden(name), 'utf8'));
  });
}

test('help wins over everything else on the line, but not behind --', async () => {
  assert.match(
    (await pangolin(['orch', 'submit', '--nonsense', '--help'])).stdout,
    /^Usage: pangolin orch submit FILE/m,
  );
  assert.match((await pangolin(['help', 'orch', 'status'])).stdout, /^Usage: pangolin orch status \[TARGET\]/m);
  assert.equal((await pangolin(['orch', 'status', '--', '--help'])).code, 2);
});

test('--version prints the version of the package', async () => {
  const { version } = JSON.parse(readFileSync(join(import.meta.dirname, '../../cli/package.json'), 'utf8')) as {
    version: string;
  };
  assert.deepEqual(await pangolin(['--version']), { code: 0, stdout: `pangolin ${version}\n`, stderr: '' });
});

test('starting for help is timed, for the log of the test run', async (t) => {
  await pangolin(['--help']);
  const started = performance.now();
  await pangolin(['--help']);
  t.diagnostic(`pangolin --help: ${Math.round(performance.now() - started)} ms`);
});
