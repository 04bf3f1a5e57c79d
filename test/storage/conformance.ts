/** What every ObjectStore does, sentence by sentence of storage/src/object-store.ts. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { describe, test } from 'node:test';
import { sha256, sha256Stream, type Sha256 } from '@pangolin/contracts/digest';
import type { ObjectStore } from '@pangolin/storage/object-store';
import { allKeys, bigStream, fails, heldBytes, increment } from './tools.ts';
import { poll } from '../poll.ts';

export interface Space {
  readonly store: ObjectStore;
  /** A second store on the same objects, as another process would open it. */
  readonly again: () => Promise<ObjectStore>;
  readonly dispose: () => Promise<void>;
}

export interface Conformance {
  /** A store on a place of its own that holds nothing. */
  readonly open: () => Promise<Space>;
  /** Why none of this can run. */
  readonly skip?: string | undefined;
  /** Objects of the long listing. */
  readonly many?: number;
  /** Legal keys that this server, not our store, cannot take. */
  readonly unsupportedKeys?: readonly string[];
}

const HOSTILE_KEYS = [
  '',
  '/',
  '/etc/passwd',
  'a//b',
  'a/',
  '.',
  '..',
  '../x',
  'a/../b',
  'a/./b',
  'a/..',
  'nul\0byte',
  'back\\slash',
  'lone\ud800surrogate',
  `${'long/'.repeat(205)}x`,
  `segment/${'s'.repeat(256)}`,
  '.pangolin-store/tmp/x',
  'a/.pangolin-store',
];

const UNICODE_KEYS = [
  'plain',
  'space in it',
  'percent%2Fencoded',
  'plus+and&amp;',
  'ünïcode',
  'e\u0301 not \u00e9',
  'e\u00e9',
  '日本語',
  '\uffee before',
  '😀 after',
  'quote"\'<>',
  '.hidden',
  '…',
  'tab\tand\nline',
];

export function conformance(name: string, { open, skip, many = 2_000, unsupportedKeys = [] }: Conformance): void {
  const withSpace = (title: string, body: (space: Space) => Promise<void>): void => {
    test(title, async () => {
      const space = await open();
      try {
        await body(space);
      } finally {
        await space.dispose();
      }
    });
  };

  describe(`${name} is an ObjectStore`, { skip }, () => {
    withSpace('what was put is what is read', async ({ store, again }) => {
      const bytes = randomBytes(100_000);
      const info = await store.put('runs/a/spec.json', bytes);
      assert.equal(info.key, 'runs/a/spec.json');
      assert.equal(info.size, 100_000);
      assert.equal(info.sha256, sha256(bytes));
      assert.deepEqual(await store.head('runs/a/spec.json'), info);
      assert.deepEqual(await store.get('runs/a/spec.json'), bytes);
      const other = await again();
      assert.deepEqual(await other.get('runs/a/spec.json'), bytes);
      assert.deepEqual(await other.head('runs/a/spec.json'), info);
    });

    for (const [what, body, expected] of [
      ['a string, as UTF-8', () => 'grün 😀', Buffer.from('grün 😀')],
      [
        'a Uint8Array that is part of a larger buffer',
        () => new Uint8Array(Buffer.from('0123')).subarray(1, 3),
        Buffer.from('12'),
      ],
      ['nothing', () => '', Buffer.alloc(0)],
      ['a stream of buffers', () => Readable.from([Buffer.from('ab'), Buffer.from('c')]), Buffer.from('abc')],
      ['a stream of strings', () => Readable.from(['ab', 'ü']), Buffer.from('abü')],
      ['an empty stream', () => Readable.from([]), Buffer.alloc(0)],
    ] as const) {
      withSpace(`stores ${what}`, async ({ store }) => {
        const info = await store.put('key', body());
        assert.equal(info.size, expected.length);
        assert.equal(info.sha256, sha256(expected));
        assert.deepEqual(await store.get('key'), expected);
        assert.deepEqual(Buffer.concat(await (await store.getStream('key')).toArray()), expected);
        assert.deepEqual(await store.head('key'), info);
      });
    }

    withSpace('what is not there is NOT_FOUND to read, undefined to head, and deletes', async ({ store }) => {
      await assert.rejects(store.get('no/such'), fails('NOT_FOUND'));
      await assert.rejects(store.getStream('no/such'), fails('NOT_FOUND'));
      await assert.rejects(store.copy('no/such', 'to'), fails('NOT_FOUND'));
      assert.equal(await store.head('no/such'), undefined);
      await store.delete('no/such');
      await store.put('no/such', 'x');
      await store.delete('no/such');
      assert.equal(await store.head('no/such'), undefined);
      await store.delete('no/such');
      assert.equal(await store.head('to'), undefined);
    });

    withSpace('get reads up to maxBytes and refuses more', async ({ store }) => {
      await store.put('k', '12345');
      assert.equal((await store.get('k', { maxBytes: 5 })).toString(), '12345');
      await assert.rejects(store.get('k', { maxBytes: 4 }), fails('TOO_LARGE'));
    });

    withSpace('put replaces', async ({ store }) => {
      const first = await store.put('k', 'one, the longer');
      const second = await store.put('k', 'two');
      assert.notEqual(first.etag, second.etag);
      assert.equal((await store.get('k')).toString(), 'two');
      assert.deepEqual((await store.list('')).objects, [{ key: 'k', size: 3 }]);
    });

    withSpace('ifAbsent creates, and leaves what exists as it is', async ({ store }) => {
      const first = await store.put('k', 'one', { ifAbsent: true });
      await assert.rejects(store.put('k', 'two', { ifAbsent: true }), fails('PRECONDITION'));
      await assert.rejects(store.put('k', Readable.from(['two']), { ifAbsent: true }), fails('PRECONDITION'));
      assert.deepEqual(await store.head('k'), first);
      await store.delete('k');
      await store.put('k', 'three', { ifAbsent: true });
      assert.equal((await store.get('k')).toString(), 'three');
    });

    withSpace('ifMatch replaces the version it names and no other', async ({ store, again }) => {
      await assert.rejects(store.put('k', 'x', { ifMatch: 'whatever' }), fails('PRECONDITION'));
      assert.equal(await store.head('k'), undefined);
      const one = await store.put('k', 'one');
      const two = await (await again()).put('k', 'two', { ifMatch: one.etag });
      await assert.rejects(store.put('k', 'three', { ifMatch: one.etag }), fails('PRECONDITION'));
      assert.deepEqual(await store.head('k'), two);
      await store.put('k', 'four', { ifMatch: two.etag });
      await store.delete('k');
      await assert.rejects(store.put('k', 'five', { ifMatch: two.etag }), fails('PRECONDITION'));
      assert.equal(await store.head('k'), undefined);
    });

    withSpace('a stated digest that is wrong is INTEGRITY and stores nothing', async ({ store }) => {
      const right: Sha256 = sha256('right');
      await store.put('k', 'old');
      for (const body of [() => 'wrong', () => Readable.from(['wrong'])]) {
        await assert.rejects(store.put('k', body(), { sha256: right }), fails('INTEGRITY'));
        await assert.rejects(store.put('new', body(), { sha256: right }), fails('INTEGRITY'));
      }
      assert.equal((await store.get('k')).toString(), 'old');
      assert.deepEqual(await allKeys(store, ''), ['k']);
      assert.equal((await store.put('k', Readable.from(['right']), { sha256: right })).sha256, right);
    });

    withSpace('options that make no sense are INVALID', async ({ store }) => {
      await assert.rejects(store.put('k', 'x', { ifAbsent: true, ifMatch: 'e' }), fails('INVALID'));
      await assert.rejects(store.put('k', 'x', { sha256: 'SHA' }), fails('INVALID'));
      await assert.rejects(store.put('k', 7 as unknown as string), fails('INVALID'));
      await assert.rejects(store.list('', { limit: 0 }), fails('INVALID'));
      await assert.rejects(store.list('', { limit: 1.5 }), fails('INVALID'));
      await assert.rejects(
        store.watch(['inbox'], () => undefined),
        fails('INVALID'),
      );
      assert.deepEqual(await allKeys(store, ''), []);
    });

    withSpace('a stream that fails stores nothing and is destroyed', async ({ store }) => {
      const broken = Readable.from(
        (async function* () {
          yield Buffer.alloc(1000);
          throw new Error('the source broke');
        })(),
      );
      await assert.rejects(store.put('k', broken), /the source broke/);
      assert.equal(await store.head('k'), undefined);
      const unused = Readable.from(['x']);
      await assert.rejects(store.put('../k', unused), fails('INVALID'));
      assert.equal(unused.destroyed, true);
    });

    withSpace('copies, under the same conditions as put', async ({ store }) => {
      const info = await store.put('from', 'content');
      const copied = await store.copy('from', 'deep/to', { sha256: info.sha256, ifAbsent: true });
      assert.equal(copied.key, 'deep/to');
      assert.equal(copied.size, 7);
      assert.equal(copied.sha256, info.sha256);
      assert.deepEqual(await store.head('deep/to'), copied);
      await assert.rejects(store.copy('from', 'deep/to', { ifAbsent: true }), fails('PRECONDITION'));
      await store.put('from', 'tampered');
      await assert.rejects(store.copy('from', 'deep/to', { sha256: info.sha256 }), fails('INTEGRITY'));
      await assert.rejects(store.copy('from', 'deep/other', { sha256: info.sha256 }), fails('INTEGRITY'));
      assert.equal(await store.head('deep/other'), undefined);
      await assert.rejects(store.copy('from', 'deep/to', { ifMatch: 'another' }), fails('PRECONDITION'));
      assert.equal((await store.get('deep/to')).toString(), 'content');
      const replaced = await store.copy('from', 'deep/to', { ifMatch: copied.etag });
      assert.equal(replaced.sha256, sha256('tampered'));
      assert.equal((await store.get('from')).toString(), 'tampered');
    });

    withSpace('hostile keys are INVALID everywhere', async ({ store }) => {
      for (const key of HOSTILE_KEYS) {
        const calls = [
          () => store.get(key),
          () => store.getStream(key),
          () => store.head(key),
          () => store.put(key, 'x'),
          () => store.delete(key),
          () => store.copy(key, 'to'),
          () => store.copy('from', key),
          async () => store.localPath(key),
        ];
        for (const call of calls) await assert.rejects(call, fails('INVALID'), JSON.stringify(key));
      }
      for (const prefix of ['/', '../', 'a//', 'a/../', './', '\0', '\\', 'a/.pangolin-store/']) {
        await assert.rejects(store.list(prefix), fails('INVALID'), JSON.stringify(prefix));
        await assert.rejects(
          store.watch([prefix], () => undefined),
          fails('INVALID'),
          JSON.stringify(prefix),
        );
      }
    });

    withSpace('keys are any Unicode, kept byte for byte and listed in the order of their bytes', async ({ store }) => {
      const usable = UNICODE_KEYS.filter((key) => !unsupportedKeys.includes(key));
      for (const key of usable) await store.put(`u/${key}`, key);
      const sorted = usable.map((key) => `u/${key}`).sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
      assert.deepEqual(await allKeys(store, 'u/'), sorted);
      assert.deepEqual(await allKeys(store, 'u/', 3), sorted);
      for (const key of usable) assert.equal((await store.get(`u/${key}`)).toString(), key);
    });

    withSpace('lists ascending, by prefix, after a key, page by page', async ({ store }) => {
      const keys = ['a', 'a-b/x', 'a.b', 'b/a', 'b/a/', 'b/a0', 'b/c/d/e', 'b/c/d0', 'b/c0', 'ba', 'c/x'].filter(
        (key) => !key.endsWith('/'),
      );
      for (const key of [...keys].reverse()) await store.put(key, key);
      assert.deepEqual(
        (await store.list('')).objects,
        keys.map((key) => ({ key, size: key.length })),
      );
      assert.equal((await store.list('')).next, undefined);
      for (const prefix of ['', 'a-', 'b', 'b/c', 'b/c/d/', 'nothing/']) {
        const wanted = keys.filter((key) => key.startsWith(prefix));
        assert.deepEqual(await allKeys(store, prefix), wanted, prefix);
        assert.deepEqual(await allKeys(store, prefix, 1), wanted, prefix);
        for (const after of ['a-', 'b/c/', 'b/c/d/e', 'b/zz']) {
          const page = await store.list(prefix, { after });
          const rest = wanted.filter((key) => Buffer.compare(Buffer.from(key), Buffer.from(after)) > 0);
          assert.deepEqual(
            page.objects.map((object) => object.key),
            rest,
            `${prefix} after ${after}`,
          );
        }
      }
      const page = await store.list('b/', { limit: 2 });
      assert.deepEqual([page.objects.length, page.next], [2, 'b/a0']);
      assert.equal((await store.list('b/', { limit: 5 })).next, undefined);
    });

    withSpace(`lists ${many} objects in pages, each object once`, async ({ store }) => {
      const keys = Array.from({ length: many }, (_, i) => `p/${String(i % 7)}/${String(i).padStart(5, '0')}`);
      for (let i = 0; i < many; i += 50) await Promise.all(keys.slice(i, i + 50).map((key) => store.put(key, 'x')));
      keys.sort();
      assert.deepEqual(await allKeys(store, 'p/', 300), keys);
      assert.deepEqual(
        await allKeys(store, 'p/3/', 100),
        keys.filter((key) => key.startsWith('p/3/')),
      );
      const first = await store.list('p/');
      assert.equal(first.objects.length, Math.min(1000, many));
      assert.deepEqual((await store.list('p/', { limit: 5_000 })).objects.length, Math.min(1000, many));
    });

    withSpace('of 32 writers that create the same key, one succeeds and its object stays', async ({ store, again }) => {
      const stores = [store, await again()];
      for (let round = 0; round < 5; round++) {
        const key = `race/${round}`;
        const results = await Promise.allSettled(
          Array.from({ length: 32 }, (_, i) => (stores[i % 2] ?? store).put(key, `writer ${i}`, { ifAbsent: true })),
        );
        const winners = results.flatMap((result, i) => (result.status === 'fulfilled' ? [i] : []));
        assert.equal(winners.length, 1);
        for (const result of results) if (result.status === 'rejected') fails('PRECONDITION')(result.reason);
        assert.equal((await store.get(key)).toString(), `writer ${winners[0]}`);
      }
    });

    withSpace('concurrent compare-and-swap loops lose no update', async ({ store, again }) => {
      const stores = [store, await again()];
      await store.put('counter', '0');
      await Promise.all(Array.from({ length: 4 }, (_, i) => increment(stores[i % 2] ?? store, 'counter', 6)));
      assert.equal((await store.get('counter')).toString(), '24');
    });

    withSpace('a reader sees whole versions only while a writer replaces them', async ({ store, again }) => {
      const reader = await again();
      const size = 300_000;
      await store.put('k', 'a'.repeat(size));
      let writing = true;
      const writer = (async () => {
        for (let i = 0; i < 20; i++) await store.put('k', String.fromCharCode(97 + i).repeat(size));
        writing = false;
      })();
      while (writing) {
        const text = (await reader.get('k')).toString();
        assert.equal(text, text.charAt(0).repeat(size));
        const info = await reader.head('k');
        assert.equal(info?.size, size);
      }
      await writer;
    });

    withSpace('a 64 MiB stream goes in, out and across without being held in memory', async ({ store }) => {
      const size = 64 * 2 ** 20;
      const before = heldBytes();
      let peak = 0;
      const look = () => (peak = Math.max(peak, heldBytes() - before));
      const info = await store.put('big', bigStream(size, look));
      assert.equal(info.size, size);
      const hash = sha256Stream();
      let read = 0;
      for await (const chunk of await store.getStream('big')) {
        const bytes = chunk as Buffer;
        if (Math.floor(read / 2 ** 23) < Math.floor((read + bytes.length) / 2 ** 23)) look();
        read += bytes.length;
        hash.update(bytes);
      }
      assert.equal(read, size);
      assert.equal(hash.digest('hex'), info.sha256);
      assert.ok(peak < 40 * 2 ** 20, `${peak} bytes were held at once`);
      const copy = await store.copy('big', 'copy', { sha256: info.sha256 });
      assert.equal(copy.size, size);
    });

    withSpace('watch calls back after changes under its prefixes until it is stopped', async ({ store, again }) => {
      const other = await again();
      const seen: string[] = [];
      const stop = await store.watch(['inbox/', 'control/'], (prefix) => seen.push(prefix));
      await other.put('inbox/one.yaml', 'x');
      await poll('a callback for inbox/', () => seen.includes('inbox/'));
      await other.put('control/deep/er/two.json', 'x');
      await poll('a callback for control/', () => seen.includes('control/'));
      seen.length = 0;
      await other.put('control/deep/er/three.json', 'x');
      await poll('a callback for a deeper directory', () => seen.includes('control/'));
      seen.length = 0;
      await other.delete('inbox/one.yaml');
      await poll('a callback for a deletion', () => seen.includes('inbox/'));
      await stop();
      seen.length = 0;
      let later = false;
      const stopLater = await store.watch(['inbox/'], () => (later = true));
      await other.put('inbox/four.yaml', 'x');
      await poll('a callback of the watch that goes on', () => later);
      await stopLater();
      assert.deepEqual(seen, []);
    });
  });
}
