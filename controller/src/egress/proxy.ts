/**
 * The egress proxy of one task: HTTP and HTTPS to the hosts that its item allows, and nothing else.
 *
 * HTTPS goes through CONNECT, and the server name of the TLS handshake must be the host that CONNECT named. Plain HTTP
 * is forwarded request by request, with the Host header of its URL; also from a tunnel, as some clients send it. What is
 * inside of TLS stays between the two ends.
 */
import {
  createServer,
  request as startRequest,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http';
import { connect, isIP, type Socket } from 'node:net';
import { Duplex, Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { isAllowed, type Destination, type EgressPolicy, type EgressRefusal } from '@pangolin/contracts/egress';
import { HELLO_BYTES_MAX, readClientHello } from './client-hello.ts';
import type { EgressLog, Attempted } from './egress-log.ts';
import { parseDestination } from './policy.ts';
import type { Resolver } from './resolver.ts';

const PARALLEL_MAX = 256;
const CONNECT_MS = 10_000;
const HELLO_MS = 10_000;
const IDLE_MS = 10 * 60_000;

/** Belong to one hop (RFC 9110 §7.6.1), or to the proxy. */
const HOP_HEADERS = new Set([
  'connection',
  'host',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

const STATUS: Readonly<Record<EgressRefusal, string>> = {
  NotAllowed: '403 Forbidden',
  InternalAddress: '403 Forbidden',
  NameMismatch: '403 Forbidden',
  NotTls: '403 Forbidden',
  Unresolvable: '502 Bad Gateway',
  Unreachable: '502 Bad Gateway',
  Malformed: '400 Bad Request',
  TooMany: '429 Too Many Requests',
};

/** Why a destination gets no connection. */
class Refusal extends Error {
  readonly reason: EgressRefusal;

  constructor(reason: EgressRefusal) {
    super(reason);
    this.reason = reason;
  }
}

export interface ProxyParts {
  readonly policy: EgressPolicy;
  readonly resolver: Resolver;
  readonly log: EgressLog;
}

/** Plain HTTP in a tunnel: the sockets that a server of its own reads, and where each of them leads. */
interface Tunnels {
  readonly server: Server;
  readonly targets: WeakMap<Duplex, Destination>;
}

export function createProxy(parts: ProxyParts): Server {
  const targets = new WeakMap<Duplex, Destination>();
  const inner = createServer((request, response) => {
    void forward(parts, request, response, tunnelled(request, targets.get(request.socket)));
  });
  inner.on('clientError', (_error, socket) => socket.destroy());
  const tunnels: Tunnels = { server: inner, targets };
  const server = createServer((request, response) => {
    void forward(parts, request, response, absolute(request));
  });
  server.maxConnections = PARALLEL_MAX;
  server.on('connect', (request: IncomingMessage, client: Duplex, head: Buffer) => {
    void tunnel(parts, tunnels, request.url ?? '', client as Socket, head);
  });
  server.on('clientError', (_error, socket) => socket.destroy());
  return server;
}

/** CONNECT host:port. */
async function tunnel(
  parts: ProxyParts,
  tunnels: Tunnels,
  target: string,
  client: Socket,
  head: Buffer,
): Promise<void> {
  client.on('error', () => client.destroy());
  const connection = parts.log.open();
  const destination = parseDestination(target);
  const attempted = { method: 'CONNECT', host: destination?.host ?? target, port: destination?.port ?? 0 };
  let upstream: Socket;
  let address: string;
  try {
    if (connection === undefined) throw new Refusal('TooMany');
    if (destination === undefined) throw new Refusal('Malformed');
    ({ upstream, address } = await open(parts, attempted));
  } catch (error) {
    const reason = reasonOf(error);
    if (connection !== undefined) parts.log.refused(connection, attempted, reason);
    client.end(`HTTP/1.1 ${STATUS[reason]}\r\nConnection: close\r\nX-Pangolin-Egress: ${reason}\r\n\r\n`);
    return;
  }
  parts.log.allowed(connection, attempted, address);
  client.write('HTTP/1.1 200 Connection Established\r\n\r\n');
  const { bytes, ...hello } = await readHello(client, head);
  const isHttp = !hello.tls && /^[A-Z]$/.test(bytes.toString('latin1', 0, 1));
  const cut = isHttp ? undefined : await join(client, upstream, bytes, cutFor(hello, attempted.host));
  upstream.destroy();
  if (isHttp) {
    // A server reads past what was given back to a socket, so it gets another stream.
    const requests = Duplex.from({ readable: Readable.from(startingWith(bytes, client)), writable: client });
    requests.on('error', () => client.destroy());
    tunnels.targets.set(requests, attempted);
    tunnels.server.emit('connection', requests);
  } else client.destroy();
  parts.log.closed(connection, upstream.bytesWritten, upstream.bytesRead, cut);
}

/** Why a tunnel to `host` that begins this way is cut. */
function cutFor({ tls, name }: Omit<ReadHello, 'bytes'>, host: string): EgressRefusal | undefined {
  if (!tls) return 'NotTls';
  // An address cannot be a server name (RFC 6066 §3).
  const expected = isIP(host) === 0 ? host : undefined;
  return name?.toLowerCase().replace(/\.$/, '') === expected ? undefined : 'NameMismatch';
}

/** Passes bytes on until one end closes, unless there is a reason not to. */
async function join(client: Socket, upstream: Socket, first: Buffer, cut: EgressRefusal | undefined) {
  if (cut !== undefined) return cut;
  upstream.write(first);
  for (const socket of [client, upstream]) socket.setTimeout(IDLE_MS, () => socket.destroy());
  await Promise.allSettled([pipeline(client, upstream), pipeline(upstream, client)]);
  return undefined;
}

interface ReadHello {
  readonly tls: boolean;
  readonly name: string | undefined;
  readonly bytes: Buffer;
}

async function readHello(client: Socket, head: Buffer): Promise<ReadHello> {
  let bytes = head;
  const giveUp = setTimeout(() => client.destroy(), HELLO_MS);
  try {
    for (;;) {
      const hello = readClientHello(bytes);
      if (hello.state === 'hello') return { tls: true, name: hello.name, bytes };
      if (hello.state === 'invalid' || bytes.length > HELLO_BYTES_MAX) break;
      const chunk = await nextChunk(client);
      if (chunk === undefined) break;
      bytes = Buffer.concat([bytes, chunk]);
    }
  } finally {
    clearTimeout(giveUp);
  }
  return { tls: false, name: undefined, bytes };
}

async function* startingWith(first: Buffer, rest: Socket): AsyncGenerator<Buffer> {
  yield first;
  yield* rest as AsyncIterable<Buffer>;
}

/** Undefined at the end. Leaves the stream paused, so that nothing of what follows is lost. */
async function nextChunk(client: Socket): Promise<Buffer | undefined> {
  return await new Promise((resolve) => {
    const done = (chunk: Buffer | undefined): void => {
      client.pause();
      client.off('data', done).off('end', onEnd).off('close', onEnd);
      resolve(chunk);
    };
    const onEnd = (): void => done(undefined);
    if (client.destroyed || client.readableEnded) return resolve(undefined);
    client.on('data', done).on('end', onEnd).on('close', onEnd);
    client.resume();
  });
}

/** `GET http://host/path`: its URL; undefined when it is another one. */
function absolute({ url: text = '' }: IncomingMessage): URL | undefined {
  const url = URL.parse(text);
  return url?.protocol === 'http:' ? url : undefined;
}

/** `GET /path` in a tunnel, whose host it has to name. */
function tunnelled({ url: text = '', headers }: IncomingMessage, target: Destination | undefined): URL | undefined {
  if (target === undefined || !text.startsWith('/') || headers.host === undefined) return undefined;
  const named = URL.parse(`http://${headers.host}`);
  const host = target.host.includes(':') ? `[${target.host}]` : target.host;
  const url = URL.parse(text, `http://${host}:${target.port}`);
  return named !== null && named.host === url?.host ? url : undefined;
}

/** @param url undefined for a request that is none for a proxy */
async function forward(
  parts: ProxyParts,
  request: IncomingMessage,
  response: ServerResponse,
  url: URL | undefined,
): Promise<void> {
  const { log } = parts;
  const connection = log.open();
  const destination = url && parseDestination(`${url.hostname}:${url.port || 80}`);
  const method = (request.method ?? '').slice(0, 20);
  const attempted = { method, host: destination?.host ?? request.url ?? '', port: destination?.port ?? 0 };
  try {
    if (connection === undefined) throw new Refusal('TooMany');
    if (destination === undefined || url === undefined) throw new Refusal('Malformed');
    const { upstream, address } = await open(parts, attempted);
    log.allowed(connection, attempted, address);
    try {
      await exchange(request, response, upstream, url);
    } finally {
      upstream.destroy();
      log.closed(connection, upstream.bytesWritten, upstream.bytesRead);
    }
  } catch (error) {
    const reason = reasonOf(error);
    if (error instanceof Refusal && connection !== undefined) log.refused(connection, attempted, reason);
    if (response.headersSent) return void response.destroy();
    const headers = { connection: 'close', 'x-pangolin-egress': reason };
    response.writeHead(Number(STATUS[reason].slice(0, 3)), headers).end();
  }
}

/** One request on a connection of its own. */
async function exchange(request: IncomingMessage, response: ServerResponse, upstream: Socket, url: URL): Promise<void> {
  const headers: string[] = ['Host', url.host, 'Connection', 'close'];
  for (let at = 0; at < request.rawHeaders.length; at += 2) {
    const [name = '', value = ''] = request.rawHeaders.slice(at, at + 2);
    if (!HOP_HEADERS.has(name.toLowerCase())) headers.push(name, value);
  }
  const outgoing = startRequest({
    createConnection: () => upstream,
    method: request.method,
    path: `${url.pathname}${url.search}`,
    headers,
    timeout: IDLE_MS,
  });
  const answered = new Promise<IncomingMessage>((resolve, reject) => {
    outgoing
      .once('response', resolve)
      .once('error', reject)
      .once('timeout', () => outgoing.destroy());
    response.once('close', () => outgoing.destroy());
  });
  const sent = pipeline(request, outgoing);
  sent.catch(() => undefined);
  const incoming = await answered;
  const back = Object.entries(incoming.headers).filter(([name]) => !HOP_HEADERS.has(name));
  response.writeHead(incoming.statusCode ?? 502, Object.fromEntries(back));
  await pipeline(incoming, response);
}

interface Opened {
  readonly upstream: Socket;
  readonly address: string;
}

/** @throws Refusal */
async function open({ policy, resolver }: ProxyParts, destination: Attempted): Promise<Opened> {
  if (!isAllowed(destination, policy)) throw new Refusal('NotAllowed');
  const resolution = await resolver.resolve(destination);
  if ('refused' in resolution) throw new Refusal(resolution.refused);
  for (const address of resolution.addresses) {
    const upstream = await connected(address, destination.port);
    if (upstream !== undefined) return { upstream, address };
  }
  throw new Refusal('Unreachable');
}

async function connected(host: string, port: number): Promise<Socket | undefined> {
  return await new Promise((resolve) => {
    const socket = connect({ host, port });
    const giveUp = setTimeout(() => socket.destroy(), CONNECT_MS);
    socket.once('connect', () => (clearTimeout(giveUp), socket.off('close', failed), resolve(socket)));
    const failed = (): void => (clearTimeout(giveUp), resolve(undefined));
    socket.once('close', failed);
    socket.on('error', () => socket.destroy());
  });
}

const reasonOf = (error: unknown): EgressRefusal => (error instanceof Refusal ? error.reason : 'Unreachable');
