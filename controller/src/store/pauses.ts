/** What is paused, in SQLite. The deadlines of who waits stand still meanwhile: `left_ms` has what was left of them. */
import type Database from 'better-sqlite3';
import type { RunRow } from './rows.ts';
import { Statements } from './statements.ts';

/** Clocks that people and queues are waited for by; a task keeps its own, and so does a backoff. */
const WAITS = `phase IN ('ready', 'waiting') AND reason <> 'WaitingForRetry'`;

export class PauseStore {
  readonly #sql: Statements;

  constructor(db: Database.Database) {
    this.#sql = new Statements(db);
  }

  /** @param by null: the queue goes on */
  pauseQueue(name: string, by: string | null): void {
    this.#sql.run(
      'INSERT INTO queue (name, paused_by) VALUES (?, ?) ON CONFLICT DO UPDATE SET paused_by = excluded.paused_by',
      name,
      by,
    );
  }

  pauseRun(rn: number, paused: boolean): void {
    this.#sql.run('UPDATE run SET paused = ? WHERE rn = ?', paused ? 1 : 0, rn);
  }

  /** Runs of the queue that have not ended. */
  openRuns(queue: string): Pick<RunRow, 'rn' | 'run_id' | 'paused'>[] {
    return this.#sql.all(
      `SELECT rn, run_id, paused FROM run
         WHERE (finished_at IS NULL OR sealed_at IS NULL OR changed > 0) AND finished_at IS NULL AND queue = ?`,
      queue,
    ) as ReturnType<PauseStore['openRuns']>;
  }

  /** Nothing of the run is due until `thaw`. */
  freeze(rn: number, now: number): void {
    const stop = 'left_ms = max(0, due_at - @now), due_at = NULL';
    this.#sql.run(`UPDATE item SET ${stop} WHERE rn = @rn AND due_at IS NOT NULL AND ${WAITS}`, { rn, now });
    this.#sql.run(`UPDATE run SET ${stop} WHERE rn = @rn AND due_at IS NOT NULL`, { rn, now });
    this.#touch(rn);
  }

  thaw(rn: number, now: number): void {
    const go = 'due_at = @now + left_ms, left_ms = NULL';
    for (const table of ['item', 'run'])
      this.#sql.run(`UPDATE ${table} SET ${go} WHERE rn = @rn AND left_ms IS NOT NULL`, { rn, now });
    this.#touch(rn);
  }

  #touch(rn: number): void {
    this.#sql.run('UPDATE run SET changed = changed + 1 WHERE rn = ?', rn);
  }
}
