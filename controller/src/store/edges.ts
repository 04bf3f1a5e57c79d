/** What items wait for, in SQLite. */
import type Database from 'better-sqlite3';
import type { Edge } from './rows.ts';
import { Statements } from './statements.ts';

export class EdgeStore {
  readonly #sql: Statements;

  constructor(db: Database.Database) {
    this.#sql = new Statements(db);
  }

  insert(edge: Edge): void {
    this.#sql.run('INSERT INTO edge VALUES (?, ?, ?, ?)', edge.src, edge.dst, edge.grp, edge.rule);
  }

  insertGroup(dst: number, grp: string, undecided: number): void {
    this.#sql.run('INSERT INTO edge_group VALUES (?, ?, ?)', dst, grp, undecided);
  }

  setUnmet(iid: number, unmet: number): void {
    this.#sql.run('INSERT INTO waits VALUES (?, ?)', iid, unmet);
  }

  from(iid: number): Edge[] {
    return this.#sql.all('SELECT * FROM edge WHERE src = ? ORDER BY dst', iid) as Edge[];
  }

  /** Takes one off the item's count of unsatisfied dependencies. Answers whether it waits for nothing any more. */
  satisfy(iid: number): boolean {
    const { unmet } = this.#sql.one('UPDATE waits SET unmet = unmet - 1 WHERE iid = ? RETURNING unmet', iid) as {
      unmet: number;
    };
    return unmet === 0;
  }

  /** One source of an any-of group is out. Answers how many still can be done; undefined when the group is decided. */
  ruleOut(dst: number, grp: string): number | undefined {
    const row = this.#sql.one(
      'UPDATE edge_group SET undecided = undecided - 1 WHERE dst = ? AND grp = ? RETURNING undecided',
      dst,
      grp,
    );
    return (row as { undecided: number } | undefined)?.undecided;
  }

  /** Decides an any-of group. False when it was decided before. */
  decideGroup(dst: number, grp: string): boolean {
    return this.#sql.run('DELETE FROM edge_group WHERE dst = ? AND grp = ?', dst, grp).changes === 1;
  }
}
