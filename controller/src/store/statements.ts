/** Statements of one database, each prepared once. */
import type Database from 'better-sqlite3';

export class Statements {
  readonly #db: Database.Database;
  readonly #prepared = new Map<string, Database.Statement>();

  constructor(db: Database.Database) {
    this.#db = db;
  }

  run(sql: string, ...values: unknown[]): Database.RunResult {
    return this.#prepare(sql).run(...values);
  }
  one(sql: string, ...values: unknown[]): unknown {
    return this.#prepare(sql).get(...values);
  }
  all(sql: string, ...values: unknown[]): unknown[] {
    return this.#prepare(sql).all(...values);
  }

  #prepare(sql: string): Database.Statement {
    let statement = this.#prepared.get(sql);
    if (!statement) this.#prepared.set(sql, (statement = this.#db.prepare(sql)));
    return statement;
  }
}
