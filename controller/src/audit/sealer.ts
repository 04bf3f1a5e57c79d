/**
 * Puts heads of runs that go on into the log, and closes finished runs (evidence.md §3.11): upload, sign, stamp, log, checkpoint, witness, anchor, write. Every stage
 * is durable before the next begins and can be repeated, so a controller that dies anywhere goes on with the same
 * signature at the same place of the log.
 */
import { Readable } from 'node:stream';
import { sha256, sha256Stream, type Sha256 } from '@pangolin/contracts/digest';
import { lowS, pae } from '@pangolin/contracts/dsse';
import { isPangolinError, messageOf, PangolinError } from '@pangolin/contracts/errors';
import { eventsKey, sealKey, statementsKey } from '@pangolin/contracts/layout';
import type { ObjectStore } from '@pangolin/storage/object-store';
import type { EvidenceStore, SealChange, SealRow, SealStage } from '../store/evidence.ts';
import type { Keys } from './keys.ts';
import { Anchoring } from './anchoring.ts';
import { Lag } from './lag.ts';
import { assertNotBehind } from './behind.ts';
import { LogPublisher } from './log-publisher.ts';
import type { Anchor, TimestampAuthority, Witness } from './outside.ts';
import { putHistory } from './history.ts';
import { putOnce } from './put-once.ts';
import { HEAD_EVERY_MS, RunHeads } from './run-heads.ts';
import { sealBundle, sealLeaf } from './seal-bundle.ts';
import { runSealStatement } from './statements.ts';
import { cosignCheckpoint } from './witnessing.ts';

export interface SealerOptions {
  readonly db: EvidenceStore;
  readonly store: ObjectStore;
  readonly keys: Keys;
  /** Epoch milliseconds. */
  readonly now: () => number;
  /** Called inside the transaction that ends the seal, so that run-state and evidence agree after any crash. */
  readonly onSealed?: (runId: string, at: number) => void;
  readonly timestamps?: readonly TimestampAuthority[];
  readonly witnesses?: readonly Witness[];
  readonly anchors?: readonly Anchor[];
  /** Shows who waits for whom. */
  readonly lag?: Lag;
  /** How often a run that goes on gets a head, in ms; an old one gets them less often. Default a minute. */
  readonly headEveryMs?: number;
  /** How long an anchor that failed is left alone, in ms. Default 10 s. */
  readonly anchorRestMs?: number;
}

export interface SealProgress {
  /** Runs that this call has sealed. */
  readonly sealed: readonly string[];
  /** Seals that are queued or not finished. */
  readonly pending: number;
  /** The first thing that failed. The seals behind it stay pending; the next call tries again. */
  readonly error?: PangolinError;
}

export interface Sealer {
  /** Takes every queued seal as far as it goes; what fails is in `error`. A second call joins one that is under way. */
  advance(): Promise<SealProgress>;
  /** While runs go on, `advance` is worth a call that often, in ms. */
  readonly headEveryMs: number;
  /**
   * Call before the first `advance`. Who cannot be asked is told to `onUnknown` and keeps nobody from starting.
   * @throws PangolinError CONFLICT, INTEGRITY: the log must not go on.
   */
  checkLog(onUnknown?: (problem: PangolinError) => void): Promise<void>;
}

/** Seals taken up by one call; they share one checkpoint. */
const BATCH = 500;
/** Runs whose objects are written at the same time. */
const PARALLEL = 8;

export function createSealer(options: SealerOptions): Sealer {
  const sealing = new Sealing(options);
  let running: Promise<SealProgress> | undefined;
  return {
    headEveryMs: options.headEveryMs ?? HEAD_EVERY_MS,
    checkLog: (onUnknown = () => undefined) => sealing.check(onUnknown),
    advance: () => (running ??= sealing.advance().finally(() => (running = undefined))),
  };
}

/** One stage of one run: what it does outside, and what that adds to the row. */
interface Step {
  readonly to: SealStage;
  readonly work: (row: SealRow) => Promise<SealChange>;
}

class Sealing {
  readonly #publisher: LogPublisher;
  readonly #heads: RunHeads;
  readonly #anchoring: Anchoring;
  readonly #lag: Lag;
  readonly #options: SealerOptions;
  readonly #evidence: EvidenceStore;
  readonly #steps: Partial<Record<SealStage, Step>>;
  #sealed: string[] = [];
  #error: PangolinError | undefined;

  constructor(options: SealerOptions) {
    this.#options = options;
    this.#evidence = options.db;
    this.#publisher = new LogPublisher(options.db, options.store, options.keys);
    this.#heads = new RunHeads(options);
    this.#lag = options.lag ?? new Lag(options);
    this.#anchoring = new Anchoring(options.anchors ?? [], this.#lag, options.anchorRestMs);
    this.#steps = {
      open: { to: 'uploaded', work: (row) => this.#upload(row) },
      uploaded: { to: 'signed', work: (row) => this.#sign(row) },
      signed: { to: 'stamped', work: (row) => this.#stamp(row) },
      // From here on runs go together, up to `witnessed`: they share a checkpoint.
      witnessed: { to: 'anchored', work: (row) => this.#anchor(row) },
      anchored: { to: 'sealed', work: (row) => this.#write(row) },
    };
  }

  async check(onUnknown: (problem: PangolinError) => void): Promise<void> {
    await this.#publisher.check();
    await assertNotBehind(this.#options, onUnknown);
    await this.#lag.publish();
  }

  async advance(): Promise<SealProgress> {
    this.#sealed = [];
    this.#error = undefined;
    await this.#lag.during(() =>
      this.#attempt('seals are not read', async () => {
        // Before a seal is opened: it names every head that the log has.
        await this.#heads.commit((what, work) => this.#attempt(what, work));
        await this.#drive(['open', 'uploaded', 'signed']);
        await this.#attempt('the log is not published', () => this.#log());
        await this.#drive(['witnessed', 'anchored']);
        await this.#attempt('a checkpoint is not anchored', () => this.#anchorCheckpoints());
      }),
    );
    const pending = await this.#evidence.transact(() => this.#evidence.pendingSealCount());
    return { sealed: this.#sealed, pending, ...(this.#error !== undefined && { error: this.#error }) };
  }

  /** Takes each run that is at one of `stages` through the steps; one that fails does not stop the others. */
  async #drive(stages: readonly SealStage[]): Promise<void> {
    const rows = await this.#at(...stages);
    const worker = async (): Promise<void> => {
      for (let row = rows.shift(); row; row = rows.shift()) await this.#sealOne(row);
    };
    await Promise.all(Array.from({ length: PARALLEL }, worker));
  }

  async #sealOne(row: SealRow): Promise<void> {
    await this.#attempt(
      `the run ${row.run_id} is not sealed`,
      async () => {
        this.#lag.resumed(row.run_id);
        for (let at = row, step = this.#steps[at.stage]; step; step = this.#steps[at.stage]) {
          at = await this.#take(at, step);
        }
      },
      row.run_id,
    );
  }

  async #take(row: SealRow, step: Step): Promise<SealRow> {
    const change = await step.work(row);
    // Crash here: done outside and not recorded. The step is repeated and finds its own work.
    await this.#evidence.transact(() => {
      this.#evidence.advanceSeal(row.run_id, row.stage, step.to, change);
      if (step.to === 'sealed') this.#options.onSealed?.(row.run_id, this.#options.now());
    });
    if (step.to === 'sealed') this.#sealed.push(row.run_id);
    return { ...row, ...change, stage: step.to };
  }

  async #upload({ run_id: runId }: SealRow): Promise<SealChange> {
    const evidence = this.#evidence;
    const tree = evidence.runTree(runId);
    if (!tree.closed) throw new PangolinError('INTERNAL', `the log of ${runId} has no run.completed`);
    const events = await this.#uploadFile(eventsKey(runId), () => evidence.eventFile(runId));
    await this.#uploadFile(statementsKey(runId), () => evidence.statementFile(runId));
    const first = evidence.event(runId, 0);
    const last = evidence.event(runId, tree.size - 1);
    if (last.kind !== 'run.completed') throw new PangolinError('INTERNAL', `the log of ${runId} ends in ${last.kind}`);
    const { timestamps = [], witnesses = [], anchors = [], keys } = this.#options;
    const { payload } = runSealStatement(events, {
      runId,
      logOrigin: keys.origin,
      tree: { hash: 'rfc6962-sha256', size: tree.size, root: tree.root.toString('hex') },
      status: last.status,
      submittedAt: first.at,
      completedAt: last.at,
      heads: evidence.heads
        .ofRun(runId)
        .flatMap(({ size, root, log_index: index }) => (index === null ? [] : { size, root })),
      attestations: 'signed',
      expects: {
        timestamp: timestamps.map(({ id }) => id),
        witnesses: witnesses.length,
        anchor: anchors.map(({ id }) => id),
      },
    });
    return { payload };
  }

  /** Reads the rows twice, for the digest and for the upload, so that a log of any length needs little memory. */
  async #uploadFile(key: string, chunks: () => AsyncGenerator<Buffer>): Promise<Sha256> {
    const hash = sha256Stream();
    for await (const chunk of chunks()) hash.update(chunk);
    const digest = hash.digest('hex');
    await putOnce(this.#options.store, key, digest, () => Readable.from(chunks(), { objectMode: false }));
    return digest;
  }

  /** ECDSA is randomised: once the row has the signature nobody asks for another one. */
  async #sign(row: SealRow): Promise<SealChange> {
    const { seal } = this.#options.keys;
    return { sig: lowS(await seal.sign(pae(row.payload!))), keyid: seal.keyid, public_key: seal.publicKey };
  }

  async #stamp(row: SealRow): Promise<SealChange> {
    const tokens: Record<string, string> = {};
    for (const authority of this.#options.timestamps ?? []) {
      const token = await authority.stamp(row.sig!);
      if (token) tokens[authority.id] = token.toString('base64');
      else this.#lag.service('timestamp', authority.id).missed(1);
    }
    return { tokens: JSON.stringify(tokens) };
  }

  /** `stamped` → `logged` → `checkpointed` → `witnessed`, for all runs at once, and the heads with them. */
  async #log(): Promise<void> {
    const evidence = this.#evidence;
    await this.#together('stamped', 'logged', (row) => ({
      log_index: evidence.log.append(`seal/${row.run_id}`, sealLeaf(row)),
    }));
    const sizes = new Set<number>();
    const hasHeads = await evidence.transact(() => evidence.heads.hasUnpublished());
    if (hasHeads || (await this.#at('logged')).length > 0) {
      const { size } = await this.#publisher.publish();
      await this.#together('logged', 'checkpointed', () => ({ checkpoint_size: size }));
      await evidence.transact(() => evidence.heads.setPublished(size));
      // Crash here: heads under a checkpoint that no witness has seen. The next checkpoint covers them too.
      sizes.add(size);
    }
    const waiting = await this.#at('checkpointed');
    for (const row of waiting) sizes.add(row.checkpoint_size!);
    for (const size of sizes) {
      const seals = waiting.filter((row) => row.checkpoint_size === size).length;
      for (const witness of this.#options.witnesses ?? []) {
        const cosigned = await cosignCheckpoint(evidence, witness, size);
        if (!cosigned) this.#lag.service('witness', witness.name).missed(seals);
      }
      if (evidence.log.size() === size) await this.#publisher.publish();
    }
    await this.#together('checkpointed', 'witnessed', () => ({}));
  }

  /** Moves every run from one stage to the next in one transaction. */
  async #together(from: SealStage, to: SealStage, change: (row: SealRow) => SealChange): Promise<void> {
    await this.#evidence.transact(() => {
      for (const row of this.#evidence.sealsAt([from], BATCH)) {
        this.#evidence.advanceSeal(row.run_id, from, to, change(row));
      }
    });
  }

  async #anchor(row: SealRow): Promise<SealChange> {
    const { keys } = this.#options;
    await this.#anchoring.put(row.run_id, () => sealBundle(row, this.#evidence.log, keys.log.note));
    return {};
  }

  /** A checkpoint counts once no witness can add to it any more. */
  async #anchorCheckpoints(): Promise<void> {
    if ((await this.#at('logged', 'checkpointed')).length > 0) return;
    await this.#anchoring.putCheckpoints(this.#evidence);
  }

  async #write(row: SealRow): Promise<SealChange> {
    const { store, keys } = this.#options;
    await putHistory(row, this.#evidence, store);
    const bytes = sealBundle(row, this.#evidence.log, keys.log.note);
    await putOnce(store, sealKey(row.run_id), sha256(bytes), () => bytes);
    return {};
  }

  #at(...stages: readonly SealStage[]): Promise<SealRow[]> {
    return this.#evidence.transact(() => this.#evidence.sealsAt(stages, BATCH));
  }

  async #attempt(what: string, work: () => Promise<void>, runId?: string): Promise<void> {
    try {
      await work();
    } catch (cause) {
      const known = isPangolinError(cause) ? cause : undefined;
      if (runId !== undefined) this.#lag.failed(runId, messageOf(cause));
      this.#error ??= new PangolinError(known?.code ?? 'INTERNAL', `${what}: ${messageOf(cause)}`, {
        cause,
        ...(known?.hint !== undefined && { hint: known.hint }),
      });
    }
  }
}
