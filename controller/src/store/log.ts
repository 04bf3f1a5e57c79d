/** The deployment's log in SQLite: leaves, the hashes of its tree, and every checkpoint ever signed. */
import type Database from 'better-sqlite3';
import { sha256, type Sha256 } from '@pangolin/contracts/digest';
import { PangolinError } from '@pangolin/contracts/errors';
import { leafHash, nodeHash } from '@pangolin/contracts/merkle';
import { TILE_WIDTH, treeRoot } from '@pangolin/contracts/tlog';

export interface StoredCheckpoint {
  readonly size: number;
  readonly root: Buffer;
  /** The signed note. */
  readonly note: string;
}

/** Tree levels in one tile level: a tile has 2^8 hashes. */
const LEVELS = 8;

export class LogStore {
  readonly #size: Database.Statement;
  readonly #leafByRef: Database.Statement;
  readonly #insertLeaf: Database.Statement;
  readonly #bodies: Database.Statement;
  readonly #insertHash: Database.Statement;
  readonly #hashes: Database.Statement;
  readonly #insertCheckpoint: Database.Statement;
  readonly #setNote: Database.Statement;
  readonly #keepNote: Database.Statement;
  readonly #note: Database.Statement;
  readonly #checkpoint: Database.Statement;
  readonly #lastCheckpoint: Database.Statement;
  readonly #witnessed: Database.Statement;
  readonly #setWitnessed: Database.Statement;
  readonly #anchored: Database.Statement;
  readonly #setAnchored: Database.Statement;
  readonly #checkpointsFrom: Database.Statement;

  constructor(db: Database.Database) {
    this.#size = db.prepare('SELECT coalesce(max(idx), -1) + 1 AS size FROM log_leaf');
    this.#leafByRef = db.prepare('SELECT idx FROM log_leaf WHERE ref = ?');
    this.#insertLeaf = db.prepare('INSERT INTO log_leaf VALUES (?, ?, ?)');
    this.#bodies = db.prepare('SELECT body FROM log_leaf WHERE idx >= ? AND idx < ? ORDER BY idx');
    this.#insertHash = db.prepare('INSERT INTO log_hash VALUES (?, ?, ?)');
    this.#hashes = db.prepare('SELECT hash FROM log_hash WHERE level = ? AND idx >= ? AND idx < ? ORDER BY idx');
    this.#insertCheckpoint = db.prepare('INSERT INTO log_checkpoint VALUES (?, ?, ?) ON CONFLICT DO NOTHING');
    this.#setNote = db.prepare('UPDATE log_checkpoint SET note = ? WHERE size = ?');
    this.#keepNote = db.prepare('INSERT INTO log_note VALUES (?, ?) ON CONFLICT DO NOTHING');
    this.#note = db.prepare('SELECT note FROM log_note WHERE sha256 = ?');
    this.#checkpoint = db.prepare('SELECT * FROM log_checkpoint WHERE size = ?');
    this.#lastCheckpoint = db.prepare('SELECT * FROM log_checkpoint ORDER BY size DESC LIMIT 1');
    this.#witnessed = db.prepare('SELECT size FROM witness WHERE name = ?');
    this.#setWitnessed = db.prepare('INSERT OR REPLACE INTO witness VALUES (?, ?)');
    this.#anchored = db.prepare('SELECT size FROM checkpoint_anchor WHERE anchor = ?');
    this.#setAnchored = db.prepare('INSERT OR REPLACE INTO checkpoint_anchor VALUES (?, ?)');
    this.#checkpointsFrom = db.prepare('SELECT * FROM log_checkpoint WHERE size > ? ORDER BY size LIMIT ? + 0');
  }

  size(): number {
    return (this.#size.get() as { size: number }).size;
  }

  /** Inside a transaction. Answers the leaf's index: the first one when `ref` was appended before. */
  append(ref: string, body: Buffer): number {
    const known = this.#leafByRef.get(ref) as { idx: number } | undefined;
    if (known) return known.idx;
    const index = this.size();
    this.#insertLeaf.run(index, body, ref);
    this.#insertHash.run(0, index, leafHash(body));
    // A tile that is full now has a hash of its own one tile level up.
    for (let level = 1, count = index + 1; count % TILE_WIDTH === 0; level++) {
      count /= TILE_WIDTH;
      this.#insertHash.run(level, count - 1, fold(this.#range(level - 1, (count - 1) * TILE_WIDTH, TILE_WIDTH)));
    }
    return index;
  }

  /** The hash of a complete subtree (`HashAt` of contracts/tlog). @throws PangolinError INTEGRITY when hashes are missing. */
  readonly hashAt = (level: number, index: number): Buffer => {
    const width = 2 ** (level % LEVELS);
    return fold(this.#range(Math.floor(level / LEVELS), index * width, width));
  };

  root(size: number): Buffer {
    return treeRoot(size, this.hashAt);
  }

  /** The bytes of a hash tile. */
  tile(level: number, index: number, width: number): Buffer {
    return Buffer.concat(this.#range(level, index * TILE_WIDTH, width));
  }

  /** Leaf bytes from `first` on. */
  leaves(first: number, count: number): Buffer[] {
    return (this.#bodies.all(first, first + count) as { body: Buffer }[]).map((row) => row.body);
  }

  /**
   * Inside a transaction. Keeps a checkpoint before anybody sees it.
   * @throws PangolinError INTEGRITY when another root was signed at this size: the log must not go on.
   */
  addCheckpoint(checkpoint: StoredCheckpoint): void {
    this.#insertCheckpoint.run(checkpoint.size, checkpoint.root, checkpoint.note);
    if (!this.checkpoint(checkpoint.size)!.root.equals(checkpoint.root)) {
      throw new PangolinError('INTEGRITY', `two roots for the log at size ${checkpoint.size}`);
    }
  }

  /** Inside a transaction. Puts a note with more cosignatures in the place of the stored one, which stays known by its digest. */
  setNote(size: number, note: string): void {
    this.#keepNote.run(sha256(note), note);
    this.#setNote.run(note, size);
  }

  /** A cosigned note by its digest; undefined for what never was one. */
  cosignedNote(digest: Sha256): string | undefined {
    return (this.#note.get(digest) as { note: string } | undefined)?.note;
  }

  checkpoint(size: number): StoredCheckpoint | undefined {
    return this.#checkpoint.get(size) as StoredCheckpoint | undefined;
  }

  lastCheckpoint(): StoredCheckpoint | undefined {
    return this.#lastCheckpoint.get() as StoredCheckpoint | undefined;
  }

  /** The newest size that the witness has signed; 0 before the first. */
  witnessedSize(name: string): number {
    return (this.#witnessed.get(name) as { size: number } | undefined)?.size ?? 0;
  }

  setWitnessedSize(name: string, size: number): void {
    this.#setWitnessed.run(name, size);
  }

  /** Checkpoints larger than the newest one that the anchor keeps; of a new anchor only the last there is. */
  checkpointsToAnchor(anchor: string, limit: number): StoredCheckpoint[] {
    const row = this.#anchored.get(anchor) as { size: number } | undefined;
    const from = row?.size ?? (this.lastCheckpoint()?.size ?? 0) - 1;
    return this.#checkpointsFrom.all(from, limit) as StoredCheckpoint[];
  }

  setAnchored(anchor: string, size: number): void {
    this.#setAnchored.run(anchor, size);
  }

  #range(level: number, first: number, count: number): Buffer[] {
    const rows = this.#hashes.all(level, first, first + count) as { hash: Buffer }[];
    if (rows.length !== count) throw new PangolinError('INTEGRITY', 'the log has lost hashes of its tree');
    return rows.map((row) => row.hash);
  }
}

/** Root of a complete subtree from its 2^n hashes. */
function fold(hashes: readonly Buffer[]): Buffer {
  let row = hashes;
  while (row.length > 1) {
    row = row.flatMap((hash, at) => (at % 2 === 0 ? [nodeHash(hash, row[at + 1]!)] : []));
  }
  return row[0]!;
}
