/**
 * Many digests in few bytes: a long run names hundreds of thousands, and as strings they would be most of what the
 * verifier keeps in memory.
 */
import { randomInt } from 'node:crypto';
import type { Sha256 } from '@pangolin/contracts/digest';

const BYTES = 32;
/** Digests are chosen by others, and must not be able to choose their slots. */
const SEEDS = [randomInt(2 ** 32), randomInt(2 ** 32)] as const;

export class DigestIndex {
  /** In the order in which they were added. */
  #digests = Buffer.alloc(64 * BYTES);
  /** Place of a digest plus one, by its hash; zero is free. At most half of them are taken. */
  #slots = new Int32Array(256);
  readonly #wanted = Buffer.alloc(BYTES);
  #size = 0;

  get size(): number {
    return this.#size;
  }

  has(digest: Sha256): boolean {
    return this.indexOf(digest) >= 0;
  }

  /** The how manieth it was, from 0; -1 when it was not added. */
  indexOf(digest: Sha256): number {
    this.#wanted.write(digest, 'hex');
    return this.#slots[this.#find(this.#wanted, 0)]! - 1;
  }

  /** False when it is there already. */
  add(digest: Sha256): boolean {
    this.#wanted.write(digest, 'hex');
    const slot = this.#find(this.#wanted, 0);
    if (this.#slots[slot] !== 0) return false;
    const at = this.#size * BYTES;
    if (at === this.#digests.length) this.#digests = Buffer.concat([this.#digests], 2 * at);
    this.#wanted.copy(this.#digests, at);
    this.#slots[slot] = ++this.#size;
    if (2 * this.#size > this.#slots.length) this.#widen();
    return true;
  }

  /** The slot of the digest at `start` of `bytes`, or the free one where it belongs. */
  #find(bytes: Buffer, start: number): number {
    const mask = this.#slots.length - 1;
    let slot =
      (Math.imul(bytes.readInt32LE(start), SEEDS[0]) ^ Math.imul(bytes.readInt32LE(start + 4), SEEDS[1])) >>> 7;
    for (slot &= mask; ; slot = (slot + 1) & mask) {
      const place = (this.#slots[slot]! - 1) * BYTES;
      if (place < 0 || this.#digests.compare(bytes, start, start + BYTES, place, place + BYTES) === 0) return slot;
    }
  }

  #widen(): void {
    this.#slots = new Int32Array(4 * this.#slots.length);
    for (let index = 0; index < this.#size; index++) {
      this.#slots[this.#find(this.#digests, index * BYTES)] = index + 1;
    }
  }
}

/** As a Map by digest; what was set once stays. */
export class DigestMap<V> {
  readonly #index = new DigestIndex();
  readonly #values: V[] = [];

  get size(): number {
    return this.#index.size;
  }

  get(digest: Sha256): V | undefined {
    return this.#values[this.#index.indexOf(digest)];
  }

  /** False when there is a value already. */
  add(digest: Sha256, value: V): boolean {
    if (!this.#index.add(digest)) return false;
    this.#values.push(value);
    return true;
  }
}
