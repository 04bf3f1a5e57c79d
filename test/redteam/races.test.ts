/** Time of check, time of use: what was looked at is swapped before it is opened. */
import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import * as shipped from '@pangolin/worker-image/capture/safe-fs';
import { repository } from '../spine/harness.ts';
import { cutOut } from './weakened.ts';

const base = mkdtempSync(join(tmpdir(), 'pangolin-races-'));
after(() => rmSync(base, { recursive: true, force: true }));

/** The same module, following links. */
const source = join(base, 'safe-fs.ts');
copyFileSync(join(repository, 'worker-image', 'src', 'capture', 'safe-fs.ts'), source);
cutOut([source], [[/ \| constants\.O_NOFOLLOW/g, 2, '']]);
const weakened = (await import(source)) as typeof shipped;

const read = async (fd: number): Promise<string> => await readFile(`/proc/self/fd/${fd}`, 'utf8');

/** A tree whose `dir/file` is somebody's own, and beside it what a block must not read. */
function tree(name: string): { readonly root: string; readonly secret: string } {
  const [root, secret] = [join(base, name, 'root'), join(base, name, 'secret')];
  for (const dir of [join(root, 'dir'), secret]) mkdirSync(dir, { recursive: true });
  writeFileSync(join(root, 'dir', 'file'), 'own');
  writeFileSync(join(secret, 'file'), 'secret');
  return { root, secret };
}

const swaps: Readonly<Record<string, (at: { readonly root: string; readonly secret: string }) => void>> = {
  'a directory for a link': ({ root, secret }) => {
    renameSync(join(root, 'dir'), join(root, 'was'));
    symlinkSync(secret, join(root, 'dir'));
  },
  'a file for a link': ({ root, secret }) => {
    rmSync(join(root, 'dir', 'file'));
    symlinkSync(join(secret, 'file'), join(root, 'dir', 'file'));
  },
};

for (const [what, swap] of Object.entries(swaps)) {
  /** Lists as a capture does, lets the block swap, and opens what was listed. */
  const raced = async (safe: typeof shipped, name: string): Promise<string> => {
    const at = tree(name);
    const root = safe.openRoot(at.root);
    try {
      assert.deepEqual(safe.listDir(root), [{ name: 'dir', type: 'directory' }]);
      swap(at);
      return await safe.withFile(root, 'dir/file', async (fd) => await read(fd));
    } finally {
      safe.closeDir(root);
    }
  };

  test(`who swaps ${what} after it was listed gets nobody else's file read`, async () => {
    assert.equal(await raced(weakened, `weak ${what}`), 'secret', 'the attack does not work at all');
    await assert.rejects(raced(shipped, what), { code: /^(ELOOP|ENOTDIR)$/ });
  });
}

test('a directory that is moved away while it is read is read on where it is', async () => {
  const at = tree('moved');
  const root = shipped.openRoot(at.root);
  const dir = shipped.openDirAt(root, 'dir');
  swaps['a directory for a link']!(at);
  const fd = shipped.openFileAt(dir, 'file');
  assert.equal(await read(fd), 'own');
  for (const each of [dir, root]) shipped.closeDir(each);
});
