/** Run-state in SQLite: with the files beside it the only place that knows its columns. Rows in, rows out; decisions are made elsewhere. */
import { readFileSync } from 'node:fs';
import Database from 'better-sqlite3';
import { PangolinError } from '@pangolin/contracts/errors';
import { isTerminal, type Phase } from '@pangolin/contracts/reasons';
import type { AdmittedItem, AdmittedRun } from '@pangolin/contracts/admitted-run';
import type { PipelineSpec } from '@pangolin/contracts/pipeline';
import type { RunPhase } from '@pangolin/contracts/status';
import { EdgeStore } from './edges.ts';
import { PatternStore } from './patterns.ts';
import { PauseStore } from './pauses.ts';
import type { ItemChange, ItemRow, NewRun, RunRow } from './rows.ts';
import { ScheduleStore } from './schedules.ts';
import { stateError } from './sqlite-errors.ts';
import { Statements } from './statements.ts';
import { TurnStore } from './turns.ts';

/** Changes whenever a table does (PRAGMA user_version). */
const LAYOUT = 5;
/** Parsed pipelines that are kept at hand. */
const PIPELINES_MAX = 100;

export class StateStore {
  readonly db: Database.Database;
  readonly schedules: ScheduleStore;
  readonly pauses: PauseStore;
  readonly edges: EdgeStore;
  readonly patterns: PatternStore;
  readonly turns: TurnStore;
  readonly #sql: Statements;
  /** Named by content, so that none is ever out of date. */
  readonly #pipelines = new Map<string, PipelineSpec>();

  /**
   * Opens or creates the database and takes it for this process alone.
   * @throws PangolinError CONFLICT when another controller has it; UNSUPPORTED when another version of Pangolin wrote it; what
   * sqlite-errors.ts makes of a file or disk that is not fit.
   */
  constructor(path: string) {
    this.db = opened(path);
    this.#sql = new Statements(this.db);
    try {
      // Two signed statements a page.
      this.db.pragma('page_size = 8192');
      this.db.pragma('locking_mode = EXCLUSIVE');
      this.db.pragma('journal_mode = WAL');
      this.db.pragma('synchronous = FULL');
      this.db.pragma('cache_size = -65536');
      // Pages. A pass rewrites few of them many times: the later they go home, the fewer go.
      this.db.pragma('wal_autocheckpoint = 8000');
      this.db.pragma('temp_store = MEMORY');
      this.#assertLayout(path);
      this.db.exec(readFileSync(new URL('./schema.sql', import.meta.url), 'utf8'));
      this.schedules = new ScheduleStore(this.db);
      this.pauses = new PauseStore(this.db);
      this.edges = new EdgeStore(this.db);
      this.patterns = new PatternStore(this.db);
      this.turns = new TurnStore(this.db);
    } catch (cause) {
      this.db.close();
      throw stateError(cause, path);
    }
  }

  /** A file without tables gets the number of our layout; one with another number is left alone. */
  #assertLayout(path: string): void {
    const layout = this.db.pragma('user_version', { simple: true }) as number;
    if (layout === LAYOUT) return;
    if (this.db.prepare('SELECT 1 FROM sqlite_schema').get() !== undefined) {
      throw new PangolinError(
        'UNSUPPORTED',
        `${path} has layout ${layout}, and this version of Pangolin has ${LAYOUT}`,
        {
          hint: 'Finish what runs with the version that wrote it (`pangolin orch serve --until-idle`), then start this one on a new folder; docs/operate.md, "Upgrade".',
        },
      );
    }
    this.db.pragma(`user_version = ${LAYOUT}`);
  }

  close(): void {
    this.db.close();
  }

  /* ---- transactions: one a pass, with a savepoint around each step of it ---- */

  begin(): void {
    this.#sql.run('BEGIN IMMEDIATE');
  }
  commit(): void {
    this.#sql.run('COMMIT');
  }
  /** Nothing when SQLite has rolled back by itself, as it does when the disk is full. */
  rollback(): void {
    if (this.db.inTransaction) this.#sql.run('ROLLBACK');
  }
  savepoint(): void {
    this.#sql.run('SAVEPOINT step');
  }
  release(): void {
    this.#sql.run('RELEASE step');
  }
  rollbackToSavepoint(): void {
    this.#sql.run('ROLLBACK TO step');
    this.#sql.run('RELEASE step');
  }

  /** A value that is set once and stays: the deployment's name, say. */
  constant(key: string, make: () => string): string {
    this.#sql.run('INSERT INTO meta VALUES (?, ?) ON CONFLICT DO NOTHING', key, make());
    return (this.#sql.one('SELECT value FROM meta WHERE key = ?', key) as { value: string }).value;
  }

  /* ---- runs ---- */

  run(runId: string): RunRow | undefined {
    return this.#sql.one('SELECT * FROM run WHERE run_id = ?', runId) as RunRow | undefined;
  }

  runByNumber(rn: number): RunRow {
    return this.#sql.one('SELECT * FROM run WHERE rn = ?', rn) as RunRow;
  }

  /** Runs with something left to do: unfinished, unsealed or unpublished. */
  openRuns(): RunRow[] {
    return this.#sql.all('SELECT * FROM run WHERE finished_at IS NULL OR sealed_at IS NULL OR changed > 0') as RunRow[];
  }

  hasOpenRuns(): boolean {
    return (
      this.#sql.one('SELECT 1 FROM run WHERE finished_at IS NULL OR sealed_at IS NULL OR changed > 0 LIMIT 1') !==
      undefined
    );
  }

  hasFinishedUnsealed(): boolean {
    return this.#sql.one('SELECT 1 FROM run WHERE finished_at IS NOT NULL AND sealed_at IS NULL LIMIT 1') !== undefined;
  }

  changedRuns(): RunRow[] {
    return this.#sql.all(
      'SELECT * FROM run WHERE (finished_at IS NULL OR sealed_at IS NULL OR changed > 0) AND changed > 0',
    ) as RunRow[];
  }

  retriesOf(runId: string): number {
    return (this.#sql.one('SELECT count(*) AS n FROM run WHERE retry_of = ?', runId) as { n: number }).n;
  }

  counts(rn: number): { readonly phase: Phase; readonly n: number }[] {
    return this.#sql.all('SELECT phase, n FROM run_count WHERE rn = ? AND n > 0', rn) as { phase: Phase; n: number }[];
  }

  /** The run without its items: `insertItem` and `insertEdge` follow. */
  insertRun(entry: NewRun): RunRow {
    const { run } = entry;
    const { lastInsertRowid } = this.#sql.run(
      `INSERT INTO run (run_id, queue, spec, plan, labels, actor, submission, phase, open, submitted_at, retry_of, open_ended, timeout_ms, due_at, left_ms, tag, patterned)
       VALUES (?, ?, ?, ?, ?, ?, ?, 'running', 0, ?, ?, ?, ?, ?, ?, ?, ?)`,
      run.id,
      run.queue,
      run.spec,
      entry.plan,
      JSON.stringify(run.labels),
      entry.actor,
      entry.submission,
      entry.at,
      entry.retryOf ?? null,
      run.openEnded ? 1 : 0,
      run.timeoutMs ?? null,
      entry.due.due_at,
      entry.due.left_ms,
      entry.tag,
      run.pattern ? 1 : 0,
    );
    this.patterns.insert(Number(lastInsertRowid), run);
    return this.runByNumber(Number(lastInsertRowid));
  }

  addPipelines(pipelines: AdmittedRun['pipelines']): void {
    for (const [digest, spec] of Object.entries(pipelines)) {
      this.#sql.run('INSERT INTO pipeline VALUES (?, ?) ON CONFLICT DO NOTHING', digest, JSON.stringify(spec));
    }
  }

  /** A pending item that waits for nothing yet. Answers its number. */
  insertItem(run: RunRow, spec: AdmittedItem): number {
    const { lastInsertRowid } = this.#sql.run(
      `INSERT INTO item (rn, item_id, queue, spec, phase, reason, priority, on_exit)
       VALUES (?, ?, ?, ?, 'pending', 'WaitingForDependencies', ?, ?)`,
      run.rn,
      spec.id,
      run.queue,
      JSON.stringify(spec),
      spec.priority,
      spec.onExit ? 1 : 0,
    );
    return Number(lastInsertRowid);
  }

  /** Items were added to the run. */
  grown(rn: number, items: number, exits: number): void {
    this.#sql.run(
      'UPDATE run SET open = open + ?, exits = exits + ?, changed = changed + 1 WHERE rn = ?',
      items,
      exits,
      rn,
    );
  }

  closeRun(rn: number): void {
    this.#sql.run('UPDATE run SET open_ended = 0, changed = changed + 1 WHERE rn = ?', rn);
  }

  /** Runs whose own timeout has passed and that nobody has cancelled. */
  dueRuns(now: number): RunRow[] {
    return this.#sql.all(
      'SELECT * FROM run WHERE due_at IS NOT NULL AND finished_at IS NULL AND cancelled IS NULL AND due_at <= ?',
      now,
    ) as RunRow[];
  }

  /** Lets the onExit items of a run see that all the others are over. Answers those that wait for nothing else. */
  releaseExits(rn: number): ItemRow[] {
    this.#sql.run('UPDATE run SET exits = 0 WHERE rn = ?', rn);
    const exits = `SELECT iid FROM item WHERE rn = ? AND on_exit = 1 AND phase = 'pending'`;
    this.#sql.run(`UPDATE waits SET unmet = unmet - 1 WHERE iid IN (${exits})`, rn);
    return this.#sql.all(
      `SELECT item.* FROM item JOIN waits USING (iid)
       WHERE rn = ? AND on_exit = 1 AND phase = 'pending' AND unmet = 0 ORDER BY iid`,
      rn,
    ) as ItemRow[];
  }

  openExits(rn: number): number {
    return (
      this.#sql.one(`SELECT count(*) AS n FROM item WHERE rn = ? AND on_exit = 1 AND phase = 'pending'`, rn) as {
        n: number;
      }
    ).n;
  }

  itemCount(rn: number): number {
    return (this.#sql.one('SELECT sum(n) AS n FROM run_count WHERE rn = ?', rn) as { n: number | null }).n ?? 0;
  }

  cancelRun(rn: number, why: string): void {
    this.#sql.run('UPDATE run SET cancelled = ?, changed = changed + 1 WHERE rn = ?', why, rn);
  }

  finishRun(rn: number, phase: RunPhase, at: number): void {
    this.#sql.run('UPDATE run SET phase = ?, finished_at = ?, changed = changed + 1 WHERE rn = ?', phase, at, rn);
  }

  markSealed(runId: string, at: number): void {
    this.#sql.run('UPDATE run SET sealed_at = ?, changed = changed + 1 WHERE run_id = ?', at, runId);
  }

  /** Nothing is left to publish, unless the run changed again since `changed` was read. */
  markPublished(rn: number, changed: number): void {
    this.#sql.run('UPDATE run SET changed = 0, spec_written = 1 WHERE rn = ? AND changed = ?', rn, changed);
  }

  pipeline(digest: string): PipelineSpec {
    const known = this.#pipelines.get(digest);
    if (known) return known;
    const row = this.#sql.one('SELECT spec FROM pipeline WHERE sha256 = ?', digest) as { spec: string };
    const spec = JSON.parse(row.spec) as PipelineSpec;
    if (this.#pipelines.size >= PIPELINES_MAX) this.#pipelines.clear();
    this.#pipelines.set(digest, spec);
    return spec;
  }

  /* ---- items ---- */

  item(rn: number, itemId: string): ItemRow | undefined {
    return this.#sql.one('SELECT * FROM item WHERE rn = ? AND item_id = ?', rn, itemId) as ItemRow | undefined;
  }

  /** The little that dependents ask of an item; its whole row may be large. */
  sourceItem(rn: number, itemId: string): Pick<ItemRow, 'iid' | 'phase'> | undefined {
    return this.#sql.one('SELECT iid, phase FROM item WHERE rn = ? AND item_id = ?', rn, itemId) as
      Pick<ItemRow, 'iid' | 'phase'> | undefined;
  }

  /** `outputs`: `patch` and `outputs/<path>` → digest, of an item that is done. */
  addProducts(iid: number, outputs: Readonly<Record<string, { readonly sha256: string }>>): void {
    for (const [output, { sha256 }] of Object.entries(outputs))
      this.#sql.run('INSERT INTO product VALUES (?, ?, ?)', iid, output, sha256);
  }

  /** Digest of one product of an item that is done. */
  product(iid: number, output: string): string | undefined {
    const row = this.#sql.one('SELECT sha256 FROM product WHERE iid = ? AND output = ?', iid, output);
    return (row as { sha256: string } | undefined)?.sha256;
  }

  hasTask(task: string): boolean {
    return this.#sql.one('SELECT 1 FROM item WHERE task = ?', task) !== undefined;
  }

  itemByTask(task: string): ItemRow | undefined {
    return this.#sql.one('SELECT * FROM item WHERE task = ?', task) as ItemRow | undefined;
  }

  itemById(iid: number): ItemRow {
    return this.#sql.one('SELECT * FROM item WHERE iid = ?', iid) as ItemRow;
  }

  /** In the order of the spec. */
  *itemsOf(rn: number): IterableIterator<ItemRow> {
    // A cursor would keep the connection busy for its lifetime, so rows are read in pages.
    for (let after = 0; ;) {
      const page = this.#sql.all(
        'SELECT * FROM item WHERE rn = ? AND iid > ? ORDER BY iid LIMIT 1000',
        rn,
        after,
      ) as ItemRow[];
      yield* page;
      if (page.length < 1000) return;
      after = page.at(-1)!.iid;
    }
  }

  /** Not terminal, in the order of the spec. */
  openItems(rn: number): ItemRow[] {
    return this.#sql.all(
      `SELECT * FROM item WHERE rn = ? AND phase IN ('pending', 'ready', 'starting', 'running', 'waiting') ORDER BY iid`,
      rn,
    ) as ItemRow[];
  }

  /** The first `limit` items that ended without success, skipped ones included. */
  unsuccessful(rn: number, limit: number): ItemRow[] {
    return this.#sql.all(
      `SELECT * FROM item WHERE rn = ? AND phase IN ('failed', 'skipped', 'cancelled', 'denied') ORDER BY iid LIMIT ? + 0`,
      rn,
      limit,
    ) as ItemRow[];
  }

  /** Items that hold a task, in every run. */
  activeItems(): ItemRow[] {
    return this.#sql.all('SELECT * FROM item WHERE task IS NOT NULL') as ItemRow[];
  }

  due(now: number, limit: number): ItemRow[] {
    return this.#sql.all(
      'SELECT * FROM item WHERE due_at IS NOT NULL AND due_at <= ? ORDER BY due_at LIMIT ? + 0',
      now,
      limit,
    ) as ItemRow[];
  }

  nextDue(): number | undefined {
    const item = this.#sql.one('SELECT min(due_at) AS at FROM item WHERE due_at IS NOT NULL') as { at: number | null };
    const run = this.#sql.one(
      'SELECT min(due_at) AS at FROM run WHERE due_at IS NOT NULL AND finished_at IS NULL AND cancelled IS NULL',
    ) as { at: number | null };
    const due = [item.at, run.at, this.schedules.nextAt() ?? null].filter((at) => at !== null);
    return due.length === 0 ? undefined : Math.min(...due);
  }

  /** The one way an item changes. Keeps the run's count of open items and marks the run for publishing. */
  change(item: ItemRow, change: ItemChange): void {
    this.#sql.run(
      `UPDATE item SET ${Object.keys(change).join(' = ?, ')} = ? WHERE iid = ?`,
      ...Object.values(change),
      item.iid,
    );
    const closes = change.phase !== undefined && isTerminal(change.phase) && !isTerminal(item.phase);
    this.#sql.run('UPDATE run SET changed = changed + 1, open = open - ? WHERE rn = ?', closes ? 1 : 0, item.rn);
  }

  /* ---- controls ---- */

  controlled(id: string): boolean {
    return this.#sql.one('SELECT 1 FROM control WHERE id = ?', id) !== undefined;
  }

  /** False when this control took effect before. */
  claimControl(id: string, at: number): boolean {
    return this.#sql.run('INSERT INTO control VALUES (?, ?) ON CONFLICT DO NOTHING', id, at).changes === 1;
  }
}

function opened(path: string): Database.Database {
  try {
    return new Database(path, { timeout: 500 });
  } catch (cause) {
    throw stateError(cause, path);
  }
}
