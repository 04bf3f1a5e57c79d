/** Shell lines of the documentation, run as they are written. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test, type TestContext } from 'node:test';

const root = dirname(dirname(import.meta.dirname));

/** The `sh` block of the page that holds `word`. */
function shellOf(page: string, word: string): string {
  const blocks = [...readFileSync(join(root, page), 'utf8').matchAll(/^```sh\n([^]*?)^```/gm)].map(
    (match) => match[1]!,
  );
  const found = blocks.filter((block) => block.includes(word));
  assert.equal(found.length, 1, `${page} has one block with ${word}`);
  return found[0]!;
}

function temporary(t: TestContext): string {
  const dir = mkdtempSync(join(tmpdir(), 'pangolin-docs-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

test('the worker runs standalone as worker-image/README.md says', (t) => {
  const dir = temporary(t);
  const script = shellOf('worker-image/README.md', 'worker run')
    .split('\n')
    .filter((line) => !line.startsWith('docker'))
    .join('\n')
    .replaceAll('bin/pangolin', `'${join(root, 'bin', 'pangolin')}'`);
  const { status, stderr } = spawnSync('sh', ['-ec', script], { cwd: dir, encoding: 'utf8' });
  assert.equal(status, 0, stderr);
  assert.equal(readFileSync(join(dir, 'job/out/outputs/greeting.txt'), 'utf8'), 'hello\n');
  assert.ok(existsSync(join(dir, 'job/out/output.json')));
});
