/**
 * The egress proxy as a program, before real servers: what it lets through, what it refuses, and what its log says. What it
 * cuts goes through a proxy without those guards.
 */
import assert from 'node:assert/strict';
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer as createHttp, request as startRequest, type IncomingMessage } from 'node:http';
import { createServer as createHttps } from 'node:https';
import { connect, type AddressInfo, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { connect as connectTls } from 'node:tls';
import type { EgressLine, EgressPolicy } from '@pangolin/contracts/egress';
import { weakenedPrograms } from '../redteam/weakened.ts';
import { poll } from '../poll.ts';

const dir = mkdtempSync(join(tmpdir(), 'pangolin-egress-'));
const source = join(import.meta.dirname, '..', '..', 'controller', 'src', 'egress', 'main.ts');

interface Proxy {
  readonly child: ChildProcess;
  readonly socketPath: string;
  printed: string;
}

async function startProxy(name: string, program: string, policy: EgressPolicy): Promise<Proxy> {
  const socketPath = join(dir, `${name}.sock`);
  const child = spawn(process.execPath, [program], {
    env: { PANGOLIN_EGRESS_POLICY: JSON.stringify(policy), PANGOLIN_EGRESS_SOCKET: socketPath },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const proxy: Proxy = { child, socketPath, printed: '' };
  child.stdout.on('data', (chunk: Buffer) => (proxy.printed += chunk.toString()));
  await poll('the proxy listens', () => existsSync(socketPath));
  return proxy;
}

describe('the egress proxy', () => {
  let shipped: Proxy;
  let weakened: Proxy;
  let plain: number;
  let secure: number;
  const servers: Server[] = [];

  before(async () => {
    const subject = ['-subj', '/CN=localhost', '-days', '2', '-nodes'];
    const files = ['-keyout', join(dir, 'key.pem'), '-out', join(dir, 'cert.pem')];
    execFileSync('openssl', ['req', '-x509', '-newkey', 'rsa:2048', ...subject, ...files], { stdio: 'ignore' });
    const answer = (request: IncomingMessage, response: import('node:http').ServerResponse): void => {
      let size = 0;
      request.on('data', (chunk: Buffer) => (size += chunk.length));
      request.on('end', () => {
        response.setHeader('X-Seen', JSON.stringify([request.method, request.url, request.headers['host'], size]));
        response.end(`hello ${request.headers['proxy-authorization'] ?? 'nobody'}`);
      });
    };
    plain = await listen(createHttp(answer));
    const identity = { key: readFileSync(join(dir, 'key.pem')), cert: readFileSync(join(dir, 'cert.pem')) };
    secure = await listen(createHttps(identity, answer));
    const policy: EgressPolicy = {
      allow: [`localhost:${plain}`, `localhost:${secure}`, 'localhost', `127.0.0.1:${plain}`],
      internal: [`localhost:${plain}`, `localhost:${secure}`],
      host: [],
    };
    shipped = await startProxy('shipped', source, policy);
    mkdirSync(join(dir, 'weakened'));
    weakenedPrograms(join(dir, 'weakened'));
    weakened = await startProxy('weakened', join(dir, 'weakened', 'egress.mjs'), policy);
  });
  after(() => {
    for (const each of [shipped, weakened]) each?.child.kill('SIGKILL');
    for (const server of servers) server.close();
    rmSync(dir, { recursive: true, force: true });
  });

  async function listen(server: Server): Promise<number> {
    servers.push(server);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return (server.address() as AddressInfo).port;
  }

  /** The socket of an open tunnel, or the status that refused it. */
  async function tunnel(target: string, { socketPath } = shipped): Promise<{ status: number; socket: Socket }> {
    const request = startRequest({ socketPath, method: 'CONNECT', path: target, agent: false });
    request.end();
    const [response, socket] = (await once(request, 'connect')) as [IncomingMessage, Socket];
    socket.on('error', () => undefined);
    return { status: response.statusCode ?? 0, socket };
  }

  async function get(url: string, body?: Buffer): Promise<{ status: number; seen: unknown; text: string }> {
    const headers = {
      host: 'evil.test',
      'proxy-authorization': 'mine',
      ...(body && { 'content-length': body.length }),
    };
    const method = body ? 'POST' : 'GET';
    const request = startRequest({ socketPath: shipped.socketPath, method, path: url, headers, agent: false });
    request.end(body);
    const [response] = (await once(request, 'response')) as [IncomingMessage];
    let text = '';
    for await (const chunk of response) text += (chunk as Buffer).toString();
    const seen = response.headers['x-seen'];
    return { status: response.statusCode ?? 0, seen: seen && (JSON.parse(seen as string) as unknown), text };
  }

  /** Until the other end is closed, what came. */
  async function rest(socket: Socket): Promise<string> {
    let text = '';
    socket.on('data', (chunk: Buffer) => (text += chunk.toString()));
    if (!socket.destroyed) await once(socket, 'close');
    return text;
  }

  /** A line that matches, once it is there, after so many characters. */
  async function logged(matches: (line: EgressLine) => boolean, proxy = shipped, from = 0): Promise<EgressLine> {
    return await poll(
      `in the log: ${matches.toString()}`,
      () => {
        const lines = proxy.printed.slice(from).split('\n').slice(0, -1);
        return lines.map((line) => JSON.parse(line) as EgressLine).find(matches);
      },
      () => proxy.printed,
    );
  }

  test('plain HTTP goes to the host of its URL, whatever the Host header said, without what belongs to the proxy', async () => {
    const { status, seen, text } = await get(`http://localhost:${plain}/a?b=c`);
    assert.deepEqual([status, text], [200, 'hello nobody']);
    assert.deepEqual(seen, ['GET', '/a?b=c', `localhost:${plain}`, 0]);
    const big = await get(`http://localhost:${plain}/big`, Buffer.alloc(300_000, 'x'));
    assert.deepEqual(big.seen, ['POST', '/big', `localhost:${plain}`, 300_000]);
    await logged((line) => line.event === 'closed' && line.sent > 300_000);
  });

  test('HTTPS goes through a tunnel whose handshake names the host', async () => {
    const { status, socket } = await tunnel(`localhost:${secure}`);
    assert.equal(status, 200);
    const tls = connectTls({ socket, servername: 'localhost', rejectUnauthorized: false });
    tls.end('GET /in HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n');
    let text = '';
    for await (const chunk of tls) text += (chunk as Buffer).toString();
    assert.match(text, /hello nobody$/);
    await logged((line) => line.event === 'allowed' && line.method === 'CONNECT' && line.address === '127.0.0.1');
  });

  test('plain HTTP in a tunnel reaches the host of the tunnel, request by request, and no other', async () => {
    const ask = async (target: string, host: string, proxy = shipped): Promise<string> => {
      const { socket } = await tunnel(target, proxy);
      socket.write(
        `GET /first HTTP/1.1\r\nHost: ${host}\r\n\r\nGET /second HTTP/1.1\r\nHost: evil.test\r\nConnection: close\r\n\r\n`,
      );
      return await rest(socket);
    };
    const answer = await ask(`localhost:${plain}`, `localhost:${plain}`);
    assert.match(answer, /^HTTP\/1.1 200 [^]*"\/first"[^]*hello nobody[^]*HTTP\/1.1 400 /);
    assert.match(await ask(`localhost:${plain}`, 'evil.test', weakened), /^HTTP\/1.1 200 /, 'the attack does not work');
    assert.match(await ask(`localhost:${plain}`, 'evil.test'), /^HTTP\/1.1 400 /);
    const ssh = await tunnel(`localhost:${plain}`);
    ssh.socket.write('SSH-2.0-client\r\n');
    assert.doesNotMatch(await rest(ssh.socket), /SSH|hello/);
  });

  const handshake = (socket: Socket, servername: string): void => {
    const tls = connectTls({ socket, servername, rejectUnauthorized: false }, () => tls.destroy());
    tls.on('error', () => undefined);
  };
  const cuts: readonly [string, string, (socket: Socket) => void][] = [
    ['another name', 'NameMismatch', (socket) => handshake(socket, 'evil.test')],
    ['no name', 'NameMismatch', (socket) => handshake(socket, '')],
    ['no handshake', 'NotTls', (socket) => socket.write(Buffer.from([0, 0, 0, 8, 4, 210, 22, 47]))],
    ['half a handshake', 'NotTls', (socket) => socket.end(Buffer.from([22, 3, 1, 2, 0, 1]))],
  ];
  for (const [what, reason, act] of cuts) {
    test(`a tunnel with ${what} is cut before a byte goes through`, async () => {
      const before = weakened.printed.length;
      act((await tunnel(`localhost:${secure}`, weakened)).socket);
      const through = await logged((each) => each.event === 'closed', weakened, before);
      assert.ok(through.event === 'closed' && through.sent > 0, 'the attack does not work');
      const { status, socket } = await tunnel(`localhost:${secure}`);
      assert.equal(status, 200);
      act(socket);
      assert.equal(await rest(socket), '');
      const line = await logged((each) => each.event === 'closed' && each.reason === reason);
      assert.ok(line.event === 'closed' && line.sent === 0 && line.received === 0);
    });
  }

  const refusals: readonly [string, string, number][] = [
    ['evil.test:443', 'NotAllowed', 403],
    ['localhost:443', 'InternalAddress', 403],
    ['169.254.169.254:80', 'NotAllowed', 403],
    ['no-port', 'Malformed', 400],
  ];
  for (const [target, reason, expected] of refusals) {
    test(`CONNECT ${target} is refused: ${reason}`, async () => {
      const { status, socket } = await tunnel(target);
      socket.destroy();
      assert.equal(status, expected);
      await logged((line) => line.event === 'refused' && line.reason === reason && target.startsWith(line.host));
    });
  }

  test('plain HTTP to an address that only the item allows, and without a host, is refused', async () => {
    assert.equal((await get(`http://127.0.0.1:${plain}/`)).status, 403);
    assert.equal((await get('/local')).status, 400);
    assert.equal((await get(`https://localhost:${secure}/`)).status, 400);
    assert.equal((await get(`ftp://localhost:${plain}/`)).status, 400);
  });

  test('a request that smuggles another one is refused by the parser', async () => {
    const socket = connect(shipped.socketPath);
    socket.on('error', () => undefined);
    socket.write(
      `POST http://localhost:${plain}/ HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET http://evil.test/ HTTP/1.1\r\n\r\n`,
    );
    assert.doesNotMatch(await rest(socket), /200 OK/);
  });

  test('the log ends with a count when the proxy is told to stop', async () => {
    shipped.child.kill('SIGTERM');
    const [code] = (await once(shipped.child, 'close')) as [number];
    assert.equal(code, 0);
    const last = shipped.printed.trimEnd().split('\n').at(-1) ?? '';
    const line = JSON.parse(last) as EgressLine;
    assert.ok(line.event === 'end' && line.connections > 10);
  });
});
