/** Run heads in SQLite (evidence.md §3.4): what was signed of runs that go on, and how far each is on its way into the log. */
import type Database from 'better-sqlite3';
import type { Sha256 } from '@pangolin/contracts/digest';

/** A run that goes on, and its newest head. */
export interface OpenRun {
  readonly run_id: string;
  /** Events there are, and events that the newest head covers; 0 before the first head. */
  readonly size: number;
  readonly head: number;
  /** Of the first event, as it is written there, and of the newest head in epoch milliseconds; null before the first. */
  readonly opened: string;
  readonly head_at: number | null;
}

export interface HeadRow {
  readonly run_id: string;
  readonly size: number;
  readonly root: Sha256;
  /** Epoch milliseconds. */
  readonly at: number;
  /** A DSSE envelope, canonical JSON. */
  readonly envelope: Buffer;
  /** SubjectPublicKeyInfo of the key that signed, DER. */
  readonly public_key: Buffer;
}

const PAGE_ROWS = 1000;

export class HeadStore {
  readonly #open: Database.Statement;
  readonly #lines: Database.Statement;
  readonly #add: Database.Statement;
  readonly #unlogged: Database.Statement;
  readonly #ofRun: Database.Statement;
  readonly #setLogged: Database.Statement;
  readonly #unpublished: Database.Statement;
  readonly #setPublished: Database.Statement;

  constructor(db: Database.Database) {
    this.#open = db.prepare(`
      SELECT t.run_id, t.size, coalesce(h.size, 0) AS head, h.at AS head_at, json_extract(CAST(e.line AS TEXT), '$.at') AS opened
      FROM run_tree t
      JOIN run_event e ON e.run_id = t.run_id AND e.seq = 0
      LEFT JOIN run_head h ON h.run_id = t.run_id AND h.size = (SELECT max(size) FROM run_head WHERE run_id = t.run_id)
      WHERE t.closed = 0 ORDER BY h.at, t.run_id`);
    this.#lines = db.prepare(
      'SELECT line FROM run_event WHERE run_id = ? AND seq >= ? AND seq < ? ORDER BY seq LIMIT ?',
    );
    this.#add = db.prepare(
      'INSERT INTO run_head (run_id, size, root, at, envelope, public_key) VALUES (?, ?, ?, ?, ?, ?)',
    );
    this.#unlogged = db.prepare(`
      SELECT h.run_id, h.size, h.root, h.at, h.envelope, h.public_key FROM run_head h JOIN run_tree t USING (run_id)
      WHERE h.checkpoint_size IS NULL AND h.log_index IS NULL AND t.closed = 0 ORDER BY h.run_id, h.size`);
    this.#ofRun = db.prepare(
      'SELECT size, root, envelope, public_key, log_index FROM run_head WHERE run_id = ? ORDER BY size',
    );
    this.#setLogged = db.prepare('UPDATE run_head SET log_index = ? WHERE run_id = ? AND size = ?');
    this.#unpublished = db.prepare(
      'SELECT 1 FROM run_head WHERE checkpoint_size IS NULL AND log_index IS NOT NULL LIMIT 1',
    );
    this.#setPublished = db.prepare(
      'UPDATE run_head SET checkpoint_size = ? WHERE checkpoint_size IS NULL AND log_index < ?',
    );
  }

  /** Those that have waited longest for a head come first. */
  openRuns(): OpenRun[] {
    return this.#open.all() as OpenRun[];
  }

  /** The lines of a log from `from` to before `to`, with their line feeds, in pieces; `next` is where the next one begins. */
  *lines(runId: string, from: number, to: number): Generator<{ readonly next: number; readonly bytes: Buffer }> {
    for (let next = from; next < to;) {
      const rows = this.#lines.all(runId, next, to, PAGE_ROWS) as { readonly line: Buffer }[];
      next += rows.length;
      yield { next, bytes: Buffer.concat(rows.flatMap(({ line }) => [line, LF])) };
    }
  }

  add({ run_id, size, root, at, envelope, public_key }: HeadRow): void {
    this.#add.run(run_id, size, root, at, envelope, public_key);
  }

  /** Signed and not in the log, of runs that go on: once a run is complete, its seal says which heads there are. */
  unlogged(): HeadRow[] {
    return this.#unlogged.all() as HeadRow[];
  }

  /** Every signed head of the run, the shortest first. `log_index` is null where the log does not have it. */
  ofRun(
    runId: string,
  ): readonly (Pick<HeadRow, 'size' | 'root' | 'envelope' | 'public_key'> & { readonly log_index: number | null })[] {
    return this.#ofRun.all(runId) as ReturnType<HeadStore['ofRun']>[number][];
  }

  setLogged({ run_id, size }: HeadRow, index: number): void {
    this.#setLogged.run(index, run_id, size);
  }

  /** Whether the log has a head that no published checkpoint covers. */
  hasUnpublished(): boolean {
    return this.#unpublished.get() !== undefined;
  }

  /** A checkpoint of that size is published. */
  setPublished(checkpointSize: number): void {
    this.#setPublished.run(checkpointSize, checkpointSize);
  }
}

const LF = Buffer.from('\n');
