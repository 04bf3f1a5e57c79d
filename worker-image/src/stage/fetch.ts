/** Grants → files on this machine, bounded and checked by digest. */
import { createReadStream } from 'node:fs';
import { chown, open, rm } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';
import { sha256Stream, type Sha256 } from '@pangolin/contracts/digest';
import type { Grant } from '@pangolin/contracts/task';
import { AttemptFailure } from '../failure.ts';
import type { BlockUser } from '../options.ts';
import { writeAll } from '../attempt-dir.ts';

export interface Fetch {
  /** For people: `the input report`. */
  readonly what: string;
  readonly grant: Grant;
  readonly sha256: Sha256;
  readonly bytesMax: number;
  /** Must not exist. */
  readonly target: string;
  readonly owner: BlockUser | undefined;
}

/** @throws AttemptFailure StageFailed when it is too large, not there, or has another digest; then `target` is gone. */
export async function fetchGrant(inDir: string, fetch: Fetch, signal: AbortSignal): Promise<void> {
  const hash = sha256Stream();
  const file = await open(fetch.target, 'wx', 0o644);
  try {
    let size = 0;
    for await (const chunk of bytesOf(inDir, fetch, signal)) {
      signal.throwIfAborted();
      size += chunk.length;
      if (size > fetch.bytesMax) {
        throw new AttemptFailure('StageFailed', `${fetch.what} is larger than ${fetch.bytesMax} bytes`);
      }
      hash.update(chunk);
      await writeAll(file, chunk);
    }
    if (hash.digest('hex') !== fetch.sha256) {
      throw new AttemptFailure('StageFailed', `${fetch.what} does not have the digest of the manifest`);
    }
    if (fetch.owner !== undefined) await chown(fetch.target, fetch.owner.uid, fetch.owner.gid);
  } catch (error) {
    await rm(fetch.target, { force: true });
    throw error;
  } finally {
    await file.close();
  }
}

function bytesOf(inDir: string, { grant, what }: Fetch, signal: AbortSignal): AsyncIterable<Uint8Array> {
  if ('url' in grant) return download(grant.url, what, signal);
  const { path } = grant;
  if (isAbsolute(path) || path.includes('\0') || path.split('/').includes('..')) {
    throw new AttemptFailure('StageFailed', `the grant for ${what} leaves the input directory`);
  }
  return createReadStream(join(inDir, path), { highWaterMark: 2 ** 20 });
}

/** A grant's URL may hold a signature in its query: no message shows more than origin and path. */
async function* download(text: string, what: string, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  const url = URL.parse(text);
  if (url === null || !['http:', 'https:'].includes(url.protocol) || url.username !== '' || url.password !== '') {
    throw new AttemptFailure('StageFailed', `the grant for ${what} is no plain http(s) URL`);
  }
  const place = `${url.origin}${url.pathname}`;
  let response: Response;
  try {
    response = await fetch(url, { signal, credentials: 'omit', redirect: 'follow' });
  } catch (cause) {
    signal.throwIfAborted();
    throw new AttemptFailure('StageFailed', `${what} could not be fetched from ${place}`, { cause });
  }
  if (!response.ok || response.body === null) {
    throw new AttemptFailure('StageFailed', `${what} could not be fetched: ${place} answered ${response.status}`);
  }
  yield* response.body;
}
