import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, utimesSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { root, tempDir } from './harness.ts';

/** A checkout of which all is one second older than the bundle. */
function checkout(): { readonly run: () => string; readonly touch: (path: string, second: number) => void } {
  const dir = tempDir();
  const put = (path: string, text: string): void => {
    mkdirSync(dirname(join(dir, path)), { recursive: true });
    writeFileSync(join(dir, path), text);
    touch(path, 1);
  };
  const touch = (path: string, second: number): void => utimesSync(join(dir, path), second, second);
  put('node_modules/.pangolin-setup', '');
  put('package-lock.json', '{}');
  put('contracts/src/layout.ts', '');
  put('cli/src/main.ts', `console.log('sources');`);
  put('cli/dist/pangolin.mjs', `console.log('bundle');`);
  for (const folder of ['contracts/src', 'cli/src']) touch(folder, 1);
  touch('cli/dist/pangolin.mjs', 2);
  mkdirSync(join(dir, 'bin'));
  copyFileSync(join(root, 'bin/pangolin'), join(dir, 'bin/pangolin'));
  return { run: () => execFileSync(join(dir, 'bin/pangolin'), { encoding: 'utf8' }).trim(), touch };
}

test('bin/pangolin runs the bundle, unless something that it was made from is newer', () => {
  const { run, touch } = checkout();
  assert.equal(run(), 'bundle');
  for (const changed of ['contracts/src/layout.ts', 'cli/src', 'package-lock.json']) {
    touch(changed, 3);
    assert.equal(run(), 'sources', changed);
    touch(changed, 1);
  }
});
