/** What is paused, in SQLite. The deadlines of who waits stand still meanwhile: `left_ms` has what was left of them. */
import type Database from 'better-sqlite3';

/** Clocks that people and queues are waited for by; a task keeps its own, and so does a backoff. */
const WAITS = `phase IN ('ready', 'waiting') AND reason <> 'WaitingForRetry'`;

export class PauseStore {
  readonly #db: Database.Database;

  constructor(db: Database.Database) {
    this.#db = db;
  }

  pauseQueue(name: string, paused: boolean): void {
    this.#run(
      'INSERT INTO queue (name, paused) VALUES (?, ?) ON CONFLICT DO UPDATE SET paused = excluded.paused',
      name,
      paused ? 1 : 0,
    );
  }

  pauseRun(rn: number, paused: boolean): void {
    this.#run('UPDATE run SET paused = ? WHERE rn = ?', paused ? 1 : 0, rn);
  }

  /** Runs of the queue that have not ended. */
  openRuns(queue: string): { readonly rn: number; readonly paused: number }[] {
    return this.#db
      .prepare(
        `SELECT rn, paused FROM run
         WHERE (finished_at IS NULL OR sealed_at IS NULL OR changed > 0) AND finished_at IS NULL AND queue = ?`,
      )
      .all(queue) as { rn: number; paused: number }[];
  }

  /** Nothing of the run is due until `thaw`. */
  freeze(rn: number, now: number): void {
    const stop = 'left_ms = max(0, due_at - @now), due_at = NULL';
    this.#db.prepare(`UPDATE item SET ${stop} WHERE rn = @rn AND due_at IS NOT NULL AND ${WAITS}`).run({ rn, now });
    this.#db.prepare(`UPDATE run SET ${stop} WHERE rn = @rn AND due_at IS NOT NULL`).run({ rn, now });
    this.#touch(rn);
  }

  thaw(rn: number, now: number): void {
    const go = 'due_at = @now + left_ms, left_ms = NULL';
    for (const table of ['item', 'run'])
      this.#db.prepare(`UPDATE ${table} SET ${go} WHERE rn = @rn AND left_ms IS NOT NULL`).run({ rn, now });
    this.#touch(rn);
  }

  #touch(rn: number): void {
    this.#run('UPDATE run SET changed = changed + 1 WHERE rn = ?', rn);
  }

  #run(sql: string, ...values: unknown[]): void {
    this.#db.prepare(sql).run(...values);
  }
}
