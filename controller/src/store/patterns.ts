/** How runs grow, in SQLite: their patterns, and what they hand on to items that join them. */
import type Database from 'better-sqlite3';
import type { AdmittedPattern } from '@pangolin/contracts/pattern';
import type { AdmittedRun, Inherited } from '@pangolin/contracts/admitted-run';
import { Statements } from './statements.ts';

export class PatternStore {
  readonly #sql: Statements;

  constructor(db: Database.Database) {
    this.#sql = new Statements(db);
  }

  insert(rn: number, { pattern, inherited }: AdmittedRun): void {
    if (pattern) this.#sql.run('INSERT INTO pattern VALUES (?, ?)', rn, JSON.stringify(pattern));
    if (inherited) this.#sql.run('INSERT INTO inherited VALUES (?, ?)', rn, JSON.stringify(inherited));
  }

  inherit(rn: number, inherited: Inherited): void {
    this.#sql.run('UPDATE inherited SET spec = ? WHERE rn = ?', JSON.stringify(inherited), rn);
  }

  /** Of a run that has one. */
  of(rn: number): AdmittedPattern {
    return JSON.parse(
      (this.#sql.one('SELECT spec FROM pattern WHERE rn = ?', rn) as { spec: string }).spec,
    ) as AdmittedPattern;
  }

  openJoin(rn: number, splitter: string, branches: number): void {
    this.#sql.run('INSERT INTO pattern_join VALUES (?, ?, ?, ?)', rn, splitter, branches, branches);
  }

  arriveBranch(rn: number, splitter: string): void {
    this.#sql.run('UPDATE pattern_join SET missing = missing - 1 WHERE rn = ? AND splitter = ?', rn, splitter);
  }

  join(rn: number, splitter: string): { readonly branches: number; readonly missing: number } | undefined {
    return this.#sql.one('SELECT branches, missing FROM pattern_join WHERE rn = ? AND splitter = ?', rn, splitter) as
      { branches: number; missing: number } | undefined;
  }

  inherited(rn: number): Inherited | undefined {
    const row = this.#sql.one('SELECT spec FROM inherited WHERE rn = ?', rn) as { spec: string } | undefined;
    return row && (JSON.parse(row.spec) as Inherited);
  }
}
