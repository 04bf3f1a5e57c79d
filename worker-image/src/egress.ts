/**
 * The way out for blocks of an item with an allow-list: an HTTP proxy on the task's own loopback, which passes bytes on to
 * the socket of the egress proxy outside. The task has no other network, and what goes through is decided there.
 */
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { EGRESS_SOCKET } from '@pangolin/contracts/egress';

export interface Egress {
  /** For every block: where the proxy is. Empty without an allow-list. */
  readonly env: Readonly<Record<string, string>>;
  close(): void;
}

const CONNECTIONS_MAX = 256;
/** The proxy starts beside the task, and starts again when it was killed. */
const ANSWER_MS = 15_000;
const LOOK_MS = 50;
const NO_EGRESS: Egress = { env: {}, close: () => undefined };

export async function openEgress(inDir: string, hasAllowList: boolean): Promise<Egress> {
  if (!hasAllowList) return NO_EGRESS;
  const sockets = new Set<Socket>();
  const server = createServer(
    { allowHalfOpen: true },
    (block) => void relay(block, join(inDir, EGRESS_SOCKET), sockets),
  );
  server.maxConnections = CONNECTIONS_MAX;
  const port = await listen(server);
  return {
    env: proxyVariables(`http://127.0.0.1:${port}`),
    close() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

async function relay(block: Socket, path: string, sockets: Set<Socket>): Promise<void> {
  keep(block, sockets);
  const proxy = await answering(path);
  if (proxy === undefined || block.destroyed) return void block.destroy();
  keep(proxy, sockets);
  block.once('close', () => proxy.destroy());
  proxy.once('close', () => block.destroy());
  block.pipe(proxy).pipe(block);
}

function keep(socket: Socket, sockets: Set<Socket>): void {
  sockets.add(socket);
  socket.once('close', () => sockets.delete(socket)).on('error', () => socket.destroy());
}

async function answering(path: string): Promise<Socket | undefined> {
  for (const giveUpAt = performance.now() + ANSWER_MS; performance.now() < giveUpAt; await delay(LOOK_MS)) {
    const socket = connect({ path, allowHalfOpen: true });
    const open = await new Promise<boolean>((resolve) => {
      socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    });
    if (open) return socket;
  }
  return undefined;
}

async function listen(server: Server): Promise<number> {
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve));
  server.unref();
  return (server.address() as AddressInfo).port;
}

/** Both spellings: curl reads HTTP_PROXY in lower case only. */
function proxyVariables(url: string): Record<string, string> {
  const upper = { HTTP_PROXY: url, HTTPS_PROXY: url, NO_PROXY: 'localhost,127.0.0.1,::1' };
  const lower = Object.fromEntries(Object.entries(upper).map(([name, value]) => [name.toLowerCase(), value]));
  return { ...upper, ...lower, NODE_USE_ENV_PROXY: '1' };
}
