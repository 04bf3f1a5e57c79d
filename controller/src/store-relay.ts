/**
 * The way from tasks of this machine, which have no network, to the store: a unix socket that forwards requests to
 * the store's own address and nowhere else. It adds nothing to them; what they may do is what their signatures say.
 * When the controller is gone the socket is dead, and workers try again until the next one listens.
 */
import { createServer, request as overHttp, type IncomingMessage, type ServerResponse } from 'node:http';
import { request as overHttps } from 'node:https';
import { lstatSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream';
import { PangolinError, messageOf } from '@pangolin/contracts/errors';
import type { GrantTarget } from '@pangolin/storage/object-store';

export const STORE_SOCKET = 'store.sock';
/** On which nothing moves for so long is given up. */
const SILENCE_MS = 60_000;
/** What a task may ask for. */
const METHODS = ['GET', 'PUT', 'POST'];
/** Of one hop only. */
const HOP_HEADERS = [
  'connection',
  'keep-alive',
  'proxy-authorization',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
];

/**
 * Listens on `dir/store.sock`; `dir` is made, for this user only. Returns stop.
 * @throws PangolinError DENIED when `dir` is somebody else's; UNAVAILABLE when it cannot listen there
 */
export async function openStoreRelay(dir: string, target: GrantTarget): Promise<() => Promise<void>> {
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const stat = lstatSync(dir);
  if (!stat.isDirectory() || stat.uid !== (process.getuid?.() ?? 0) || (stat.mode & 0o077) !== 0) {
    throw new PangolinError('DENIED', `${dir} is not a private directory of this user`, {
      hint: 'Somebody else made it; remove it or set TMPDIR.',
    });
  }
  const socket = join(dir, STORE_SOCKET);
  // Of a controller that was killed: the run-state is exclusive, so it is dead.
  rmSync(socket, { force: true });
  const server = createServer((incoming, outgoing) => {
    if (refused(incoming, target)) return void outgoing.writeHead(403).end();
    forward(incoming, outgoing, target);
  });
  server.requestTimeout = 0;
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(socket, resolve);
  }).catch((cause: unknown) => {
    throw new PangolinError('UNAVAILABLE', `cannot listen on ${socket}: ${messageOf(cause)}`, {
      cause,
      hint: 'The path of a socket holds 107 bytes: set TMPDIR to a shorter one.',
    });
  });
  return async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  };
}

/** Anything but a request for this bucket and prefix, at this address. */
function refused({ method = '', url = '', headers }: IncomingMessage, target: GrantTarget): boolean {
  const path = url.split('?')[0] ?? '';
  const inside = method === 'POST' ? path === target.formPath : path.startsWith(target.prefixPath);
  // However a server decodes it.
  const up = /(\/|%2f)(\.|%2e){1,2}(\/|%2f|$)/i.test(path);
  return !METHODS.includes(method) || headers.host !== new URL(target.origin).host || !inside || up;
}

function forward(incoming: IncomingMessage, outgoing: ServerResponse, target: GrantTarget): void {
  const origin = new URL(target.origin);
  const send = origin.protocol === 'https:' ? overHttps : overHttp;
  const onward = send(
    {
      hostname: origin.hostname.replace(/^\[|\]$/g, ''),
      port: origin.port,
      method: incoming.method,
      path: incoming.url,
      headers: withoutHop(incoming.headers),
      ...(target.ca && { ca: target.ca }),
    },
    (answer) => {
      outgoing.writeHead(answer.statusCode ?? 502, withoutHop(answer.headers));
      pipeline(answer, outgoing, () => undefined);
    },
  );
  // To the worker a store that does not answer and one that breaks off look as they would without us.
  onward.on('error', () => incoming.socket.destroy());
  onward.setTimeout(SILENCE_MS, () => onward.destroy(new Error('silent')));
  incoming.on('error', () => onward.destroy());
  outgoing.on('close', () => !outgoing.writableFinished && onward.destroy());
  incoming.pipe(onward);
}

function withoutHop(headers: IncomingMessage['headers']): IncomingMessage['headers'] {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !HOP_HEADERS.includes(name)));
}
