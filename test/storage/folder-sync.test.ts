import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { FileLock } from '@pangolin/storage/file-lock';
import type { Directory } from '@pangolin/storage/folder-files';
import { DirectorySync } from '@pangolin/storage/folder-sync';

/** A directory whose fsyncs end when they are told to. */
function slowDirectory(): { directory: Directory; begun: (() => void)[]; fail: (() => void)[] } {
  const begun: (() => void)[] = [];
  const fail: (() => void)[] = [];
  const sync = (): Promise<void> =>
    new Promise((resolve, reject) => {
      begun.push(resolve);
      fail.push(() => reject(new Error('EIO')));
    });
  return { directory: { path: '/d', handle: { sync } as unknown as Directory['handle'] }, begun, fail };
}
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('an fsync that began before the call does not count for it, and one after it counts for all', async () => {
  const { directory, begun } = slowDirectory();
  const syncs = new DirectorySync();
  const done: string[] = [];
  const ask = (who: string): Promise<unknown> => syncs.sync('d/', directory).then(() => done.push(who));
  const all = [ask('first'), ask('second'), ask('third')];
  assert.equal(begun.length, 1);
  begun[0]!();
  await turn();
  assert.deepEqual(done, ['first']);
  assert.equal(begun.length, 2, 'the others have one of their own');
  all.push(ask('fourth'));
  begun[1]!();
  await turn();
  assert.deepEqual(done, ['first', 'second', 'third']);
  begun[2]!();
  await Promise.all(all);
  assert.equal(begun.length, 3);
});

test('a failed fsync fails who asked for it, and nobody after', async () => {
  const { directory, begun, fail } = slowDirectory();
  const syncs = new DirectorySync();
  const first = assert.rejects(syncs.sync('d/', directory), /EIO/);
  const second = syncs.sync('d/', directory);
  fail[0]!();
  await first;
  await turn();
  begun[1]!();
  await second;
});

test('a held lock is one file, and writes nothing beside it', async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'pangolin-lock-'));
  t.after(() => rm(dir, { recursive: true }));
  const lock = new FileLock(join(dir, 'l'));
  assert.ok(lock.tryAcquire());
  assert.deepEqual(readdirSync(dir), ['l']);
  assert.ok(!new FileLock(join(dir, 'l')).tryAcquire());
  lock.close();
});
