/** The socket through which tasks without a network reach the store: to this store, this prefix and nowhere else. */
import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, mkdtempSync } from 'node:fs';
import { createServer, request, type IncomingMessage } from 'node:http';
import { connect, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { openStoreRelay, STORE_SOCKET } from '@pangolin/controller/store-relay';

interface Answer {
  readonly status: number | undefined;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

const seen: { readonly method: string; readonly url: string; readonly headers: IncomingMessage['headers'] }[] = [];
const store = createServer((incoming, outgoing) => {
  seen.push({ method: incoming.method!, url: incoming.url!, headers: incoming.headers });
  outgoing.writeHead(200, { etag: '"e"', 'keep-alive': 'timeout=99' });
  incoming.pipe(outgoing);
});
const dir = mkdtempSync(join(tmpdir(), 'pangolin-relay-'));
const socketPath = join(dir, STORE_SOCKET);
let host: string;
let close: () => Promise<void>;

before(async () => {
  await new Promise<void>((done) => store.listen(0, '127.0.0.1', done));
  host = `127.0.0.1:${(store.address() as AddressInfo).port}`;
  close = await openStoreRelay(dir, { origin: `http://${host}`, prefixPath: '/bucket/mine/', formPath: '/bucket' });
});
after(async () => {
  await close();
  store.closeAllConnections();
  store.close();
});

async function ask(method: string, path: string, headers: Record<string, string> = {}, body = ''): Promise<Answer> {
  return await new Promise((resolve, reject) => {
    const asking = request({ socketPath, method, path, headers: { host, ...headers } }, (answer) => {
      let text = '';
      answer.on('data', (chunk: Buffer) => (text += chunk.toString()));
      answer.on('end', () => resolve({ status: answer.statusCode, headers: answer.headers, body: text }));
    });
    asking.on('error', reject);
    asking.end(body);
  });
}

test('a request for the prefix goes through as it is, but for what is of one hop', async () => {
  const path = '/bucket/mine/runs/r/a%20b?X-Amz-Signature=s&x=%2F';
  const answer = await ask('PUT', path, { 'if-none-match': '*', te: 'trailers' }, 'bytes');
  assert.deepEqual([answer.status, answer.body, answer.headers.etag], [200, 'bytes', '"e"']);
  assert.notEqual(answer.headers['keep-alive'], 'timeout=99');
  const { method, url, headers } = seen.at(-1)!;
  assert.deepEqual(
    [method, url, headers['if-none-match'], headers.host, headers.te],
    ['PUT', path, '*', host, undefined],
  );
  assert.equal((await ask('POST', '/bucket', {}, 'form')).body, 'form');
});

test('anything else is refused, and the store is not asked', async () => {
  const before = seen.length;
  const refused: readonly (readonly [string, string, Record<string, string>?])[] = [
    ['DELETE', '/bucket/mine/x'],
    ['HEAD', '/bucket/mine/x'],
    ['GET', '/bucket/other/x'],
    ['GET', '/bucket/mine/../other/x'],
    ['GET', '/bucket/mine/%2E%2e/other/x'],
    ['GET', '/bucket/mine/..%2Fother/x'],
    ['GET', '/bucket/mine%2f../other/x'],
    ['GET', '/bucket?list-type=2'],
    ['POST', '/bucket/mine/x'],
    ['POST', '/other'],
    ['GET', '/bucket/mine/x', { host: '169.254.169.254' }],
    ['GET', 'http://169.254.169.254/bucket/mine/x'],
  ];
  for (const [method, path, headers] of refused) {
    assert.equal((await ask(method, path, headers)).status, 403, `${method} ${path} ${JSON.stringify(headers)}`);
  }
  assert.equal(seen.length, before);
});

test('it is no tunnel', async () => {
  const before = seen.length;
  const closed = await new Promise<string>((resolve) => {
    const socket = connect(socketPath);
    let text = '';
    socket.on('data', (chunk) => (text += chunk.toString()));
    socket.on('error', () => undefined);
    socket.on('close', () => resolve(text));
    socket.write(
      `CONNECT ${host} HTTP/1.1\r\nHost: ${host}\r\n\r\nGET /bucket/mine/x HTTP/1.1\r\nHost: ${host}\r\n\r\n`,
    );
  });
  assert.doesNotMatch(closed, /200/);
  assert.equal(seen.length, before);
});

test('a store that is gone looks gone', async () => {
  const own = mkdtempSync(join(tmpdir(), 'pangolin-relay-'));
  const target = { origin: 'http://127.0.0.1:1', prefixPath: '/b/', formPath: '/b' };
  const stop = await openStoreRelay(own, target);
  const gone = new Promise((_, reject) => {
    request({ socketPath: join(own, STORE_SOCKET), path: '/b/x', headers: { host: '127.0.0.1:1' } })
      .on('error', reject)
      .end();
  });
  await assert.rejects(gone, { code: 'ECONNRESET' });
  await stop();
});

test('a directory that others can enter is refused', async () => {
  const open = join(mkdtempSync(join(tmpdir(), 'pangolin-relay-')), 'd');
  mkdirSync(open);
  chmodSync(open, 0o755);
  const target = { origin: `http://${host}`, prefixPath: '/', formPath: '/' };
  await assert.rejects(openStoreRelay(open, target), { code: 'DENIED', message: /not a private directory/ });
});
