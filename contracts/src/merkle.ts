/** RFC 6962 / RFC 9162 trees over SHA-256. Leaves and nodes are domain-separated (evidence.md §3.3). */
import { hash as hashOnce } from 'node:crypto';

const LEAF = Buffer.of(0);
const NODE = Buffer.of(1);

export function leafHash(leaf: Uint8Array): Buffer {
  return digest(Buffer.concat([LEAF, leaf]));
}

export function nodeHash(left: Uint8Array, right: Uint8Array): Buffer {
  return digest(Buffer.concat([NODE, left, right]));
}

/** By way of a string of bytes: twice as fast as asking for a Buffer, and trees are nothing but short hashes. */
function digest(bytes: Uint8Array): Buffer {
  return Buffer.from(hashOnce('sha256', bytes, 'binary'), 'binary');
}

/**
 * The right edge of a tree: one hash per complete subtree, largest first (one per set bit of `size`).
 * It is all that appending needs, so an append costs O(log n).
 */
export interface Frontier {
  readonly size: number;
  readonly hashes: readonly Buffer[];
}

export const emptyFrontier: Frontier = { size: 0, hashes: [] };

export function append(frontier: Frontier, leaf: Uint8Array): Frontier {
  const hashes = [...frontier.hashes];
  let hash = leafHash(leaf);
  for (let size = frontier.size; size % 2 === 1; size = Math.floor(size / 2)) hash = nodeHash(hashes.pop()!, hash);
  hashes.push(hash);
  return { size: frontier.size + 1, hashes };
}

/** MTH of RFC 6962 §2.1; the empty tree is SHA-256 of nothing. */
export function rootOf(frontier: Frontier): Buffer {
  if (frontier.size === 0) return digest(Buffer.alloc(0));
  return frontier.hashes
    .slice(0, -1)
    .reduceRight<Buffer>((right, left) => nodeHash(left, right), frontier.hashes.at(-1)!);
}

/** 8 bytes of size (big-endian), then 32 bytes a hash. */
export function encodeFrontier(frontier: Frontier): Buffer {
  const size = Buffer.alloc(8);
  size.writeBigUInt64BE(BigInt(frontier.size));
  return Buffer.concat([size, ...frontier.hashes]);
}

export function decodeFrontier(bytes: Buffer): Frontier {
  const size = Number(bytes.readBigUInt64BE(0));
  const hashes: Buffer[] = [];
  for (let at = 8; at < bytes.length; at += 32) hashes.push(Buffer.from(bytes.subarray(at, at + 32)));
  return { size, hashes };
}

/** RFC 9162 §2.1.3.2. False for anything malformed; never throws. */
export function verifyInclusion(
  index: number,
  size: number,
  leaf: Uint8Array,
  proof: readonly Uint8Array[],
  root: Uint8Array,
): boolean {
  if (!Number.isSafeInteger(index) || !Number.isSafeInteger(size) || index < 0 || index >= size) return false;
  let fn = BigInt(index);
  let sn = BigInt(size - 1);
  let hash = leaf;
  for (const sibling of proof) {
    if (sn === 0n || sibling.length !== 32) return false;
    if (fn % 2n === 1n || fn === sn) {
      hash = nodeHash(sibling, hash);
      while (fn % 2n === 0n && fn !== 0n) {
        fn >>= 1n;
        sn >>= 1n;
      }
    } else {
      hash = nodeHash(hash, sibling);
    }
    fn >>= 1n;
    sn >>= 1n;
  }
  return sn === 0n && Buffer.compare(hash, root) === 0;
}

/** RFC 9162 §2.1.4.2. A first size of 0 is refused. False for anything malformed; never throws. */
export function verifyConsistency(
  first: number,
  second: number,
  proof: readonly Uint8Array[],
  firstRoot: Uint8Array,
  secondRoot: Uint8Array,
): boolean {
  if (!Number.isSafeInteger(first) || !Number.isSafeInteger(second) || first < 1 || second < first) return false;
  if (first === second) return proof.length === 0 && Buffer.compare(firstRoot, secondRoot) === 0;
  if (proof.some((hash) => hash.length !== 32)) return false;
  const powerOfTwo = Number.isInteger(Math.log2(first));
  const path = powerOfTwo ? [firstRoot, ...proof] : [...proof];
  if (path.length === 0) return false;
  let fn = BigInt(first - 1);
  let sn = BigInt(second - 1);
  while (fn % 2n === 1n) {
    fn >>= 1n;
    sn >>= 1n;
  }
  let fr: Uint8Array = path[0]!;
  let sr: Uint8Array = path[0]!;
  for (const hash of path.slice(1)) {
    if (sn === 0n) return false;
    if (fn % 2n === 1n || fn === sn) {
      fr = nodeHash(hash, fr);
      sr = nodeHash(hash, sr);
      while (fn % 2n === 0n && fn !== 0n) {
        fn >>= 1n;
        sn >>= 1n;
      }
    } else {
      sr = nodeHash(sr, hash);
    }
    fn >>= 1n;
    sn >>= 1n;
  }
  return sn === 0n && Buffer.compare(fr, firstRoot) === 0 && Buffer.compare(sr, secondRoot) === 0;
}
