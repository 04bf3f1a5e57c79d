/** HTTP to the store through grants: no credential, patient with what passes, bounded in what it waits for. */
import { request as overHttp, type IncomingMessage, type RequestOptions } from 'node:http';
import { request as overHttps } from 'node:https';
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { AttemptFailure, isDiskFull } from './failure.ts';

/** A connection on which nothing moves for so long is given up, before and inside a body. */
const SILENCE_MS = 30_000;
/** How long one request is repeated while the store, or the way to it, is away. */
export const STORE_PATIENCE_MS = 60 * 60_000;
/** Tries of a request that is refused, not unanswered. */
const REFUSALS_MAX = 5;
const BACKOFF_MS = { first: 100, most: 10_000 };
const ERROR_BODY_BYTES = 4096;

export interface StoreRequest {
  readonly method: 'GET' | 'PUT' | 'POST';
  readonly url: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Made anew for every try. */
  readonly body?: { readonly size: number; readonly chunks: () => AsyncIterable<Uint8Array> | Iterable<Uint8Array> };
  readonly signal?: AbortSignal | undefined;
}

/** An answer that is no success. Its message names no query: that holds a signature. */
export class StoreRefusal extends Error {
  readonly status: number;

  constructor(request: StoreRequest, status: number, code: string) {
    super(`${placeOf(request.url)} answered ${status}${code}`);
    this.name = 'StoreRefusal';
    this.status = status;
  }
}

export class StoreClient {
  readonly #socketPath: string | undefined;

  /** @param socketPath unix socket of a relay that forwards to the store; without one, requests go there directly */
  constructor(socketPath?: string) {
    this.#socketPath = socketPath;
  }

  /** @returns the answer, whose body the caller reads to its end. @throws StoreRefusal; anything else is no answer */
  async send(request: StoreRequest): Promise<IncomingMessage> {
    const answer = await this.#exchange(request);
    const status = answer.statusCode ?? 0;
    if (status >= 200 && status < 300) return answer;
    throw new StoreRefusal(request, status, codeIn(await start(answer)));
  }

  /** The body behind a URL. @throws besides: Error when it breaks off */
  async *read(url: string, signal?: AbortSignal): AsyncGenerator<Buffer> {
    const answer = await this.send({ method: 'GET', url, signal });
    const announced = answer.headers['content-length'];
    let size = 0;
    for await (const chunk of answer as AsyncIterable<Buffer>) {
      size += chunk.length;
      yield chunk;
    }
    if (announced !== undefined && size !== Number(announced)) throw new Error('the answer broke off');
  }

  /** The whole of it. @throws besides: AttemptFailure above `bytesMax` */
  async download(url: string, bytesMax: number): Promise<Buffer> {
    const chunks: Buffer[] = [];
    let size = 0;
    for await (const chunk of this.read(url)) {
      size += chunk.length;
      if (size > bytesMax) throw new AttemptFailure('StageFailed', `${placeOf(url)} holds more than ${bytesMax} bytes`);
      chunks.push(chunk);
    }
    return Buffer.concat(chunks);
  }

  async #exchange({ method, url: text, headers = {}, body, signal }: StoreRequest): Promise<IncomingMessage> {
    const url = plainUrl(text);
    const options: RequestOptions = {
      method,
      path: url.pathname + url.search,
      headers: { ...headers, host: url.host, ...(body && { 'content-length': String(body.size) }) },
      ...(this.#socketPath === undefined
        ? { hostname: url.hostname.replace(/^\[|\]$/g, ''), port: url.port }
        : { socketPath: this.#socketPath }),
      ...(signal && { signal }),
    };
    const send = url.protocol === 'https:' && this.#socketPath === undefined ? overHttps : overHttp;
    return await new Promise((resolve, reject) => {
      const sent = send(options, resolve);
      sent.on('error', reject);
      sent.setTimeout(SILENCE_MS, () => sent.destroy(new Error(`nothing moved for ${SILENCE_MS} ms`)));
      if (!body) return void sent.end();
      // The store may answer before it has read everything; then the rest of the body has no reader and no matter.
      const source = Readable.from(body.chunks(), { objectMode: false });
      source.on('error', (error) => sent.destroy(error));
      sent.on('close', () => source.destroy());
      source.pipe(sent);
    });
  }
}

/**
 * Repeats `once` while that can help: unanswered or overloaded for STORE_PATIENCE_MS, refused a few times.
 * @param options.renew called after a refusal; true when there are newer grants by now, or when they are due
 */
export async function patiently<T>(
  once: () => Promise<T>,
  options: { readonly signal?: AbortSignal | undefined; readonly renew?: () => Promise<boolean> },
): Promise<T> {
  const giveUpAt = performance.now() + STORE_PATIENCE_MS;
  for (let tries = 1, refusals = 0; ; tries++) {
    try {
      return await once();
    } catch (error) {
      options.signal?.throwIfAborted();
      const refused = error instanceof StoreRefusal && !passes(error.status);
      if (refused && !(await options.renew?.())) refusals++;
      if (refusals >= REFUSALS_MAX || performance.now() >= giveUpAt || isFinal(error)) throw error;
    }
    const most = Math.min(BACKOFF_MS.most, BACKOFF_MS.first * 2 ** Math.min(tries, 10));
    await sleep(most * (0.5 + Math.random() / 2), undefined, { ...(options.signal && { signal: options.signal }) });
  }
}

/** Statuses that say nothing about the request itself. */
const passes = (status: number): boolean => status >= 500 || [408, 409, 425, 429].includes(status);

/** What does not pass by waiting for the store: a full disk here, a file that cannot be opened, a verdict. */
function isFinal(error: unknown): boolean {
  const { syscall } = error as NodeJS.ErrnoException;
  return error instanceof AttemptFailure || isDiskFull(error) || syscall === 'open' || syscall === 'chown';
}

function plainUrl(text: string): URL {
  const url = URL.parse(text);
  const plain =
    url !== null && ['http:', 'https:'].includes(url.protocol) && url.username === '' && url.password === '';
  if (!plain) throw new AttemptFailure('StageFailed', 'a grant is no plain http(s) URL');
  return url;
}

/** For people: without the query. */
function placeOf(url: string): string {
  const parsed = URL.parse(url);
  return parsed === null ? 'the store' : `${parsed.origin}${parsed.pathname}`;
}

async function start(answer: IncomingMessage): Promise<string> {
  let text = '';
  try {
    for await (const chunk of answer) {
      text += (chunk as Buffer).toString('latin1');
      if (text.length >= ERROR_BODY_BYTES) break;
    }
  } catch {
    // The status is there; the words are a courtesy.
  }
  return text;
}

const codeIn = (text: string): string => {
  const code = /<Code>([A-Za-z0-9.]{1,100})<\/Code>/.exec(text)?.[1];
  return code === undefined ? '' : ` (${code})`;
};
