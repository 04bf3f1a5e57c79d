import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, test, type TestContext } from 'node:test';
import { HeadObjectCommand } from '@aws-sdk/client-s3';
import { sha256 } from '@pangolin/contracts/digest';
import type { ObjectStore } from '@pangolin/storage/object-store';
import { copyVersion } from '@pangolin/storage/s3-copy';
import type { S3Place, S3PlaceOptions } from '@pangolin/storage/s3-place';
import { s3Store } from '@pangolin/storage/s3-store';
import { bigStream, fails } from './tools.ts';
import { faultProxy, type Fault, type FaultProxy } from './fault-proxy.ts';
import { freshPlace, moto, rgw, type S3Server } from './s3-servers.ts';

interface Broken {
  readonly proxy: FaultProxy;
  readonly place: S3Place;
  /** Through the proxy. */
  readonly store: ObjectStore;
  /** Past the proxy. */
  readonly direct: ObjectStore;
  /** The first requests of this method get these faults. */
  readonly failing: (method: string, ...faults: Fault[]) => void;
}

async function broken(t: TestContext, server: S3Server, options: S3PlaceOptions = {}): Promise<Broken> {
  const proxy = await faultProxy(server.endpoint);
  t.after(() => proxy.close());
  const place = await freshPlace(server, { endpoint: proxy.endpoint, maxAttempts: 3, ...options });
  const { prefix } = place;
  const direct = await freshPlace(server, { prefix: prefix.slice(0, -1) });
  const failing = (method: string, ...faults: Fault[]) => {
    const left = [...faults];
    proxy.seen.length = 0;
    proxy.fault = (seen) => (seen.method === method ? left.shift() : undefined);
  };
  return { proxy, place, store: s3Store(place), direct: s3Store(direct), failing };
}

const lost: Fault = { kind: 'answer-lost' };
const slowDown: Fault = { kind: 'status', status: 503, code: 'SlowDown' };
const conflict: Fault = { kind: 'status', status: 409, code: 'ConditionalRequestConflict' };

describe('an S3 store behind a bad network', { skip: rgw.skip }, () => {
  for (const [what, fault] of Object.entries({ 'a lost answer': lost, 'a 503': slowDown, 'a 409': conflict })) {
    test(`one write takes effect once in spite of ${what}`, async (t) => {
      const { store, direct, failing, proxy } = await broken(t, rgw);
      failing('PUT', fault);
      const created = await store.put('k', 'one', { ifAbsent: true });
      assert.equal(proxy.seen.filter((seen) => seen.method === 'PUT').length, 2);
      failing('PUT', fault);
      const replaced = await store.put('k', 'two', { ifMatch: created.etag });
      assert.deepEqual(await direct.head('k'), replaced);
      failing('PUT', fault);
      await store.put('k', 'three');
      failing('DELETE', ...(fault === conflict ? [] : [fault]));
      await store.delete('k');
      assert.equal(await direct.head('k'), undefined);
    });
  }

  test('a copy that is not what its source was is removed, or the error names what is left', async (t) => {
    // RGW answers without the checksum of a copy.
    const { place, store, direct, failing } = await broken(t, rgw);
    const { etag, size, sha256: digest } = await store.put('from', 'bytes');
    const copied = copyVersion(place, { key: 'from', etag }, 'to', { size, sha256: digest! }, {});
    await assert.rejects(copied, { code: 'INTEGRITY', hint: undefined });
    assert.equal(await direct.head('to'), undefined);
    failing('DELETE', { kind: 'status', status: 403, code: 'AccessDenied' });
    const left = copyVersion(place, { key: 'from', etag }, 'to', { size, sha256: digest! }, {});
    await assert.rejects(left, { code: 'INTEGRITY', hint: /^Remove .*\/to from the bucket/ });
  });

  test('a write that another one overtook while its answer was lost is PRECONDITION', async (t) => {
    const { store, direct, failing, proxy } = await broken(t, rgw);
    failing('PUT', lost);
    const first = proxy.fault;
    proxy.fault = async (seen, index) => {
      // Between the lost answer and the second try.
      if (seen.method === 'PUT' && index > 0) await direct.put('k', 'theirs');
      return first(seen, index);
    };
    await assert.rejects(store.put('k', 'ours', { ifAbsent: true }), fails('PRECONDITION'));
    assert.equal((await direct.get('k')).toString(), 'theirs');
  });

  test('a 409 of a write whose condition no longer holds is PRECONDITION', async (t) => {
    const { store, direct, failing } = await broken(t, rgw);
    const old = await direct.put('k', 'old');
    await direct.put('k', 'theirs');
    failing('PUT', conflict);
    await assert.rejects(store.put('k', 'ours', { ifAbsent: true }), fails('PRECONDITION'));
    failing('PUT', conflict);
    await assert.rejects(store.put('k', 'ours', { ifMatch: old.etag }), fails('PRECONDITION'));
    assert.equal((await direct.get('k')).toString(), 'theirs');
  });

  test('tries are bounded, and what is left is UNAVAILABLE', async (t) => {
    const { store, failing, proxy } = await broken(t, rgw);
    failing('PUT', ...Array<Fault>(50).fill(slowDown));
    await assert.rejects(store.put('k', 'x'), fails('UNAVAILABLE'));
    assert.equal(proxy.seen.length, 3);
    const { left, max } = await store.retryTokens!();
    assert.equal(max - left, 2 * 5, 'two retries that came to nothing');
    failing('PUT', slowDown);
    await store.put('k', 'x');
    assert.equal((await store.retryTokens!()).left, left, 'one that helped gives back what it took');
    failing('PUT', ...Array<Fault>(50).fill({ kind: 'status', status: 409, code: 'OperationAborted' }));
    await assert.rejects(store.put('k', 'x'), fails('UNAVAILABLE'));
    assert.ok(proxy.seen.length <= 10);
    failing('GET', ...Array<Fault>(50).fill(slowDown));
    await assert.rejects(store.get('k'), fails('UNAVAILABLE'));
    await assert.rejects(store.list(''), fails('UNAVAILABLE'));
  });

  test('a server that falls silent, before an answer or within it, is given up and asked again', async (t) => {
    const { place, direct, failing, proxy } = await broken(t, rgw, { silenceMs: 500 });
    const store = s3Store(place);
    const bytes = randomBytes(300_000);
    const silence: Fault = { kind: 'silence' };
    failing('PUT', silence);
    const { etag } = await store.put('k', bytes, { ifAbsent: true });
    failing('HEAD', silence);
    assert.equal((await store.head('k'))?.etag, etag);
    failing('GET', silence, { kind: 'stuck', bytes: 100_000 });
    assert.deepEqual(await store.get('k'), bytes);
    assert.match(proxy.seen.at(-1)?.headers.range ?? '', /^bytes=[1-9]/);
    failing('GET', silence);
    assert.deepEqual((await store.list('')).objects.map(({ key }) => key), ['k']); // prettier-ignore
    failing('DELETE', silence);
    await store.delete('k');
    assert.equal(await direct.head('k'), undefined);
    failing('PUT', ...Array<Fault>(50).fill(silence));
    await assert.rejects(store.put('k', 'x'), fails('UNAVAILABLE'));
    assert.equal(proxy.seen.length, 3);
  });

  test('a body that breaks off is read on from where it broke', async (t) => {
    const { store, direct, failing, proxy } = await broken(t, rgw);
    const bytes = randomBytes(300_000);
    await direct.put('k', bytes);
    failing('GET', { kind: 'truncated', bytes: 100_000 }, { kind: 'truncated', bytes: 50_000 });
    assert.deepEqual(await store.get('k'), bytes);
    const ranges = proxy.seen.map((seen) => seen.headers.range);
    assert.equal(ranges[0], undefined);
    assert.match(ranges[1] ?? '', /^bytes=[1-9]/);
  });

  test('a body whose object was replaced after it broke off is an error, never a mixture', async (t) => {
    const { store, direct, proxy } = await broken(t, rgw);
    await direct.put('k', Buffer.alloc(300_000, 'a'));
    proxy.fault = async (_, index) => {
      if (index > 0) await direct.put('k', Buffer.alloc(300_000, 'b'));
      return { kind: 'truncated', bytes: 100_000 };
    };
    await assert.rejects(store.get('k'), fails('UNAVAILABLE'));
  });

  test('a part that fails is sent again, and a completed upload whose answer was lost is not lost', async (t) => {
    const { store, direct, failing, proxy } = await broken(t, rgw);
    failing('PUT', slowDown, lost);
    const parts = await store.put('k', bigStream(6 * 2 ** 20), { ifAbsent: true });
    assert.equal((await direct.head('k'))?.sha256, parts.sha256);
    let posts = 0;
    proxy.fault = (seen) =>
      seen.method === 'POST' && seen.path.includes('uploadId') && posts++ === 0 ? lost : undefined;
    const completed = await store.put('k2', bigStream(6 * 2 ** 20), { ifAbsent: true });
    assert.equal((await direct.head('k2'))?.sha256, completed.sha256);
  });
});

describe('an upload in parts that meets another writer', { skip: rgw.skip }, () => {
  test('is PRECONDITION when that one was first, and UNAVAILABLE while this is open', async (t) => {
    const { store, direct, proxy } = await broken(t, rgw);
    proxy.fault = (seen) => (seen.method === 'POST' && seen.path.includes('uploadId') ? conflict : undefined);
    await assert.rejects(store.put('k', bigStream(6 * 2 ** 20), { ifAbsent: true }), fails('UNAVAILABLE'));
    proxy.fault = async (seen) => {
      if (seen.method !== 'POST' || !seen.path.includes('uploadId')) return undefined;
      await direct.put('k', 'theirs');
      return conflict;
    };
    await assert.rejects(store.put('k', bigStream(6 * 2 ** 20), { ifAbsent: true }), fails('PRECONDITION'));
    assert.equal((await direct.get('k')).toString(), 'theirs');
  });
});

describe('copies on a server that keeps checksums', { skip: moto.skip }, () => {
  /** moto copies with checksums but ignores conditions; the proxy can decide those in its place. */
  async function copying(t: TestContext, conditions: boolean): Promise<Broken> {
    const setup = await broken(t, moto);
    const { proxy, place } = setup;
    const past = await freshPlace(moto, { prefix: place.prefix.slice(0, -1) });
    proxy.fault = async (seen) => {
      if (!conditions || seen.headers['x-amz-copy-source'] === undefined) return undefined;
      const Key = decodeURIComponent(new URL(seen.path, 'http://x').pathname).slice(`/${place.bucket}/`.length);
      const there = await past.client.send(new HeadObjectCommand({ Bucket: place.bucket, Key })).catch(() => undefined);
      const { 'if-none-match': none, 'if-match': match } = seen.headers;
      const broke = (none !== undefined && there !== undefined) || (match !== undefined && there?.ETag !== match);
      return broke ? { kind: 'status', status: 412, code: 'PreconditionFailed' } : undefined;
    };
    return setup;
  }
  const bodiesRead = (proxy: FaultProxy) => proxy.seen.filter((seen) => seen.method === 'GET').length;

  for (const conditions of [true, false]) {
    test(`${conditions ? 'and conditions' : 'but no conditions'}: bytes travel only where they must`, async (t) => {
      const { store, direct, proxy } = await copying(t, conditions);
      const source = await direct.put('from', 'content');
      const plain = await store.copy('from', 'plain', { sha256: source.sha256 });
      assert.equal(plain.sha256, sha256('content'));
      assert.equal(bodiesRead(proxy), 0);
      const created = await store.copy('from', 'created', { ifAbsent: true });
      assert.deepEqual(await direct.head('created'), created);
      assert.equal(bodiesRead(proxy), conditions ? 0 : 1);
      await assert.rejects(store.copy('from', 'created', { ifAbsent: true }), fails('PRECONDITION'));
      await assert.rejects(store.copy('from', 'created', { ifMatch: '"other"' }), fails('PRECONDITION'));
      await assert.rejects(store.copy('from', 'x', { sha256: sha256('other') }), fails('INTEGRITY'));
      await store.copy('from', 'created', { ifMatch: created.etag });
      assert.deepEqual(
        (await direct.list('')).objects.map((object) => object.key),
        ['created', 'from', 'plain'],
      );
    });
  }
});
