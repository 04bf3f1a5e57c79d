/** The tiles of a deployment's log (C2SP tlog-tiles), read and recomputed. */
import { append, emptyFrontier, leafHash, nodeHash, rootOf } from '@pangolin/contracts/merkle';
import type { Checkpoint } from '@pangolin/contracts/note';
import { TILE_WIDTH, tilePath, tilesBetween, type Tile } from '@pangolin/contracts/tlog';
import type { LogSources, Problem } from './check-log.ts';

/** Of a full bundle of entries. */
const ENTRIES_BYTES_MAX = TILE_WIDTH * 65_537;

export interface Tiles {
  /** Leaf hash in base64 → index. */
  readonly entries: ReadonlyMap<string, number>;
  /** Size → root, of the sizes asked for. */
  readonly roots: ReadonlyMap<number, Buffer>;
}

/** Reads every tile of the log, and recomputes every hash in them from the entries. @param onEntry sees each of them. */
export async function readTiles(
  { get }: LogSources,
  prefix: string,
  head: Checkpoint,
  sizes: ReadonlySet<number>,
  problem: Problem,
  onEntry: (leaf: Buffer) => void = () => {},
): Promise<Tiles> {
  const entries = new Map<string, number>();
  const roots = new Map<number, Buffer>();
  /** Tile level → its hashes, recomputed. */
  const rows: Buffer[][] = [[]];
  let frontier = emptyFrontier;
  for (const tile of tilesBetween(0, head.size)) {
    const key = `${prefix}${tilePath(tile)}`;
    const bytes = await get(key, ENTRIES_BYTES_MAX);
    if (!bytes) {
      problem('tile', `${key} is not there`);
      // Without it nothing that follows can be told apart.
      if (tile.level === 'entries') return { entries, roots };
      continue;
    }
    if (tile.level !== 'entries') {
      if (!bytes.equals(hashesOf(rows, tile))) problem('tile', `${key} does not follow from the entries`);
      continue;
    }
    const leaves = splitEntries(bytes);
    if (leaves?.length !== tile.width) {
      problem('tile', `${key} does not hold ${tile.width} entries`);
      return { entries, roots };
    }
    for (const leaf of leaves) {
      const hash = leafHash(leaf);
      const index = entries.size;
      if (entries.has(hash.toString('base64'))) problem('tile', `entry ${index} is there twice`, { index });
      entries.set(hash.toString('base64'), index);
      onEntry(leaf);
      rows[0]!.push(hash);
      frontier = append(frontier, leaf);
      if (sizes.has(frontier.size)) roots.set(frontier.size, rootOf(frontier));
    }
  }
  if (head.size > 0 && !rootOf(frontier).equals(head.root)) {
    problem('root', 'the entries of the log do not make the root that its key signed');
  }
  return { entries, roots };
}

/** What a tile of hashes has to be; makes the row of its level from the one below when it is needed. */
function hashesOf(rows: Buffer[][], { level, index, width }: Tile): Buffer {
  const at = level as number;
  rows[at] ??= Array.from({ length: Math.floor(rows[at - 1]!.length / TILE_WIDTH) }, (_, tile) =>
    foldHashes(rows[at - 1]!.slice(tile * TILE_WIDTH, (tile + 1) * TILE_WIDTH)),
  );
  return Buffer.concat(rows[at].slice(index * TILE_WIDTH, index * TILE_WIDTH + width));
}

function foldHashes(hashes: readonly Buffer[]): Buffer {
  let row = hashes;
  while (row.length > 1) row = row.flatMap((hash, at) => (at % 2 === 0 ? [nodeHash(hash, row[at + 1]!)] : []));
  return row[0]!;
}

/** Undefined unless the lengths add up. */
function splitEntries(bytes: Buffer): Buffer[] | undefined {
  const leaves: Buffer[] = [];
  for (let at = 0; at < bytes.length;) {
    if (at + 2 > bytes.length) return undefined;
    const end = at + 2 + bytes.readUInt16BE(at);
    if (end > bytes.length) return undefined;
    leaves.push(bytes.subarray(at + 2, end));
    at = end;
  }
  return leaves;
}
