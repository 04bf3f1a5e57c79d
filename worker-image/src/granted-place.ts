/**
 * An attempt in a bucket. Everything is written to a directory of the runner's first, and brought to the attempt prefix
 * through the grants: the log as it grows, products when they are complete, output.json last.
 */
import { randomBytes } from 'node:crypto';
import { open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { sha256, type Sha256 } from '@pangolin/contracts/digest';
import { attemptFile } from '@pangolin/contracts/layout';
import type { Output, ProductRef } from '@pangolin/contracts/output';
import type { PostGrant } from '@pangolin/contracts/task';
import { chunksOf } from './attempt-dir.ts';
import type { AttemptPlace } from './attempt-place.ts';
import type { Products } from './attempt.ts';
import { AttemptFailure } from './failure.ts';
import { StoreRefusal, type StoreRequest } from './store-client.ts';
import type { TaskGrants } from './task-grants.ts';

/** A file that still grows is sent whole, again and again: it is kept small. */
const LOG_FILE_BYTES = 2 ** 20;
/** From the first new line to its upload; then, while lines keep coming, ever slower. */
const LOG_MS = { first: 1000, most: 10_000, slower: 1.5 };
const UPLOADS_AT_ONCE = 4;
/** Whoever watches a large upload hears of it this often. */
const PROGRESS_BYTES = 64 * 2 ** 20;
const BOOT_BYTES_MAX = 65_536;

interface Content extends ProductRef {
  readonly chunks: () => AsyncIterable<Uint8Array> | Iterable<Uint8Array>;
}

export class GrantedPlace implements AttemptPlace {
  readonly dir: string;
  readonly logFileBytes = LOG_FILE_BYTES;
  readonly #grants: TaskGrants;
  /** What of the log is in the bucket. */
  readonly #sent = new Map<string, Sha256>();
  readonly #grown = new Set<string>();
  readonly #ended = new AbortController();
  #following: Promise<void> | undefined;

  constructor(dir: string, grants: TaskGrants) {
    this.dir = dir;
    this.#grants = grants;
  }

  async claim(boot: Uint8Array): Promise<boolean> {
    let asked = 0;
    return await this.#grants.patiently(async () => {
      const { boot: grant, bootRead } = this.#grant();
      try {
        asked++;
        await this.#send({ method: 'PUT', ...grant, body: { size: boot.length, chunks: () => [boot] } });
        return true;
      } catch (error) {
        if (!(error instanceof StoreRefusal) || error.status !== 412) throw error;
        // Perhaps it was this very worker, and the answer was lost.
        return asked > 1 && (await this.#grants.client.download(bootRead.url, BOOT_BYTES_MAX)).equals(boot);
      }
    });
  }

  logGrew(name: string): void {
    this.#grown.add(name);
    this.#following ??= this.#follow();
  }

  async publish({ patch, outputs = {} }: Products, say: (line: string) => void, signal: AbortSignal): Promise<void> {
    const files: (readonly [string, ProductRef])[] = Object.entries(outputs).map(([path, ref]) => [
      `${attemptFile.outputs}${path}`,
      ref,
    ]);
    if (patch !== undefined) files.unshift([attemptFile.patch, patch]);
    const { maxBytes } = this.#grant().files;
    const large = files.find(([, { size }]) => size > maxBytes);
    if (large)
      throw new AttemptFailure('OutputTooLarge', `${large[0]} is larger than the ${maxBytes} bytes of one object`);
    const next = files.values();
    const uploader = async (): Promise<void> => {
      for (const [name, ref] of next) await this.#uploadFile(name, ref, say, signal);
    };
    await Promise.all(Array.from({ length: UPLOADS_AT_ONCE }, uploader));
  }

  async seal(output: Output, bytes: Uint8Array): Promise<void> {
    this.#ended.abort();
    await this.#following;
    for (const { file, ...ref } of output.logs) {
      if (this.#sent.get(file) !== ref.sha256) await this.#uploadFile(file, ref, () => undefined);
    }
    await this.#upload(attemptFile.output, { sha256: sha256(bytes), size: bytes.length, chunks: () => [bytes] });
  }

  async #follow(): Promise<void> {
    for (let wait = LOG_MS.first; !this.#ended.signal.aborted; wait = Math.min(wait * LOG_MS.slower, LOG_MS.most)) {
      await sleep(wait, undefined, { signal: this.#ended.signal, ref: false }).catch(() => undefined);
      const names = [...this.#grown];
      this.#grown.clear();
      if (names.length === 0) wait = LOG_MS.first / LOG_MS.slower;
      for (const name of names) {
        // Best effort: what is missing is sent with the next lines, or in the end.
        await this.#uploadLog(name).catch(() => this.#grown.add(name));
      }
    }
  }

  async #uploadLog(name: string): Promise<void> {
    const bytes = await readFile(join(this.dir, name));
    const digest = sha256(bytes);
    if (this.#sent.get(name) === digest) return;
    await this.#post(name, { sha256: digest, size: bytes.length, chunks: () => [bytes] }, this.#ended.signal);
    this.#sent.set(name, digest);
  }

  async #uploadFile(name: string, ref: ProductRef, say: (line: string) => void, signal?: AbortSignal): Promise<void> {
    const file = await open(join(this.dir, name));
    const chunks = (): AsyncIterable<Uint8Array> => toldOf(chunksOf(file.fd), name, ref.size, say);
    try {
      await this.#upload(name, { ...ref, chunks }, signal);
    } finally {
      await file.close();
    }
  }

  async #upload(name: string, content: Content, signal?: AbortSignal): Promise<void> {
    await this.#grants.patiently(() => this.#post(name, content, signal), signal);
  }

  async #post(name: string, content: Content, signal?: AbortSignal): Promise<void> {
    const { files } = this.#grant();
    const boundary = `pangolin-${randomBytes(16).toString('hex')}`;
    const [head, tail] = formAround(files, boundary, name, content.sha256);
    const body = {
      size: head.length + content.size + tail.length,
      async *chunks() {
        yield head;
        yield* content.chunks();
        yield tail;
      },
    };
    const headers = { 'content-type': `multipart/form-data; boundary=${boundary}` };
    await this.#send({ method: 'POST', url: files.url, headers, body, signal });
  }

  async #send(request: StoreRequest): Promise<void> {
    (await this.#grants.client.send(request)).resume();
  }

  #grant() {
    const { attempt } = this.#grants;
    if (attempt === undefined)
      throw new AttemptFailure('WorkerFailed', 'the newer grants leave out the attempt prefix');
    return attempt;
  }
}

/** The parts of the form before and after the bytes of the file. */
function formAround(grant: PostGrant, boundary: string, name: string, digest: Sha256): readonly [Buffer, Buffer] {
  const fields = {
    ...grant.fields,
    key: grant.keyPrefix + name,
    'x-amz-checksum-sha256': Buffer.from(digest, 'hex').toString('base64'),
  };
  const part = (header: string, value: string): string =>
    `--${boundary}\r\nContent-Disposition: form-data; ${header}\r\n\r\n${value}`;
  const head = Object.entries(fields).map(([field, value]) => `${part(`name="${field}"`, value)}\r\n`);
  return [
    Buffer.from(head.join('') + part('name="file"; filename="file"', '')),
    Buffer.from(`\r\n--${boundary}--\r\n`),
  ];
}

/** The same chunks, and a line for every PROGRESS_BYTES of them. */
async function* toldOf(
  chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  name: string,
  size: number,
  say: (line: string) => void,
): AsyncGenerator<Uint8Array> {
  let sent = 0;
  for await (const chunk of chunks) {
    yield chunk;
    const before = Math.floor(sent / PROGRESS_BYTES);
    sent += chunk.length;
    if (Math.floor(sent / PROGRESS_BYTES) > before && sent < size)
      say(`uploading ${name}: ${Math.floor(sent / 2 ** 20)} of ${Math.ceil(size / 2 ** 20)} MiB`);
  }
}
