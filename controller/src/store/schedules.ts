/** Schedules in SQLite: the only file that knows their columns. */
import { readFileSync } from 'node:fs';
import type Database from 'better-sqlite3';
import { SLOTS_MAX, type SlotStatus } from '@pangolin/contracts/schedule';
import { Statements } from './statements.ts';

export interface ScheduleRow {
  readonly name: string;
  readonly spec: string;
  readonly digest: string;
  readonly paused: number;
  readonly seen_at: number;
  readonly next_at: number | null;
  readonly actor: string;
  readonly removed: number;
  readonly changed: number;
}

export interface SlotRow {
  readonly schedule: string;
  readonly slot: number;
  readonly run_id: string;
  readonly outcome: SlotStatus['outcome'];
  readonly why: string | null;
  readonly actor: string | null;
  readonly submission: string | null;
  readonly document: Buffer | null;
}

export class ScheduleStore {
  readonly #sql: Statements;

  /** Makes its tables beside those of the runs. */
  constructor(db: Database.Database) {
    this.#sql = new Statements(db);
    db.exec(readFileSync(new URL('./schedules.sql', import.meta.url), 'utf8'));
  }

  get(name: string): ScheduleRow | undefined {
    return this.#sql.all('SELECT * FROM schedule WHERE name = ? AND removed = 0', name)[0] as ScheduleRow | undefined;
  }

  /** Declares it, or declares it anew. */
  put(row: Omit<ScheduleRow, 'removed' | 'changed'>): void {
    this.#sql.run(
      'INSERT OR REPLACE INTO schedule (name, spec, digest, paused, seen_at, next_at, actor) VALUES (?, ?, ?, ?, ?, ?, ?)',
      ...[row.name, row.spec, row.digest, row.paused, row.seen_at, row.next_at, row.actor],
    );
  }

  /** Slots up to `seenAt` are decided, and this one is next. */
  advance(name: string, change: Pick<ScheduleRow, 'paused' | 'seen_at' | 'next_at'>): void {
    this.#sql.run(
      'UPDATE schedule SET paused = ?, seen_at = ?, next_at = ?, changed = changed + 1 WHERE name = ?',
      ...[change.paused, change.seen_at, change.next_at, name],
    );
  }

  remove(name: string): void {
    this.#sql.run('DELETE FROM schedule_slot WHERE schedule = ?', name);
    this.#sql.run('UPDATE schedule SET removed = 1, next_at = NULL, changed = changed + 1 WHERE name = ?', name);
  }

  dueSchedules(now: number): ScheduleRow[] {
    return this.#sql.all('SELECT * FROM schedule WHERE next_at IS NOT NULL AND next_at <= ?', now) as ScheduleRow[];
  }

  nextAt(): number | undefined {
    const [row] = this.#sql.all('SELECT min(next_at) AS at FROM schedule WHERE next_at IS NOT NULL');
    return (row as { at: number | null }).at ?? undefined;
  }

  /* ---- slots ---- */

  hasSlot(name: string, slot: number): boolean {
    return this.#sql.all('SELECT 1 FROM schedule_slot WHERE schedule = ? AND slot = ?', name, slot).length > 0;
  }

  /** Records a decision; the oldest that nobody waits for make room. */
  addSlot(row: SlotRow): void {
    this.#sql.run(
      'INSERT INTO schedule_slot VALUES (?, ?, ?, ?, ?, ?, ?, ?)',
      ...[row.schedule, row.slot, row.run_id, row.outcome, row.why, row.actor, row.submission, row.document],
    );
    this.#sql.run(
      `DELETE FROM schedule_slot WHERE schedule = ? AND outcome <> 'due'
       AND slot < (SELECT min(slot) FROM (SELECT slot FROM schedule_slot WHERE schedule = ? ORDER BY slot DESC LIMIT ${SLOTS_MAX}))
       AND NOT EXISTS (SELECT 1 FROM run WHERE run.run_id = schedule_slot.run_id AND run.finished_at IS NULL)`,
      ...[row.schedule, row.schedule],
    );
    this.#touch(row.schedule);
  }

  /** Slots whose file is not known to be taken in. */
  dueSlots(): SlotRow[] {
    return this.#sql.all(`SELECT * FROM schedule_slot WHERE outcome = 'due'`) as SlotRow[];
  }

  hasDueSlots(): boolean {
    return this.#sql.all(`SELECT 1 FROM schedule_slot WHERE outcome = 'due' LIMIT 1`).length > 0;
  }

  /** The file of a due slot was answered. Answers the slot, if the file is one. */
  answer(submission: string, outcome: 'submitted' | 'rejected', why: string | null): SlotRow | undefined {
    const [row] = this.#sql.all(
      `UPDATE schedule_slot SET outcome = ?, why = ?, document = NULL WHERE submission = ? AND outcome = 'due' RETURNING *`,
      ...[outcome, why, submission],
    );
    const slot = row as SlotRow | undefined;
    if (slot) this.#touch(slot.schedule);
    return slot;
  }

  /** Its runs that have not ended, those that are not admitted yet included. */
  openRuns(name: string): string[] {
    const rows = this.#sql.all(
      `SELECT s.run_id FROM schedule_slot s LEFT JOIN run r ON r.run_id = s.run_id WHERE s.schedule = ?
       AND (s.outcome = 'due' OR (s.outcome = 'submitted' AND r.finished_at IS NULL)) ORDER BY s.slot`,
      name,
    );
    return (rows as { run_id: string }[]).map(({ run_id }) => run_id);
  }

  /** A later slot of the schedule was submitted, or is about to be. */
  isOvertaken({ schedule, slot }: SlotRow): boolean {
    const later = `SELECT 1 FROM schedule_slot WHERE schedule = ? AND slot > ? AND outcome IN ('due', 'submitted') LIMIT 1`;
    return this.#sql.all(later, schedule, slot).length > 0;
  }

  /** The newest first. */
  recentSlots(name: string): SlotRow[] {
    return this.#sql.all(
      `SELECT * FROM schedule_slot WHERE schedule = ? ORDER BY slot DESC LIMIT ${SLOTS_MAX}`,
      name,
    ) as SlotRow[];
  }

  /* ---- publication ---- */

  changed(): ScheduleRow[] {
    return this.#sql.all('SELECT * FROM schedule WHERE changed > 0') as ScheduleRow[];
  }

  /** Nothing is left to publish, unless it changed again since it was read. */
  markPublished({ name, changed, removed }: ScheduleRow): void {
    if (removed === 1) this.#sql.run('DELETE FROM schedule WHERE name = ? AND changed = ?', name, changed);
    else this.#sql.run('UPDATE schedule SET changed = 0 WHERE name = ? AND changed = ?', name, changed);
  }

  #touch(name: string): void {
    this.#sql.run('UPDATE schedule SET changed = changed + 1 WHERE name = ?', name);
  }
}
