import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { sha256 } from '@pangolin/contracts/digest';
import { openFolderStore } from '@pangolin/storage/folder-store';
import { openStore } from '@pangolin/storage/open';
import { conformance } from './conformance.ts';
import { allKeys, bigStream, fails } from './tools.ts';
import { poll } from '../poll.ts';

const WRITER = fileURLToPath(new URL('writer.fixture.ts', import.meta.url));

function folder(t: TestContext): string {
  const root = mkdtempSync(join(tmpdir(), 'pangolin-store-'));
  t.after(() => rmSync(root, { recursive: true, force: true }));
  return root;
}

/** Everything below the private directory that is a half-written object. */
function temporaryFiles(root: string): string[] {
  const base = join(root, '.pangolin-store/tmp');
  if (!existsSync(base)) return [];
  return readdirSync(base, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .flatMap((entry) => readdirSync(join(base, entry.name)).map((name) => join(base, entry.name, name)));
}

conformance('a folder', {
  open: async () => {
    const root = mkdtempSync(join(tmpdir(), 'pangolin-store-'));
    return {
      store: await openFolderStore(root),
      again: () => openFolderStore(root),
      dispose: async () => rmSync(root, { recursive: true, force: true }),
    };
  },
});

describe('a folder store', () => {
  test('keeps objects as plain files at the path it tells', async (t) => {
    const root = folder(t);
    const store = await openFolderStore(join(root, 'new/folder'));
    assert.equal(store.kind, 'folder');
    assert.equal(store.location, join(root, 'new/folder'));
    await store.put('runs/a/spec.json', 'spec');
    assert.equal(store.localPath('runs/a/spec.json'), join(root, 'new/folder/runs/a/spec.json'));
    assert.equal(readFileSync(join(root, 'new/folder/runs/a/spec.json'), 'utf8'), 'spec');
  });

  test('reads, lists and digests files that others dropped', async (t) => {
    const root = folder(t);
    const store = await openFolderStore(root);
    mkdirSync(join(root, 'inbox'));
    writeFileSync(join(root, 'inbox/dropped.yaml'), 'id: x');
    assert.deepEqual((await store.list('inbox/')).objects, [{ key: 'inbox/dropped.yaml', size: 5 }]);
    assert.equal((await store.head('inbox/dropped.yaml'))?.sha256, sha256('id: x'));
  });

  test('tells a file that changes in place by its etag, however quickly it changes', async (t) => {
    const root = folder(t);
    const store = await openFolderStore(root);
    const own = await store.put('k', 'aaaa');
    writeFileSync(join(root, 'k'), 'bbbb');
    assert.equal((await store.head('k'))?.sha256, sha256('bbbb'));
    await assert.rejects(store.put('k', 'c', { ifMatch: own.etag }), fails('PRECONDITION'));
    for (let i = 0; i < 50; i++) {
      writeFileSync(join(root, 'k'), String(1000 + i));
      assert.equal((await store.head('k'))?.sha256, sha256(String(1000 + i)));
    }
  });

  test('gives nobody else write permission, and leases to nobody at all', async (t) => {
    const root = folder(t);
    const store = await openFolderStore(root);
    await store.put('controller/lease.json', '{}');
    await store.put('runs/a/spec.json', '{}');
    for (const path of ['runs', 'runs/a', 'runs/a/spec.json', 'controller', '.pangolin-store', '.pangolin-store/tmp']) {
      assert.equal(statSync(join(root, path)).mode & 0o022, 0, path);
    }
    for (const path of ['controller', '.pangolin-store'])
      assert.equal(statSync(join(root, path)).mode & 0o077, 0, path);
  });

  test('never lists its own files, and keeps none of them after a put', async (t) => {
    const root = folder(t);
    const store = await openFolderStore(root);
    await store.put('a', '1');
    await store.put('a', '2', { ifMatch: sha256('1') });
    await store.put('b', '2', { ifAbsent: true });
    await assert.rejects(store.put('b', '3', { ifAbsent: true }), fails('PRECONDITION'));
    await assert.rejects(store.put('b', '3', { sha256: sha256('4') }), fails('INTEGRITY'));
    assert.ok(existsSync(join(root, '.pangolin-store')));
    assert.deepEqual(temporaryFiles(root), []);
    assert.deepEqual(await allKeys(store, ''), ['a', 'b']);
    assert.equal(lstatSync(join(root, 'b')).nlink, 1);
  });

  test('says CONFLICT where a key would be both an object and a directory', async (t) => {
    const store = await openFolderStore(folder(t));
    await store.put('a', 'x');
    await assert.rejects(store.put('a/b', 'x'), fails('CONFLICT'));
    assert.equal(await store.head('a/b'), undefined);
    await store.put('d/e', 'x');
    await assert.rejects(store.put('d', 'x'), fails('CONFLICT'));
    await assert.rejects(store.put('d', 'x', { ifAbsent: true }), fails('PRECONDITION'));
    assert.equal(await store.head('d'), undefined);
    await store.delete('d');
    assert.deepEqual(await allKeys(store, ''), ['a', 'd/e']);
  });

  test('reads no further than the file was long when it was opened', async (t) => {
    const root = folder(t);
    const store = await openFolderStore(root);
    writeFileSync(join(root, 'growing'), 'start');
    const stream = await store.getStream('growing');
    writeFileSync(join(root, 'growing'), 'start and more');
    assert.equal(Buffer.concat(await stream.toArray()).toString(), 'start');
  });

  test('can be read by who may not write, and lists without opening what the prefix leaves out', async (t) => {
    const root = folder(t);
    const writer = await openFolderStore(root);
    for (const key of ['runs/a/1', 'runs/b/1', 'cas/x']) await writer.put(key, 'x');
    chmodSync(root, 0o555);
    chmodSync(join(root, 'cas'), 0o000);
    // The modes mean nothing to root.
    if (process.getuid?.() === 0) process.seteuid?.('nobody');
    try {
      const store = await openFolderStore(root);
      assert.deepEqual(await allKeys(store, 'runs/b/'), ['runs/b/1']);
      assert.deepEqual(await allKeys(store, 'runs/'), ['runs/a/1', 'runs/b/1']);
      assert.equal((await store.get('runs/a/1')).toString(), 'x');
      await assert.rejects(allKeys(store, ''), fails('DENIED'));
      await assert.rejects(store.put('new', 'x'), fails('DENIED'));
      await assert.rejects(store.delete('runs/a/1'), fails('DENIED'));
    } finally {
      if (process.getuid?.() === 0) process.seteuid?.(0);
      chmodSync(root, 0o755);
      chmodSync(join(root, 'cas'), 0o755);
    }
  });

  test('refuses to open where a file is', async (t) => {
    const root = folder(t);
    writeFileSync(join(root, 'file'), '');
    await assert.rejects(openFolderStore(join(root, 'file')));
    await assert.rejects(openFolderStore(join(root, 'file/below')), fails('CONFLICT'));
  });
});

describe('between processes', () => {
  const start = (...args: string[]) =>
    spawn(process.execPath, ['--disable-warning=ExperimentalWarning', WRITER, ...args], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });

  test('compare-and-swap loops of two processes lose no update', async (t) => {
    const root = folder(t);
    const store = await openFolderStore(root);
    await store.put('counter', '0');
    const writers = [start('count', root, '60'), start('count', root, '60')];
    const codes = await Promise.all(writers.map(async (writer) => (await once(writer, 'exit'))[0] as number));
    assert.deepEqual(codes, [0, 0]);
    assert.equal((await store.get('counter')).toString(), '120');
  });

  test('a writer killed at any moment leaves the old or the new object, and no lock', async (t) => {
    const root = folder(t);
    const store = await openFolderStore(root);
    await store.put('k', 'a'.repeat(400_000));
    let leftBehind = 0;
    for (let round = 0; round < 6; round++) {
      const writer = start('replace', root);
      await once(writer.stdout, 'data');
      await poll('it is in the middle of a put', () => temporaryFiles(root).length > 0);
      writer.kill('SIGKILL');
      await once(writer, 'exit');
      leftBehind += temporaryFiles(root).length;
      const text = (await store.get('k')).toString();
      assert.match(text.charAt(0), /[a-z]/);
      assert.equal(text, text.charAt(0).repeat(400_000));
      // The lock of the dead writer is free: this returns.
      await store.put('k', 'a'.repeat(400_000));
      assert.deepEqual(await allKeys(store, ''), ['k']);
    }
    assert.ok(leftBehind > 0, 'no writer was killed in the middle of a put');
    await openFolderStore(root);
    assert.deepEqual(temporaryFiles(root), []);
    assert.equal(readdirSync(join(root, '.pangolin-store/tmp')).filter((name) => name.endsWith('.lock')).length, 1);
  });

  test('opening does not sweep what a living writer is writing', async (t) => {
    const root = folder(t);
    const writer = start('slow', root);
    t.after(() => writer.kill('SIGKILL'));
    await once(writer.stdout, 'data');
    assert.equal(temporaryFiles(root).length, 1);
    await openFolderStore(root);
    assert.equal(temporaryFiles(root).length, 1);
    writer.kill('SIGTERM');
    await once(writer, 'exit');
    const store = await openFolderStore(root);
    assert.equal((await store.get('slow')).toString(), 'begun and finished');
  });
});

describe('a full disk', () => {
  const mounted = (t: TestContext, options: string): string | undefined => {
    const root = mkdtempSync(join(tmpdir(), 'pangolin-store-'));
    const mount = spawnSync('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', root]);
    t.after(() => {
      // Lazily: an open store keeps its lock file open.
      spawnSync('umount', ['-l', root]);
      rmSync(root, { recursive: true });
    });
    return mount.status === 0 ? root : undefined;
  };

  test('fails the put as UNAVAILABLE and leaves the old object and no rest', async (t) => {
    const root = mounted(t, 'size=1m');
    if (root === undefined) {
      assert.ok(!process.env['CI'], 'CI must be able to mount a tmpfs');
      t.skip('mounting a tmpfs needs root');
      return;
    }
    const store = await openFolderStore(root);
    const old = await store.put('k', 'old');
    await assert.rejects(store.put('k', Buffer.alloc(2 ** 21)), fails('UNAVAILABLE'));
    await assert.rejects(store.put('k', bigStream(2 ** 21)), fails('UNAVAILABLE'));
    assert.deepEqual(await store.head('k'), old);
    assert.deepEqual(temporaryFiles(root), []);
    await store.put('k', Buffer.alloc(2 ** 19));
    assert.deepEqual(await allKeys(store, ''), ['k']);
  });
});

describe('watching a folder', () => {
  test('creates the watched directory and survives its removal and return', async (t) => {
    const root = folder(t);
    const store = await openFolderStore(root);
    let calls = 0;
    const stop = await store.watch(['inbox/'], () => calls++);
    t.after(stop);
    assert.ok(statSync(join(root, 'inbox')).isDirectory());
    // Several times, for the new directory only sometimes gets the inode of the old one.
    for (let round = 0; round < 8; round++) {
      calls = 0;
      rmSync(join(root, 'inbox'), { recursive: true });
      await poll('the directory is back', () => existsSync(join(root, 'inbox')) && calls > 0);
      calls = 0;
      writeFileSync(join(root, 'inbox/dropped'), 'x');
      await poll('a callback', () => calls > 0);
    }
  });

  test('many changes at once are few callbacks', async (t) => {
    const root = folder(t);
    const store = await openFolderStore(root);
    let calls = 0;
    const stop = await store.watch(['inbox/'], () => calls++);
    t.after(stop);
    for (let i = 0; i < 500; i++) writeFileSync(join(root, `inbox/${i}`), 'x');
    await poll('a callback', () => calls > 0);
    assert.ok(calls < 50, `${calls} callbacks for 500 files written at once`);
  });
});

describe('a storage location', () => {
  test('is a folder, a file URL or S3, and nothing else', async (t) => {
    const root = folder(t);
    assert.equal((await openStore(join(root, 'x'))).location, join(root, 'x'));
    assert.equal((await openStore(`file://${root}/a%20b`)).location, join(root, 'a b'));
    for (const location of ['', 'http://x/y', 'ftp://x', 'file://host/x', 'gs://bucket/x']) {
      await assert.rejects(openStore(location), fails('INVALID'), location);
    }
  });
});
