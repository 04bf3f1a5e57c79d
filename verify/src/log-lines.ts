/** The lines of `events.jsonl` and the RFC 6962 tree over them, without copying a line. */
import { hash } from 'node:crypto';
import { isUtf8 } from 'node:buffer';
import { append, emptyFrontier, rootOf } from '@pangolin/contracts/merkle';
import type { Sha256 } from '@pangolin/contracts/digest';
import { refuse } from './refusal.ts';

const LF = 0x0a;
/** Lines of one run; more is hostile. */
const LINES_MAX = 10_000_000;

export class LogLines {
  readonly #bytes: Buffer;
  /** Start of every line, and one past the end of the file. */
  readonly #starts: number[] = [0];

  /** @throws Refusal unless `bytes` are lines of UTF-8, each ended by a line feed, none empty. */
  constructor(bytes: Buffer) {
    this.#bytes = bytes;
    if (bytes.length === 0 || bytes.at(-1) !== LF) refuse('events.jsonl does not end in a line feed');
    if (!isUtf8(bytes)) refuse('events.jsonl is not UTF-8');
    for (let at = bytes.indexOf(LF); at >= 0; at = bytes.indexOf(LF, at + 1)) {
      if (at === this.#starts.at(-1)) refuse(`line ${this.#starts.length} of events.jsonl is empty`);
      this.#starts.push(at + 1);
      if (this.#starts.length > LINES_MAX) refuse(`events.jsonl has more than ${LINES_MAX} lines`);
    }
  }

  get length(): number {
    return this.#starts.length - 1;
  }

  /** Without its line feed. */
  text(index: number): string {
    return this.#bytes.toString('utf8', this.#starts[index]!, this.#starts[index + 1]! - 1);
  }

  sha256(): Sha256 {
    return hash('sha256', this.#bytes, 'hex');
  }

  /** Root of the tree of all lines (MTH of RFC 6962 §2.1). */
  root(): Sha256 {
    let level = this.#leafCells();
    while (level.count > 1) level = parents(level);
    return level.cells.toString('hex', 1, 33);
  }

  /** Root of the tree of the first `size` lines, for each of `sizes` (ascending). */
  prefixRoots(sizes: readonly number[]): Sha256[] {
    const roots: Sha256[] = [];
    let frontier = emptyFrontier;
    for (const size of sizes) {
      while (frontier.size < size) frontier = append(frontier, this.#line(frontier.size));
      roots.push(rootOf(frontier).toString('hex'));
    }
    return roots;
  }

  #line(index: number): Buffer {
    return this.#bytes.subarray(this.#starts[index]!, this.#starts[index + 1]! - 1);
  }

  /**
   * Leaf hashes. The byte before a line is the line feed of the one before: for a moment it becomes the 0x00 that the
   * preimage of a leaf starts with, so that no line is copied.
   */
  #leafCells(): Level {
    const bytes = this.#bytes;
    const cells = emptyLevel(this.length);
    writeHash(cells, 0, Buffer.concat([Buffer.of(0), this.#line(0)]));
    for (let index = 1; index < this.length; index++) {
      const start = this.#starts[index]! - 1;
      bytes[start] = 0;
      writeHash(cells, index, bytes.subarray(start, this.#starts[index + 1]! - 1));
      bytes[start] = LF;
    }
    return cells;
  }
}

/**
 * One level of a tree in cells of 65 bytes, `01 | left | right`: a cell is the preimage of the node above it. Digests
 * travel as latin1 strings, because making a Buffer for each costs more than hashing it.
 */
interface Level {
  readonly cells: Buffer;
  readonly count: number;
}

const CELL = 65;

function emptyLevel(count: number): Level {
  const cells = Buffer.alloc(Math.ceil(count / 2) * CELL);
  for (let at = 0; at < cells.length; at += CELL) cells[at] = 1;
  return { cells, count };
}

const place = (index: number): number => (index >> 1) * CELL + 1 + (index & 1) * 32;

function writeHash(level: Level, index: number, preimage: Uint8Array): void {
  level.cells.write(hash('sha256', preimage, 'binary'), place(index), 32, 'latin1');
}

function parents(level: Level): Level {
  const above = emptyLevel(Math.ceil(level.count / 2));
  const pairs = level.count >> 1;
  for (let pair = 0; pair < pairs; pair++) {
    writeHash(above, pair, level.cells.subarray(pair * CELL, (pair + 1) * CELL));
  }
  // The odd node is carried up as it is.
  if (level.count % 2 === 1) {
    const odd = place(level.count - 1);
    level.cells.copy(above.cells, place(pairs), odd, odd + 32);
  }
  return above;
}
