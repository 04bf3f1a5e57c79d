import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test, type TestContext } from 'node:test';
import { openFolderStore } from '@pangolin/storage/folder-store';
import { allKeys, fails } from './tools.ts';

function folder(t: TestContext): string {
  const root = mkdtempSync(join(tmpdir(), 'pangolin-store-'));
  t.after(() => rmSync(root, { recursive: true, force: true }));
  return root;
}

function namesBelow(dir: string): string[] {
  return readdirSync(dir, { recursive: true, encoding: 'utf8' }).toSorted((a, b) => (a < b ? -1 : 1));
}

describe('nothing planted below the root leads out of it', () => {
  /** A store whose attempt prefix a hostile worker has filled, and a secret outside. */
  async function trap(t: TestContext) {
    const base = folder(t);
    const root = join(base, 'root');
    const outside = join(base, 'outside');
    const store = await openFolderStore(root);
    mkdirSync(join(root, 'attempt/real'), { recursive: true });
    mkdirSync(join(outside, 'dir/sub'), { recursive: true });
    writeFileSync(join(outside, 'dir/sub/secret'), 'secret');
    writeFileSync(join(outside, 'secret'), 'secret');
    writeFileSync(join(outside, 'dir/secret'), 'secret');
    symlinkSync(join(outside, 'secret'), join(root, 'attempt/link'));
    symlinkSync(join(outside, 'dir'), join(root, 'attempt/dir'));
    symlinkSync('real', join(root, 'attempt/inner'));
    symlinkSync('nowhere', join(root, 'attempt/dangling'));
    symlinkSync('loop', join(root, 'attempt/loop'));
    writeFileSync(join(root, 'attempt/real/file'), 'fine');
    spawnSync('mkfifo', [join(root, 'attempt/pipe')]);
    return { root, outside, store };
  }
  const LINKED = [
    'attempt/link',
    'attempt/dir/secret',
    'attempt/dir/sub/secret',
    'attempt/inner/file',
    'attempt/dangling',
    'attempt/loop',
    'attempt/pipe',
  ];

  test('links and pipes are no objects', async (t) => {
    const { store } = await trap(t);
    assert.deepEqual(await allKeys(store, ''), ['attempt/real/file']);
    for (const prefix of ['attempt/dir/', 'attempt/dir/sub/', 'attempt/inner/', 'attempt/l']) {
      assert.deepEqual(await allKeys(store, prefix), [], prefix);
    }
    for (const key of LINKED) {
      assert.equal(await store.head(key), undefined, key);
      await assert.rejects(store.get(key), fails('NOT_FOUND'), key);
      await assert.rejects(store.getStream(key), fails('NOT_FOUND'), key);
      await assert.rejects(store.copy(key, 'cas/stolen'), fails('NOT_FOUND'), key);
    }
    assert.deepEqual(await allKeys(store, 'cas/'), []);
  });

  test('writing replaces a link and never follows one', async (t) => {
    const { root, outside, store } = await trap(t);
    await store.put('attempt/link', 'mine');
    assert.equal((await store.get('attempt/link')).toString(), 'mine');
    await assert.rejects(store.put('attempt/dangling', 'x', { ifAbsent: true }), fails('PRECONDITION'));
    for (const key of [
      'attempt/dir/secret',
      'attempt/dir/sub/secret',
      'attempt/dir/new',
      'attempt/dir/deep/new',
      'attempt/inner/file',
    ]) {
      await assert.rejects(store.put(key, 'overwritten'), fails('CONFLICT'), key);
      await assert.rejects(store.put(key, 'overwritten', { ifAbsent: true }), fails('CONFLICT'), key);
      await store.delete(key);
    }
    await store.delete('attempt/loop');
    assert.equal(existsSync(join(root, 'attempt/dangling')), false);
    assert.equal(readFileSync(join(outside, 'secret'), 'utf8'), 'secret');
    for (const name of ['dir/secret', 'dir/sub/secret']) {
      assert.equal(readFileSync(join(outside, name), 'utf8'), 'secret');
    }
    assert.deepEqual(namesBelow(join(outside, 'dir')), ['secret', 'sub', 'sub/secret']);
    assert.equal((await store.get('attempt/real/file')).toString(), 'fine');
  });

  test('a directory that turns into a link while it is used leads nowhere either', async (t) => {
    const { root, outside, store } = await trap(t);
    mkdirSync(join(root, 'attempt/flip/sub'), { recursive: true });
    writeFileSync(join(root, 'attempt/flip/sub/secret'), 'inside');
    symlinkSync(join(outside, 'dir'), join(root, 'attempt/other'));
    let flips = 0;
    let flipping = true;
    const move = (from: string, to: string) => {
      for (;;) {
        try {
          renameSync(join(root, from), join(root, to));
          return;
        } catch {
          // A put that found no directory made one, in the way of this rename.
          rmSync(join(root, to), { recursive: true, force: true });
        }
      }
    };
    const flipper = (async () => {
      for (; flipping; flips++) {
        renameSync(join(root, 'attempt/flip'), join(root, 'attempt/aside'));
        move('attempt/other', 'attempt/flip');
        await new Promise(setImmediate);
        renameSync(join(root, 'attempt/flip'), join(root, 'attempt/other'));
        move('attempt/aside', 'attempt/flip');
        await new Promise(setImmediate);
      }
    })();
    const read = { inside: 0, refused: 0 };
    for (let i = 0; i < 400; i++) {
      await store.put('attempt/flip/sub/new', 'x').catch(() => read.refused++);
      const text = await store.get('attempt/flip/sub/secret').then(String, () => undefined);
      if (text === undefined) read.refused++;
      else assert.equal(text, 'inside');
      if (text !== undefined) read.inside++;
      for (const key of await allKeys(store, 'attempt/flip/')) assert.match(key, /flip\/sub\/(secret|new)$/);
    }
    flipping = false;
    await flipper;
    assert.ok(read.inside > 0 && flips > 0);
    assert.deepEqual(namesBelow(join(outside, 'dir')), ['secret', 'sub', 'sub/secret']);
    assert.equal(readFileSync(join(outside, 'dir/secret'), 'utf8'), 'secret');
  });

  test('names that no key can have are left out of listings', async (t) => {
    const { root, store } = await trap(t);
    writeFileSync(Buffer.concat([Buffer.from(join(root, 'attempt/real/')), Buffer.from([0xff, 0xfe])]), 'x');
    writeFileSync(join(root, 'attempt/real/back\\slash'), 'x');
    linkSync(join(root, 'attempt/real/file'), join(root, 'attempt/real/hard'));
    assert.deepEqual(await allKeys(store, ''), ['attempt/real/file', 'attempt/real/hard']);
  });
});
