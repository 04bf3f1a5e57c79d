import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { describe, test } from 'node:test';
import {
  DeleteObjectCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  PutObjectCommand,
} from '@aws-sdk/client-s3';
import { sha256 } from '@pangolin/contracts/digest';
import { openFolderStore } from '@pangolin/storage/folder-store';
import { openStore } from '@pangolin/storage/open';
import { probeStore } from '@pangolin/storage/probe';
import { openS3Place } from '@pangolin/storage/s3-place';
import { s3Store } from '@pangolin/storage/s3-store';
import { PART_BYTES } from '@pangolin/storage/s3-upload';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { allKeys, bigStream, fails } from './tools.ts';
import { dbstore, freshPlace, makeVersioned, moto, rgw } from './s3-servers.ts';

describe('an S3 store', { skip: rgw.skip }, () => {
  test('opens from a location and the environment, and says where it is without its options', async (t) => {
    const { prefix } = await freshPlace(rgw);
    const before = { ...process.env };
    t.after(() => void (process.env = before));
    Object.assign(process.env, {
      AWS_ACCESS_KEY_ID: 'testaccess',
      AWS_SECRET_ACCESS_KEY: 'testsecret',
      AWS_ENDPOINT_URL_S3: rgw.endpoint,
    });
    const store = await openStore(`s3://pangolin-test/${prefix}`);
    await store.put('k', 'x');
    assert.equal(store.kind, 's3');
    assert.equal(store.location, `s3://pangolin-test/${prefix.slice(0, -1)}`);
    assert.equal(store.localPath('k'), undefined);
    assert.equal((await store.get('k')).toString(), 'x');
  });

  test('keeps to its prefix', async () => {
    const place = await freshPlace(rgw);
    const inner = s3Store({ ...place, prefix: `${place.prefix}in/` });
    const beside = s3Store({ ...place, prefix: `${place.prefix}in2/` });
    await inner.put('k', 'x');
    await beside.put('k', 'y');
    assert.deepEqual(await allKeys(inner, ''), ['k']);
    assert.deepEqual(await allKeys(s3Store(place), ''), ['in/k', 'in2/k']);
  });

  test('reports the checksum of the server, and reads the bytes where the server has none', async () => {
    const place = await freshPlace(rgw);
    const store = s3Store(place);
    await store.put('with', 'content');
    const head = await place.client.send(
      new HeadObjectCommand({ Bucket: place.bucket, Key: `${place.prefix}with`, ChecksumMode: 'ENABLED' }),
    );
    assert.equal(Buffer.from(head.ChecksumSHA256 ?? '', 'base64').toString('hex'), sha256('content'));
    await place.client.send(
      new PutObjectCommand({ Bucket: place.bucket, Key: `${place.prefix}without`, Body: 'other' }),
    );
    assert.equal((await store.head('without'))?.sha256, sha256('other'));
    await assert.rejects(store.copy('without', 'to', { sha256: sha256('content') }), fails('INTEGRITY'));
    assert.equal(await store.head('to'), undefined);
  });

  test('uploads long streams in parts, under the same conditions, and leaves no parts behind', async () => {
    const place = await freshPlace(rgw);
    const store = s3Store(place);
    const size = 2 * PART_BYTES + 64 * 1024;
    const info = await store.put('k', bigStream(size), { ifAbsent: true });
    assert.match(info.etag, /-3"$/);
    assert.deepEqual(await s3Store(place).head('k'), info, 'a store that did not write it reads it');
    await assert.rejects(store.put('k', bigStream(size), { ifAbsent: true }), fails('PRECONDITION'));
    await assert.rejects(store.put('k', bigStream(size), { ifMatch: '"other"' }), fails('PRECONDITION'));
    await assert.rejects(store.put('gone', bigStream(size), { ifMatch: '"other"' }), fails('PRECONDITION'));
    await assert.rejects(store.put('k', bigStream(size), { sha256: sha256('x') }), fails('INTEGRITY'));
    const broken = Readable.from(
      (async function* () {
        for (let i = 0; i < 200; i++) yield Buffer.alloc(100_000);
        throw new Error('the source broke');
      })(),
    );
    await assert.rejects(store.put('k', broken), /the source broke/);
    assert.deepEqual(await store.head('k'), info);
    await store.put('k', bigStream(size), { ifMatch: info.etag });
    const left = await place.client.send(
      new ListMultipartUploadsCommand({ Bucket: place.bucket, Prefix: place.prefix }),
    );
    assert.deepEqual(left.Uploads ?? [], []);
  });

  test('of several writers that upload one new key in parts, one succeeds', async () => {
    const store = s3Store(await freshPlace(rgw));
    const results = await Promise.allSettled(
      Array.from({ length: 4 }, () => store.put('k', bigStream(PART_BYTES + 64 * 1024), { ifAbsent: true })),
    );
    assert.equal(results.filter((result) => result.status === 'fulfilled').length, 1);
    for (const result of results) if (result.status === 'rejected') fails('PRECONDITION')(result.reason);
  });

  test('encrypts with the named key, and asks for nothing when none is named', async () => {
    const heads = await Promise.all(
      ['&encryption=aws:kms&kmsKeyId=testkey-1', ''].map(async (query) => {
        const place = await freshPlace(rgw, { query });
        const store = s3Store(place);
        await store.put('bytes', 'x');
        await store.put('parts', bigStream(PART_BYTES + 64 * 1024));
        await store.copy('bytes', 'copy');
        assert.equal((await store.get('bytes')).toString(), 'x');
        return await Promise.all(
          ['bytes', 'parts', 'copy'].map(async (key) => {
            const head = await place.client.send(
              new HeadObjectCommand({ Bucket: place.bucket, Key: place.prefix + key }),
            );
            return [head.ServerSideEncryption, head.SSEKMSKeyId];
          }),
        );
      }),
    );
    assert.deepEqual(heads[0], Array(3).fill(['aws:kms', 'testkey-1']));
    assert.deepEqual(heads[1], Array(3).fill([undefined, undefined]));
    const unknown = s3Store(await freshPlace(rgw, { query: '&encryption=aws:kms&kmsKeyId=nosuchkey' }));
    await assert.rejects(unknown.put('k', 'x'));
    assert.equal(await unknown.head('k'), undefined);
  });

  test('says what is wrong with the bucket, the key or the server', async () => {
    const place = await freshPlace(rgw);
    await assert.rejects(s3Store({ ...place, bucket: 'no-such-bucket' }).put('k', 'x'), fails('NOT_FOUND'));
    await assert.rejects(s3Store({ ...place, bucket: 'no-such-bucket' }).list(''), fails('NOT_FOUND'));
    await assert.rejects(
      s3Store({ ...place, bucket: 'no-such-bucket' }).put('k', 'x', { ifMatch: '"e"' }),
      fails('NOT_FOUND'),
    );
    const strangers = [
      { accessKeyId: 'testaccess', secretAccessKey: 'wrong' },
      { accessKeyId: 'nobody', secretAccessKey: 'wrong' },
    ];
    for (const credentials of strangers) {
      const stranger = s3Store(await freshPlace(rgw, { credentials }));
      await assert.rejects(stranger.put('k', 'x'), fails('DENIED'));
      await assert.rejects(stranger.head('k'), fails('DENIED'));
    }
    const nobody = s3Store(
      openS3Place('s3://bucket?endpoint=http://127.0.0.1:9', {
        credentials: { accessKeyId: 'a', secretAccessKey: 'b' },
        maxAttempts: 2,
      }),
    );
    await assert.rejects(nobody.get('k'), fails('UNAVAILABLE'));
    await assert.rejects(nobody.list(''), fails('UNAVAILABLE'));
  });

  test('leaves out of listings what is no key', async () => {
    const place = await freshPlace(rgw);
    for (const Key of ['folder/', 'a//b', '../up', 'fine']) {
      await place.client.send(new PutObjectCommand({ Bucket: place.bucket, Key: place.prefix + Key, Body: 'x' }));
    }
    const store = s3Store(place);
    assert.deepEqual(await allKeys(store, ''), ['fine']);
    assert.deepEqual(await allKeys(store, '', 1), ['fine']);
    await place.client.send(new DeleteObjectCommand({ Bucket: place.bucket, Key: `${place.prefix}fine` }));
    assert.deepEqual(await allKeys(store, ''), []);
  });
});

describe('the start-up probe', () => {
  test('accepts a folder and leaves nothing in it', async (t) => {
    const root = await mkdtemp(join(tmpdir(), 'pangolin-store-'));
    t.after(() => rm(root, { recursive: true }));
    const store = await openFolderStore(root);
    await probeStore(store);
    assert.deepEqual(await allKeys(store, ''), []);
  });

  for (const [name, server] of Object.entries({ 'Ceph RGW': rgw, moto })) {
    test(`accepts ${name} and leaves nothing in it`, { skip: server.skip }, async () => {
      const store = s3Store(await freshPlace(server));
      await probeStore(store);
      assert.deepEqual(await allKeys(store, ''), []);
    });
  }

  test('refuses a server that ignores conditions', { skip: dbstore.skip }, async () => {
    const store = s3Store(await freshPlace(dbstore));
    await assert.rejects(probeStore(store), fails('UNSUPPORTED'));
  });

  test('refuses a bucket in which conditions hold in turn but not in a race', { skip: rgw.skip }, async () => {
    const place = await freshPlace(rgw, { bucket: 'pangolin-versioned' });
    await makeVersioned(place);
    const store = s3Store(place);
    await store.put('k', 'x', { ifAbsent: true });
    await assert.rejects(store.put('k', 'x', { ifAbsent: true }), fails('PRECONDITION'));
    await assert.rejects(probeStore(store), fails('UNSUPPORTED'));
  });

  test('passes on that the bucket is not there', { skip: rgw.skip }, async () => {
    const place = await freshPlace(rgw);
    await assert.rejects(probeStore(s3Store({ ...place, bucket: 'no-such-bucket' })), fails('NOT_FOUND'));
  });
});
