/** What tests of stores have in common: waiting, listing, streams, counters. */
import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { sha256 } from '@pangolin/contracts/digest';
import { isPangolinError, type ErrorCode } from '@pangolin/contracts/errors';
import type { ObjectStore } from '@pangolin/storage/object-store';

/** For assert.rejects: a PangolinError with this code. */
export const fails = (code: ErrorCode) => (error: unknown) =>
  isPangolinError(error, code) || assert.fail(String(error));

export async function allKeys(store: ObjectStore, prefix: string, limit?: number): Promise<string[]> {
  const keys: string[] = [];
  for (let after: string | undefined; ;) {
    const page = await store.list(prefix, { ...(after === undefined ? {} : { after }), ...(limit ? { limit } : {}) });
    keys.push(...page.objects.map((object) => object.key));
    if (page.next === undefined) return keys;
    after = page.next;
  }
}

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

/** Bytes of buffers that somebody still holds. */
export function heldBytes(): number {
  collectGarbage();
  return process.memoryUsage().arrayBuffers;
}

/** A stream of `size` bytes in fresh chunks of 64 KiB; `look` is called now and then while it is read. */
export function bigStream(size: number, look: () => void = () => undefined): Readable {
  const chunk = 64 * 1024;
  let made = 0;
  return new Readable({
    highWaterMark: chunk,
    read() {
      if (made >= size) return void this.push(null);
      if (made % (4 * 2 ** 20) === 0) look();
      made += chunk;
      this.push(Buffer.alloc(chunk, made / chunk));
    },
  });
}

/** Adds 1 `times` times, each time reading, comparing and swapping until it worked. */
export async function increment(store: ObjectStore, key: string, times: number): Promise<void> {
  for (let done = 0; done < times;) {
    const info = await store.head(key);
    assert.ok(info);
    const value = await store.get(key);
    // What was read may be newer than what was asked about; then the swap fails, which is the point.
    try {
      if (sha256(value) !== info.sha256) continue;
      await store.put(key, String(Number(value) + 1), { ifMatch: info.etag });
      done++;
    } catch (error) {
      if (!isPangolinError(error, 'PRECONDITION')) throw error;
    }
  }
}
