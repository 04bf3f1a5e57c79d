import assert from 'node:assert/strict';
import { request } from 'node:http';
import { describe, test } from 'node:test';
import { HeadObjectCommand } from '@aws-sdk/client-s3';
import { sha256 } from '@pangolin/contracts/digest';
import type { PostGrant } from '@pangolin/contracts/task';
import { s3Grantor } from '@pangolin/storage/s3-grants';
import type { S3Place } from '@pangolin/storage/s3-place';
import { s3Store } from '@pangolin/storage/s3-store';
import { bigStream, fails } from './tools.ts';
import { freshPlace, moto, rgw } from './s3-servers.ts';
import { poll } from '../poll.ts';

const KEY = 'cas/sha256/ab/ü +%2F&x=y';

async function post(grant: PostGrant, key: string, body: string, digest = sha256(body)): Promise<number> {
  const form = new FormData();
  for (const [name, value] of Object.entries(grant.fields)) if (name !== 'key') form.set(name, value);
  form.set('key', key);
  form.set('x-amz-checksum-sha256', Buffer.from(digest, 'hex').toString('base64'));
  form.set('file', new Blob([body]));
  const answer = await fetch(grant.url, { method: 'POST', body: form });
  await answer.arrayBuffer();
  return answer.status;
}

describe('grants of a task on S3', { skip: rgw.skip ?? moto.skip }, () => {
  async function granted(): Promise<{ place: S3Place; grant: PostGrant; at: (key: string) => string }> {
    const place = await freshPlace(rgw, { prefix: `grants/${Math.random()}` });
    const grant = await s3Grantor(place).write('runs/r/attempts/i/1/', 60, 1000);
    return { place, grant, at: (key) => place.prefix + key };
  }

  test('a URL reads its object, without credentials and as a stream', async () => {
    const place = await freshPlace(rgw);
    const store = s3Store(place);
    await store.put(KEY, 'input');
    assert.equal(await (await fetch(await s3Grantor(place).read(KEY, 60))).text(), 'input');
    await store.put('big', bigStream(6 * 2 ** 20));
    const big = await fetch(await s3Grantor(place).read('big', 60));
    assert.equal((await big.arrayBuffer()).byteLength, 6 * 2 ** 20);
  });

  test('a URL reads nothing else, writes nothing and ends', async () => {
    const place = await freshPlace(rgw, { prefix: 'plain' });
    const store = s3Store(place);
    await store.put('a', 'a');
    await store.put('b', 'b');
    const url = await s3Grantor(place).read('a', 60);
    const status = async (target: string, method = 'GET') => {
      const answer = await fetch(target, { method, ...(method === 'PUT' ? { body: 'x' } : {}) });
      await answer.arrayBuffer();
      return answer.status;
    };
    assert.equal(await status(url), 200);
    assert.equal(await status(url.replace('/plain/a?', '/plain/b?')), 403);
    assert.equal(await status(url.replace('Expires=60', 'Expires=6000')), 403);
    assert.equal(await status(url, 'PUT'), 403);
    assert.equal(await status(url, 'DELETE'), 403);
    const short = await s3Grantor(place).read('a', 1);
    await poll('the URL has ended', async () => (await status(short)) === 403);
  });

  for (const server of [rgw, moto]) {
    test(`the fence creates its object once, on ${server.endpoint}`, async () => {
      const place = await freshPlace(server);
      const grant = await s3Grantor(place).create('runs/r/attempts/i/1/boot.json', 60);
      const put = async (body: string, headers: Readonly<Record<string, string>>) =>
        await new Promise<number | undefined>((resolve, reject) => {
          const sent = request(grant.url, { method: 'PUT', headers }, (answer) => {
            answer.resume();
            resolve(answer.statusCode);
          });
          sent.on('error', reject).end(body);
        });
      // moto checks no signatures.
      if (server === rgw) assert.equal(await put('unconditionally', {}), 403);
      const statuses = await Promise.all(['first', 'second', 'third'].map((body) => put(body, grant.headers)));
      assert.deepEqual(statuses.toSorted(), [200, 412, 412]);
      assert.equal(await put('late', grant.headers), 412);
      const kept = (await s3Store(place).get('runs/r/attempts/i/1/boot.json')).toString();
      assert.equal(kept, ['first', 'second', 'third'][statuses.indexOf(200)]);
    });
  }

  test('a form writes below its prefix, and the server keeps the digest it checked', async () => {
    const { place, grant, at } = await granted();
    assert.equal(await post(grant, at('runs/r/attempts/i/1/output.json'), '{}'), 204);
    assert.equal(await post(grant, at('runs/r/attempts/i/1/outputs/deep/x'), 'x'), 204);
    const store = s3Store(place);
    assert.equal((await store.head('runs/r/attempts/i/1/output.json'))?.sha256, sha256('{}'));
    assert.equal((await store.get('runs/r/attempts/i/1/outputs/deep/x')).toString(), 'x');
    const head = await place.client.send(
      new HeadObjectCommand({
        Bucket: place.bucket,
        Key: at('runs/r/attempts/i/1/output.json'),
        ChecksumMode: 'ENABLED',
      }),
    );
    assert.equal(Buffer.from(head.ChecksumSHA256 ?? '', 'base64').toString('hex'), sha256('{}'));
  });

  for (const [what, refused] of [
    ['another attempt', (grant, at) => post(grant, at('runs/r/attempts/i/2/output.json'), '{}')],
    ['a prefix that only begins alike', (grant, at) => post(grant, at('runs/r/attempts/i/10/x'), '{}')],
    ['the store itself', (grant, at) => post(grant, at('controller/lease.json'), '{}')],
    ['more than its size', (grant, at) => post(grant, at('runs/r/attempts/i/1/x'), 'x'.repeat(1001))],
    ['bytes of another digest', (grant, at) => post(grant, at('runs/r/attempts/i/1/x'), '{}', sha256('other'))],
    [
      'another policy',
      (grant, at) => {
        const policy = Buffer.from(grant.fields['Policy'] ?? '', 'base64')
          .toString()
          .replace('1000', '9000');
        const fields = { ...grant.fields, Policy: Buffer.from(policy).toString('base64') };
        return post({ ...grant, fields }, at('runs/r/attempts/i/1/x'), '{}');
      },
    ],
  ] as const satisfies readonly (readonly [
    string,
    (grant: PostGrant, at: (key: string) => string) => Promise<number>,
  ])[]) {
    test(`a form does not write ${what}`, async () => {
      const { place, grant, at } = await granted();
      assert.ok((await refused(grant, at)) >= 400);
      assert.deepEqual((await s3Store(place).list('')).objects, []);
    });
  }

  test('grants are for keys and prefixes of the store, and end within a week', async () => {
    const place = await freshPlace(rgw);
    await assert.rejects(s3Grantor(place).read('../x', 60), fails('INVALID'));
    await assert.rejects(s3Grantor(place).read('x', 8 * 24 * 3600), fails('INVALID'));
    await assert.rejects(s3Grantor(place).write('x', 60, 1), fails('INVALID'));
    await assert.rejects(s3Grantor(place).write('../x/', 60, 1), fails('INVALID'));
    await assert.rejects(s3Grantor(place).write('x/', 0, 1), fails('INVALID'));
  });
});
