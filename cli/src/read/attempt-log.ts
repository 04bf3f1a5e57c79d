/** The log of one attempt, read in pieces while a worker still appends to it. */
import { isPangolinError } from '@pangolin/contracts/errors';
import type { AttemptRef } from '@pangolin/contracts/ids';
import { attemptFile, attemptPrefix } from '@pangolin/contracts/layout';
import type { LogLine } from '@pangolin/contracts/output';
import type { ObjectStore } from '@pangolin/storage/object-store';

/** Far above what a worker lets one file grow to. */
const CHUNK_BYTES_MAX = 64 * 2 ** 20;
const LF = 10;

export class AttemptLog {
  readonly attempt: number;
  readonly #store: ObjectStore;
  readonly #prefix: string;
  #seq = 0;
  #offset = 0;

  constructor(store: ObjectStore, ref: AttemptRef) {
    this.#store = store;
    this.#prefix = attemptPrefix(ref);
    this.attempt = ref.attempt;
  }

  /** The whole lines that came since the last call. A line that is not one of ours, which a worker may write, is shown as it is. */
  async *newLines(): AsyncGenerator<LogLine> {
    for (;;) {
      // Whether there is a next file is asked before this one is read: then nothing is appended to this one any more.
      const hasNext = await this.#exists(this.#seq + 1);
      const bytes = await this.#read(this.#seq);
      if (bytes === undefined) return;
      let end = bytes.indexOf(LF, this.#offset);
      for (; end !== -1; end = bytes.indexOf(LF, this.#offset)) {
        const text = bytes.toString('utf8', this.#offset, end);
        this.#offset = end + 1;
        yield parseLine(text);
      }
      if (!hasNext) return;
      this.#seq += 1;
      this.#offset = 0;
    }
  }

  async #exists(seq: number): Promise<boolean> {
    const key = this.#key(seq);
    const { objects } = await this.#store.list(key, { limit: 1 });
    return objects[0]?.key === key;
  }

  async #read(seq: number): Promise<Buffer | undefined> {
    const key = this.#key(seq);
    const { objects } = await this.#store.list(key, { limit: 1 });
    if (objects[0]?.key !== key) return undefined;
    // Nothing new: what has been read already is not fetched again.
    if (objects[0].size <= this.#offset) return Buffer.alloc(0);
    try {
      return await this.#store.get(key, { maxBytes: CHUNK_BYTES_MAX });
    } catch (error) {
      if (isPangolinError(error, 'NOT_FOUND')) return undefined;
      throw error;
    }
  }

  #key(seq: number): string {
    return `${this.#prefix}${attemptFile.log(seq)}`;
  }
}

function parseLine(text: string): LogLine {
  try {
    const value = JSON.parse(text) as LogLine;
    if (typeof value.line === 'string' && typeof value.t === 'string' && typeof value.stream === 'string') return value;
  } catch {
    // Falls through: not one of ours.
  }
  return { t: '', stream: 'worker', line: text };
}
