/** Evidence in SQLite: the only file, with log.ts and heads.ts, that knows its columns (evidence.md §3.11). */
import { readFileSync } from 'node:fs';
import { setImmediate, setTimeout as delay } from 'node:timers/promises';
import type Database from 'better-sqlite3';
import { canonicalBytes } from '@pangolin/contracts/canonical';
import { sha256, type Sha256 } from '@pangolin/contracts/digest';
import type { Envelope } from '@pangolin/contracts/dsse';
import { PangolinError } from '@pangolin/contracts/errors';
import {
  append,
  decodeFrontier,
  emptyFrontier,
  encodeFrontier,
  rootOf,
  type Frontier,
} from '@pangolin/contracts/merkle';
import type { RunEvent, RunEventBody } from '@pangolin/contracts/run-log';
import type { Statement } from '@pangolin/contracts/statement';
import type { DispatchManifest } from '@pangolin/contracts/task';
import { formatTime } from '@pangolin/contracts/units';
import { HeadStore } from './heads.ts';
import { LogStore } from './log.ts';

export interface NewEvent {
  /** Epoch milliseconds. A clock that went back is held at the run's last time. */
  readonly at: number;
  readonly actor: string;
  readonly body: RunEventBody;
}

/** What has been done for a seal, in this order; each is durable before the next begins. */
export type SealStage =
  'open' | 'uploaded' | 'signed' | 'stamped' | 'logged' | 'checkpointed' | 'witnessed' | 'anchored' | 'sealed';

export interface SealRow {
  readonly run_id: string;
  readonly stage: SealStage;
  /** Statement bytes, from `uploaded` on. */
  readonly payload: Buffer | null;
  /** DER signature over their PAE, its key and the key's id, from `signed` on. */
  readonly sig: Buffer | null;
  readonly keyid: string | null;
  readonly public_key: Buffer | null;
  /** JSON: authority → base64 of its RFC 3161 response. */
  readonly tokens: string | null;
  readonly log_index: number | null;
  readonly checkpoint_size: number | null;
}

export type SealChange = Partial<Omit<SealRow, 'run_id' | 'stage'>>;

interface TreeRow {
  readonly frontier: Buffer;
  readonly last_at: number;
  readonly closed: number;
}

/** What is about to run: signed, and as it was before. */
export interface SignedDispatch {
  readonly manifest: DispatchManifest;
  readonly envelope: Envelope;
  /** Digest of the envelope's payload. */
  readonly sha256: Sha256;
}

type Submitted = Extract<RunEventBody, { kind: 'run.submitted' }>;

const PAGE_ROWS = 1000;
/** Dispatches that are kept at hand: each is wanted when its task starts and when that ends. */
const DISPATCHES_MAX = 1000;

export class EvidenceStore {
  readonly log: LogStore;
  readonly heads: HeadStore;
  readonly #db: Database.Database;
  readonly #statements = new Map<string, Database.Statement>();
  /** Named by content, so that none is ever out of date. */
  readonly #dispatches = new Map<Sha256, SignedDispatch>();

  /** Makes its tables. The caller has opened the database with WAL and `synchronous = FULL`. */
  constructor(db: Database.Database) {
    this.#db = db;
    db.exec(readFileSync(new URL('./evidence.sql', import.meta.url), 'utf8'));
    this.log = new LogStore(db);
    this.heads = new HeadStore(db);
  }

  /* ---- Writing. All of it inside the transaction of the state change it documents (law 2). ---- */

  /**
   * Appends events to the run's log: `seq` continues, `at` never goes back.
   * @throws PangolinError CONFLICT for an event after `run.completed`.
   */
  appendEvents(runId: string, events: readonly NewEvent[]): void {
    this.#assertTransaction();
    const tree = this.#tree(runId);
    let frontier = tree ? decodeFrontier(tree.frontier) : emptyFrontier;
    let lastAt = tree?.last_at ?? 0;
    let time = formatTime(lastAt);
    let closed = tree?.closed === 1;
    const insert = this.#prepare('INSERT INTO run_event VALUES (?, ?, ?)');
    for (const { at, actor, body } of events) {
      if (closed) throw new PangolinError('CONFLICT', `the run ${runId} is completed: no ${body.kind} after that`);
      // The events of a pass share one time.
      if (at > lastAt) {
        lastAt = at;
        time = formatTime(at);
      }
      const seq = frontier.size;
      const line = canonicalBytes({ ...body, actor, at: time, runId, seq } satisfies RunEvent);
      insert.run(runId, seq, line);
      frontier = append(frontier, line);
      closed = body.kind === 'run.completed';
    }
    this.#prepare('INSERT OR REPLACE INTO run_tree VALUES (?, ?, ?, ?, ?)').run(
      runId,
      frontier.size,
      encodeFrontier(frontier),
      lastAt,
      closed ? 1 : 0,
    );
  }

  /** Keeps a signed statement of the run. Answers its number. */
  addStatement(runId: string, envelope: Envelope): number {
    this.#assertTransaction();
    const insert = this.#prepare('INSERT INTO statement (run_id, envelope) VALUES (?, ?)');
    return Number(insert.run(runId, canonicalBytes(envelope)).lastInsertRowid);
  }

  /** Keeps the signed statement of a dispatch, and has it at hand for its start. Answers its number. */
  addDispatch(dispatch: SignedDispatch): number {
    this.#remember(dispatch);
    return this.addStatement(dispatch.manifest.runId, dispatch.envelope);
  }

  /** Queues the run's seal. Goes into the transaction that appends `run.completed`. */
  openSeal(runId: string): void {
    this.#assertTransaction();
    this.#prepare("INSERT INTO seal (run_id, stage) VALUES (?, 'open') ON CONFLICT DO NOTHING").run(runId);
  }

  /* ---- Reading ---- */

  /** The dispatch statement with this number and payload digest. @throws PangolinError NOT_FOUND */
  dispatch(number: number, digest: Sha256): SignedDispatch {
    const known = this.#dispatches.get(digest);
    if (known) return known;
    const row = this.#prepare('SELECT envelope FROM statement WHERE sn = ?').get(number) as
      { envelope: Buffer } | undefined;
    const envelope = row && (JSON.parse(row.envelope.toString('utf8')) as Envelope);
    const payload = envelope && Buffer.from(envelope.payload, 'base64');
    if (!payload || sha256(payload) !== digest) throw new PangolinError('NOT_FOUND', `no dispatch statement ${digest}`);
    const { predicate: manifest } = JSON.parse(payload.toString('utf8')) as Statement<DispatchManifest>;
    const dispatch = { envelope, manifest, sha256: digest };
    this.#remember(dispatch);
    return dispatch;
  }

  #remember(dispatch: SignedDispatch): void {
    this.#dispatches.set(dispatch.sha256, dispatch);
    if (this.#dispatches.size > DISPATCHES_MAX) this.#dispatches.delete(this.#dispatches.keys().next().value!);
  }

  /** The newest checkpoint: what the next run names as its past, with its note once a witness has cosigned it. Absent while the log is empty. `root` is hex. */
  lastCheckpoint(): Submitted['after'] {
    const checkpoint = this.log.lastCheckpoint();
    if (!checkpoint) return undefined;
    const digest = sha256(checkpoint.note);
    const isCosigned = this.log.cosignedNote(digest) !== undefined;
    const { size, root } = checkpoint;
    return { size, root: root.toString('hex'), ...(isCosigned && { note: { sha256: digest } }) };
  }

  /** Size and root of the run's tree, and whether `run.completed` is in it. */
  runTree(runId: string): { readonly size: number; readonly root: Buffer; readonly closed: boolean } {
    const tree = this.#tree(runId);
    const frontier: Frontier = tree ? decodeFrontier(tree.frontier) : emptyFrontier;
    return { size: frontier.size, root: rootOf(frontier), closed: tree?.closed === 1 };
  }

  /** @throws PangolinError NOT_FOUND */
  event(runId: string, seq: number): RunEvent {
    const row = this.#prepare('SELECT line FROM run_event WHERE run_id = ? AND seq = ?').get(runId, seq) as
      { line: Buffer } | undefined;
    if (!row) throw new PangolinError('NOT_FOUND', `the run ${runId} has no event ${seq}`);
    return JSON.parse(row.line.toString('utf8')) as RunEvent;
  }

  /** events.jsonl in pieces. Yields to other work between them: a log may be long. */
  eventFile(runId: string): AsyncGenerator<Buffer> {
    return this.#pages(
      'SELECT seq AS at, line FROM run_event WHERE run_id = ? AND seq > ? ORDER BY seq LIMIT ? + 0',
      runId,
    );
  }

  /** statements.jsonl in pieces, likewise. */
  statementFile(runId: string): AsyncGenerator<Buffer> {
    return this.#pages(
      'SELECT sn AS at, envelope AS line FROM statement WHERE run_id = ? AND sn > ? ORDER BY sn LIMIT ? + 0',
      runId,
    );
  }

  async *#pages(sql: string, runId: string): AsyncGenerator<Buffer> {
    for (let after = -1; ;) {
      const rows = this.#prepare(sql).all(runId, after, PAGE_ROWS) as { at: number; line: Buffer }[];
      if (rows.length > 0) yield Buffer.concat(rows.flatMap(({ line }) => [line, LF]));
      if (rows.length < PAGE_ROWS) return;
      after = rows.at(-1)!.at;
      await setImmediate();
    }
  }

  /* ---- The progress of seals ---- */

  /**
   * Those at one of `stages`, oldest first: seals that are stuck at one stage keep nobody from passing the others.
   * Only outside a transaction: an uncommitted seal must not be worked on.
   */
  sealsAt(stages: readonly SealStage[], limit: number): SealRow[] {
    const one = "SELECT * FROM seal WHERE stage <> 'sealed' AND stage = ? ORDER BY sn LIMIT ? + 0";
    return stages
      .flatMap((stage) => this.#prepare(one).all(stage, limit) as (SealRow & { readonly sn: number })[])
      .sort((a, b) => a.sn - b.sn);
  }

  /** Seals that are not finished, oldest first, and when their runs were completed, in epoch milliseconds. */
  waitingSeals(limit: number): readonly {
    readonly run_id: string;
    readonly stage: Exclude<SealStage, 'sealed'>;
    readonly completed_at: number;
  }[] {
    return this.#prepare(
      "SELECT run_id, stage, last_at AS completed_at FROM seal JOIN run_tree USING (run_id) WHERE stage <> 'sealed' ORDER BY sn LIMIT ? + 0",
    ).all(limit) as ReturnType<EvidenceStore['waitingSeals']>[number][];
  }

  pendingSealCount(): number {
    return (this.#prepare("SELECT count(*) AS n FROM seal WHERE stage <> 'sealed'").get() as { n: number }).n;
  }

  /** Finished runs that no key has signed for yet: the key that was in use when they finished has to. */
  unsignedSealCount(): number {
    return (this.#prepare("SELECT count(*) AS n FROM seal WHERE stage IN ('open', 'uploaded')").get() as { n: number })
      .n;
  }

  sealOf(runId: string): SealRow | undefined {
    return this.#prepare('SELECT * FROM seal WHERE run_id = ?').get(runId) as SealRow | undefined;
  }

  /** @throws PangolinError CONFLICT when the seal is not at `from` any more: somebody else is at work on it. */
  advanceSeal(runId: string, from: SealStage, to: SealStage, change: SealChange = {}): void {
    const names = Object.keys(change).sort();
    const assignments = ['stage = ?', ...names.map((name) => `${name} = ?`)].join(', ');
    const values = names.map((name) => change[name as keyof SealChange]);
    const { changes } = this.#prepare(`UPDATE seal SET ${assignments} WHERE run_id = ? AND stage = ?`).run(
      to,
      ...values,
      runId,
      from,
    );
    if (changes !== 1) throw new PangolinError('CONFLICT', `the seal of ${runId} is not at ${from} any more`);
  }

  /** Runs `body` in a transaction of its own, as soon as no other one is open on this connection. */
  async transact<T>(body: () => T): Promise<T> {
    // A pass of the controller keeps its transaction open over awaits; joining it would share its fate.
    while (this.#db.inTransaction) await delay(BUSY_POLL_MS);
    return this.#db.transaction(body).immediate();
  }

  #tree(runId: string): TreeRow | undefined {
    return this.#prepare('SELECT frontier, last_at, closed FROM run_tree WHERE run_id = ?').get(runId) as
      TreeRow | undefined;
  }

  #assertTransaction(): void {
    if (!this.#db.inTransaction) throw new PangolinError('INTERNAL', 'evidence is written inside a transaction only');
  }

  #prepare(sql: string): Database.Statement {
    let statement = this.#statements.get(sql);
    if (!statement) this.#statements.set(sql, (statement = this.#db.prepare(sql)));
    return statement;
  }
}

const BUSY_POLL_MS = 1;
const LF = Buffer.from('\n');
