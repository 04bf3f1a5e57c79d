/**
 * Commits to the log how far each run has come while it goes on (evidence.md §3.4). Once a head is in a log that others
 * have seen, not even the operator can tell the beginning of that run differently.
 */
import type { Hash } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';
import { canonicalBytes } from '@pangolin/contracts/canonical';
import { sha256Stream } from '@pangolin/contracts/digest';
import { signEnvelope, type Envelope } from '@pangolin/contracts/dsse';
import { headsKey } from '@pangolin/contracts/layout';
import { mapBounded } from '@pangolin/contracts/map-bounded';
import { hashedRekordLeaf } from '@pangolin/contracts/tlog';
import type { ObjectStore } from '@pangolin/storage/object-store';
import type { EvidenceStore } from '../store/evidence.ts';
import type { HeadRow, OpenRun } from '../store/heads.ts';
import type { Keys } from './keys.ts';
import { runHeadStatement } from './statements.ts';

/** Between two heads of a run, unless the configuration says otherwise. */
export const HEAD_EVERY_MS = 60_000;
/** Between two heads is at least this part of the run's age, so that a run of any age has hundreds of heads and not thousands. */
const AGE_PARTS = 200;
/** Heads that one call makes; the others are first in the next. */
const BATCH = 500;
const PARALLEL = 8;

export interface RunHeadsOptions {
  readonly db: EvidenceStore;
  readonly store: ObjectStore;
  readonly keys: Keys;
  /** Epoch milliseconds. */
  readonly now: () => number;
  readonly headEveryMs?: number;
}

/** Runs `work`; what it throws is told and keeps nothing else from going on. */
type Attempt = (what: string, work: () => Promise<void>) => Promise<void>;

export class RunHeads {
  readonly #options: RunHeadsOptions;
  /** Of each run that goes on, the hash over its first `size` lines: the next head reads only what came since. */
  readonly #hashes = new Map<string, { size: number; readonly hash: Hash }>();

  constructor(options: RunHeadsOptions) {
    this.#options = options;
  }

  /** Puts the heads that are due into the log. Publishing the log is the caller's. */
  async commit(attempt: Attempt): Promise<void> {
    const { db } = this.#options;
    const open = await db.transact(() => db.heads.openRuns());
    this.#forgetAllBut(open);
    await attempt('the heads of runs are not signed', () => this.#sign(open.filter((run) => this.#isDue(run))));
    const waiting = await db.transact(() => db.heads.unlogged());
    const byRun = [...Map.groupBy(waiting, ({ run_id: run }) => run)];
    await mapBounded(byRun, PARALLEL, ([run, heads]) =>
      attempt(`the heads of ${run} are not in the log`, () => this.#log(run, heads)),
    );
  }

  #isDue({ size, head, head_at: last, opened }: OpenRun): boolean {
    const { now, headEveryMs = HEAD_EVERY_MS } = this.#options;
    const start = Date.parse(opened);
    return size > head && now() - (last ?? start) >= Math.max(headEveryMs, (now() - start) / AGE_PARTS);
  }

  async #sign(runs: readonly OpenRun[]): Promise<void> {
    const { db, keys, now } = this.#options;
    const rows: HeadRow[] = [];
    for (const { run_id: runId } of runs.slice(0, BATCH)) {
      const { size, root } = await db.transact(() => db.runTree(runId));
      const { payload } = runHeadStatement(await this.#digest(runId, size), {
        runId,
        logOrigin: keys.origin,
        tree: { hash: 'rfc6962-sha256', size, root: root.toString('hex') },
      });
      rows.push({
        run_id: runId,
        size,
        root: root.toString('hex'),
        at: now(),
        envelope: canonicalBytes(await signEnvelope(keys.seal, payload)),
        public_key: keys.seal.publicKey,
      });
    }
    if (rows.length > 0) await db.transact(() => rows.forEach((row) => db.heads.add(row)));
    // Crash here: signed heads that nobody has seen. The next controller goes on with them.
  }

  /** Where the file is written before the log has the head, so that every entry of the log has its statement. */
  async #log(runId: string, heads: readonly HeadRow[]): Promise<void> {
    const { db, store } = this.#options;
    const all = await db.transact(() => db.heads.ofRun(runId));
    await store.put(headsKey(runId), Buffer.concat(all.flatMap((head) => [lineOf(head), LF])));
    // Crash here: a statement that the log does not have, which proves nothing.
    await db.transact(() => {
      for (const head of heads) {
        const envelope = JSON.parse(head.envelope.toString('utf8')) as Envelope;
        const leaf = hashedRekordLeaf(envelope, head.public_key);
        db.heads.setLogged(head, db.log.append(`head/${runId}/${head.size}`, leaf));
      }
    });
  }

  async #digest(runId: string, size: number): Promise<string> {
    const { db } = this.#options;
    let known = this.#hashes.get(runId);
    if (!known) this.#hashes.set(runId, (known = { size: 0, hash: sha256Stream() }));
    for (const { next, bytes } of db.heads.lines(runId, known.size, size)) {
      known.hash.update(bytes);
      known.size = next;
      // A log that was never hashed since the start may be long: others get a turn.
      await setImmediate();
    }
    return known.hash.copy().digest('hex');
  }

  #forgetAllBut(open: readonly OpenRun[]): void {
    const names = new Set(open.map(({ run_id: run }) => run));
    for (const run of this.#hashes.keys()) if (!names.has(run)) this.#hashes.delete(run);
  }
}

const LF = Buffer.from('\n');

/** The key goes with it, so that its entry in the log is known to those who do not know the key. */
function lineOf({ envelope, public_key: key }: Pick<HeadRow, 'envelope' | 'public_key'>): Buffer {
  return canonicalBytes({ envelope: JSON.parse(envelope.toString('utf8')) as Envelope, publicKey: key.toString('base64') }); // prettier-ignore
}
