/**
 * The deployment's log: leaves in the form of Rekor v2, tiles in the layout of C2SP tlog-tiles 0.1.0, and the proofs
 * of RFC 9162 made from stored subtree hashes. Everything here is pure; where hashes are kept is the caller's matter.
 */
import { canonicalBytes } from './canonical.ts';
import { sha256 } from './digest.ts';
import { decodeBase64, pae, type Envelope } from './dsse.ts';
import { PangolinError } from './errors.ts';
import { emptyFrontier, nodeHash, rootOf } from './merkle.ts';

/** Hashes of a full tile, and entries of a full bundle. A tile spans 8 levels of the tree. */
export const TILE_WIDTH = 256;
/** Bytes of one leaf: an entry bundle has two bytes for its length. */
export const LEAF_BYTES_MAX = 65_535;

/**
 * Leaf bytes of one DSSE signature: a `hashedrekord` entry (0.0.2) over SHA-256 of the PAE, as Rekor v2 logs DSSE.
 * It follows from the envelope and the key alone, so a verifier rebuilds it and trusts no copy.
 * @param publicKey SubjectPublicKeyInfo (DER) of an EC P-256 key.
 */
export function hashedRekordLeaf(envelope: Envelope, publicKey: Uint8Array): Buffer {
  const payload = decodeBase64(envelope.payload);
  if (!payload) throw new PangolinError('INVALID', 'the payload of the envelope is not base64');
  const digest = Buffer.from(sha256(pae(payload, envelope.payloadType)), 'hex');
  return canonicalBytes({
    apiVersion: '0.0.2',
    kind: 'hashedrekord',
    spec: {
      hashedRekordV002: {
        data: { algorithm: 'SHA2_256', digest: digest.toString('base64') },
        signature: {
          content: envelope.signatures[0].sig,
          verifier: {
            keyDetails: 'PKIX_ECDSA_P256_SHA_256',
            publicKey: { rawBytes: Buffer.from(publicKey).toString('base64') },
          },
        },
      },
    },
  });
}

/** One tile of hashes (`level` counts tiles, not tree levels) or one bundle of entries. */
export interface Tile {
  readonly level: number | 'entries';
  readonly index: number;
  /** 1 to 256; less than 256 is a partial tile under its own name. */
  readonly width: number;
}

/** `tile/0/x001/234.p/5`: three digits a segment, all but the last with `x`, the width of a partial tile at the end. */
export function tilePath(tile: Tile): string {
  const digits = String(tile.index);
  const groups = digits.padStart(Math.ceil(digits.length / 3) * 3, '0').match(/.{3}/g)!;
  const name = groups.map((group, at) => (at < groups.length - 1 ? `x${group}` : group)).join('/');
  return `tile/${tile.level}/${name}${tile.width < TILE_WIDTH ? `.p/${tile.width}` : ''}`;
}

/** Every tile that a tree of `newSize` leaves has and one of `oldSize` has not; entry bundles first, then by level. */
export function tilesBetween(oldSize: number, newSize: number): Tile[] {
  const tiles: Tile[] = [];
  for (const level of ['entries', 0, 1, 2, 3, 4, 5, 6] as const) {
    const span = TILE_WIDTH ** (level === 'entries' ? 0 : level);
    const before = Math.floor(oldSize / span);
    const after = Math.floor(newSize / span);
    for (let index = Math.floor(before / TILE_WIDTH); before < after && index * TILE_WIDTH < after; index++) {
      tiles.push({ level, index, width: Math.min(TILE_WIDTH, after - index * TILE_WIDTH) });
    }
  }
  return tiles;
}

/** An entry bundle: each leaf after its length in two bytes, big-endian. */
export function encodeEntries(leaves: readonly Uint8Array[]): Buffer {
  return Buffer.concat(
    leaves.flatMap((leaf) => {
      if (leaf.length > LEAF_BYTES_MAX) throw new PangolinError('TOO_LARGE', 'a log entry is longer than 65,535 bytes');
      return [Buffer.of(leaf.length >> 8, leaf.length & 0xff), leaf];
    }),
  );
}

/**
 * The hash of the complete subtree at tree level `level` (0 = leaves) and position `index`: over the leaves
 * [index × 2^level, (index + 1) × 2^level).
 */
export type HashAt = (level: number, index: number) => Buffer;

/** The root over the first `size` leaves. */
export function treeRoot(size: number, hashAt: HashAt): Buffer {
  return size === 0 ? rootOf(emptyFrontier) : rangeHash(0, size, hashAt);
}

/** RFC 9162 §2.1.3.1: the audit path of leaf `index` in the tree of the first `size` leaves. */
export function inclusionProof(index: number, size: number, hashAt: HashAt): Buffer[] {
  if (!Number.isSafeInteger(index) || !Number.isSafeInteger(size) || index < 0 || index >= size) {
    throw new PangolinError('INVALID', `no leaf ${index} in a tree of ${size}`);
  }
  const path: Buffer[] = [];
  for (let low = 0, high = size; high - low > 1;) {
    const middle = low + splitOf(high - low);
    if (index < middle) {
      path.push(rangeHash(middle, high, hashAt));
      high = middle;
    } else {
      path.push(rangeHash(low, middle, hashAt));
      low = middle;
    }
  }
  return path.reverse();
}

/** RFC 9162 §2.1.4.1: that the tree of `first` leaves is a prefix of the one of `second`; empty for equal sizes. */
export function consistencyProof(first: number, second: number, hashAt: HashAt): Buffer[] {
  if (!Number.isSafeInteger(first) || !Number.isSafeInteger(second) || first < 1 || first > second) {
    throw new PangolinError('INVALID', `no consistency proof from ${first} to ${second}`);
  }
  const path: Buffer[] = [];
  let low = 0;
  let high = second;
  while (high !== first) {
    const middle = low + splitOf(high - low);
    if (first <= middle) {
      path.push(rangeHash(middle, high, hashAt));
      high = middle;
    } else {
      path.push(rangeHash(low, middle, hashAt));
      low = middle;
    }
  }
  // The verifier knows the old root itself; any other common subtree has to be told.
  if (low > 0) path.push(rangeHash(low, high, hashAt));
  return path.reverse();
}

/** The largest power of two below `n`. */
function splitOf(n: number): number {
  let split = 1;
  while (split * 2 < n) split *= 2;
  return split;
}

/** MTH of the leaves [low, high); `low` is a multiple of every complete subtree in it. */
function rangeHash(low: number, high: number, hashAt: HashAt): Buffer {
  const size = high - low;
  const level = Math.log2(size);
  if (Number.isInteger(level)) return hashAt(level, low / size);
  const middle = low + splitOf(size);
  return nodeHash(rangeHash(low, middle, hashAt), rangeHash(middle, high, hashAt));
}
