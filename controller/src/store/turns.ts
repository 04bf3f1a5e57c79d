/** Whose turn it is, in SQLite: the queues, what is ready in them, and who waits for a lock. */
import type Database from 'better-sqlite3';
import type { ItemRow } from './rows.ts';
import { Statements } from './statements.ts';

export class TurnStore {
  readonly #sql: Statements;

  constructor(db: Database.Database) {
    this.#sql = new Statements(db);
  }

  /** `spec` is null of a queue that nobody has declared, and that was paused all the same. */
  queues(): { readonly name: string; readonly spec: string | null; readonly paused_by: string | null }[] {
    return this.#sql.all('SELECT * FROM queue') as ReturnType<TurnStore['queues']>;
  }

  putQueue(name: string, spec: string): void {
    this.#sql.run(
      'INSERT INTO queue (name, spec) VALUES (?, ?) ON CONFLICT DO UPDATE SET spec = excluded.spec',
      name,
      spec,
    );
  }

  /** The furthest place that a dispatched item of the queue had: where a new run begins. Looked up once, at start. */
  furthestTag(queue: string): number {
    return (
      (
        this.#sql.one('SELECT max(tag) AS tag FROM item WHERE queue = ? AND attempt > 0', queue) as {
          tag: number | null;
        }
      ).tag ?? 0
    );
  }

  setRunTag(rn: number, tag: number): void {
    this.#sql.run('UPDATE run SET tag = ? WHERE rn = ?', tag, rn);
  }

  runnable(queue: string, limit: number): ItemRow[] {
    return this.#sql.all(
      'SELECT * FROM item WHERE runnable = 1 AND queue = ? ORDER BY rank, iid LIMIT ? + 0',
      queue,
      limit,
    ) as ItemRow[];
  }

  /** Those that have been ready since before `before`, the longest first. */
  readyLong(queue: string, before: number, limit: number): ItemRow[] {
    return this.#sql.all(
      'SELECT * FROM item WHERE runnable = 1 AND queue = ? AND ready_at <= ? ORDER BY ready_at, iid LIMIT ? + 0',
      queue,
      before,
      limit,
    ) as ItemRow[];
  }

  /**
   * Lets two items of each queue that wait for `lock` try again, the first by rank and the one that is ready longest: a queue
   * that is held back holds no other one back.
   */
  wakeWaiters(lock: string): void {
    // From one queue to the next by the index, however many wait in each.
    this.#sql.run(
      `WITH RECURSIVE waiting (queue) AS (
         SELECT min(queue) FROM item WHERE blocked_on = @lock
         UNION ALL
         SELECT (SELECT min(queue) FROM item WHERE blocked_on = @lock AND queue > waiting.queue)
         FROM waiting WHERE queue IS NOT NULL)
       UPDATE item SET blocked_on = NULL, runnable = 1 WHERE iid IN (
         SELECT (SELECT iid FROM item WHERE blocked_on = @lock AND queue = waiting.queue ORDER BY rank, iid LIMIT 1)
         FROM waiting WHERE queue IS NOT NULL
         UNION ALL
         SELECT (SELECT iid FROM item WHERE blocked_on = @lock AND queue = waiting.queue ORDER BY ready_at, iid LIMIT 1)
         FROM waiting WHERE queue IS NOT NULL)`,
      { lock },
    );
  }

  wakeBlocked(blockedOn: string): void {
    this.#sql.run('UPDATE item SET blocked_on = NULL, runnable = 1 WHERE blocked_on = ?', blockedOn);
  }

  /** After a start nobody remembers who was told of a lock, so every waiter looks for itself. */
  wakeAllWaiters(): void {
    this.#sql.run('UPDATE item SET blocked_on = NULL, runnable = 1 WHERE blocked_on IS NOT NULL');
  }
}
