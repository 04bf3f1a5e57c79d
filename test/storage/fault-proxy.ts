/** A proxy in front of an S3 server that fails requests as told. */
import { createServer, request, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

export type Fault =
  /** The request reaches the server; its answer is lost. */
  | { readonly kind: 'answer-lost' }
  /** The server is not asked, and nothing is answered. */
  | { readonly kind: 'silence' }
  /** The answer stops after so many bytes of its body, and the connection stays. */
  | { readonly kind: 'stuck'; readonly bytes: number }
  /** The server is not asked. */
  | { readonly kind: 'status'; readonly status: number; readonly code: string }
  /** The answer breaks off after so many bytes of its body. */
  | { readonly kind: 'truncated'; readonly bytes: number }
  /** The answer comes in pieces of so many bytes, one every `everyMs`. */
  | { readonly kind: 'slow'; readonly bytes: number; readonly everyMs: number };

interface Seen {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingMessage['headers'];
}

export interface FaultProxy {
  readonly endpoint: string;
  readonly seen: Seen[];
  /** Asked for every request, with how many came before it since this was set. */
  fault: (seen: Seen, index: number) => Fault | undefined | Promise<Fault | undefined>;
  readonly close: () => Promise<void>;
}

export async function faultProxy(target: string): Promise<FaultProxy> {
  const seen: Seen[] = [];
  const server = createServer((incoming, outgoing) => {
    const entry = { method: incoming.method ?? '', path: incoming.url ?? '', headers: incoming.headers };
    const index = seen.push(entry) - 1;
    void (async () => act(target, incoming, outgoing, await proxy.fault(entry, index)))();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const proxy: FaultProxy = {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    seen,
    fault: () => undefined,
    close: () => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
  return proxy;
}

function act(target: string, incoming: IncomingMessage, outgoing: ServerResponse, fault: Fault | undefined): void {
  if (fault?.kind === 'status') {
    incoming.resume();
    outgoing.writeHead(fault.status, { 'content-type': 'application/xml' });
    outgoing.end(`<?xml version="1.0"?><Error><Code>${fault.code}</Code><Message>as told</Message></Error>`);
    return;
  }
  if (fault?.kind === 'silence') return void incoming.resume();
  const { hostname, port } = new URL(target);
  // The headers go through unchanged: they are signed.
  const forwarded = request(
    { hostname, port, method: incoming.method, path: incoming.url, headers: incoming.headers },
    (answer) => {
      if (fault?.kind === 'answer-lost') {
        answer.resume();
        answer.on('end', () => incoming.socket.destroy());
        return;
      }
      outgoing.writeHead(answer.statusCode ?? 500, answer.headers);
      if (fault?.kind === 'slow') return void trickle(answer, outgoing, fault);
      if (fault?.kind !== 'truncated' && fault?.kind !== 'stuck') {
        answer.pipe(outgoing);
        return;
      }
      let left = fault.bytes;
      answer.on('data', (chunk: Buffer) => {
        outgoing.write(chunk.subarray(0, left));
        left -= chunk.length;
        if (left <= 0) {
          answer.destroy();
          if (fault.kind === 'truncated') outgoing.end(() => incoming.socket.destroy());
        }
      });
    },
  );
  forwarded.on('error', () => incoming.socket.destroy());
  incoming.pipe(forwarded);
}

async function trickle(
  answer: IncomingMessage,
  outgoing: ServerResponse,
  { bytes, everyMs }: { readonly bytes: number; readonly everyMs: number },
): Promise<void> {
  for await (const chunk of answer as AsyncIterable<Buffer>) {
    for (let at = 0; at < chunk.length; at += bytes) {
      outgoing.write(chunk.subarray(at, at + bytes));
      await delay(everyMs);
    }
  }
  outgoing.end();
}
