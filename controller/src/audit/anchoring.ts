/** Puts seals and checkpoints into every anchor; one that fails is left alone for a while and keeps nobody else waiting. */
import { isPangolinError, messageOf, PangolinError } from '@pangolin/contracts/errors';
import type { EvidenceStore } from '../store/evidence.ts';
import type { Lag } from './lag.ts';
import type { Anchor } from './outside.ts';

/** How long an anchor that failed is left alone. */
const REST_MS = 10_000;
/** Checkpoints that one call anchors; more wait for the next. */
const CHECKPOINTS = 50;

interface Rest {
  readonly until: number;
  readonly error: PangolinError;
}

export class Anchoring {
  readonly #anchors: readonly Anchor[];
  readonly #lag: Lag;
  readonly #restMs: number;
  /** By the anchor, or by what it refused. */
  readonly #rests = new Map<string, Rest>();
  /** `<anchor> <run>` of seals that other anchors still lack. */
  readonly #done = new Set<string>();

  constructor(anchors: readonly Anchor[], lag: Lag, restMs = REST_MS) {
    this.#anchors = anchors;
    this.#lag = lag;
    this.#restMs = restMs;
  }

  /**
   * Tries every anchor, whatever the others do.
   * @throws PangolinError the first that failed; calling again goes on where this ended.
   */
  async put(runId: string, seal: () => Buffer): Promise<void> {
    let bytes: Buffer | undefined;
    let failed: unknown;
    for (const anchor of this.#anchors) {
      const done = `${anchor.id} ${runId}`;
      if (this.#done.has(done)) continue;
      try {
        await this.#ask(anchor, done, () => anchor.put(runId, (bytes ??= seal())));
        this.#done.add(done);
      } catch (error) {
        failed ??= error;
      }
    }
    if (failed !== undefined) throw failed;
    for (const { id } of this.#anchors) this.#done.delete(`${id} ${runId}`);
  }

  /** Oldest first, so that what an anchor keeps has no gaps. @throws PangolinError the first that failed. */
  async putCheckpoints(evidence: EvidenceStore): Promise<void> {
    const { log } = evidence;
    let failed: unknown;
    for (const anchor of this.#anchors) {
      try {
        for (const { size, note } of log.checkpointsToAnchor(anchor.id, CHECKPOINTS)) {
          await this.#ask(anchor, `${anchor.id} checkpoint`, () => anchor.putCheckpoint(size, note));
          await evidence.transact(() => log.setAnchored(anchor.id, size));
        }
      } catch (error) {
        failed ??= error;
      }
    }
    if (failed !== undefined) throw failed;
  }

  async #ask(anchor: Anchor, what: string, put: () => Promise<void>): Promise<void> {
    const watch = this.#lag.service('anchor', anchor.id);
    for (const key of [anchor.id, what]) {
      const rest = this.#rests.get(key);
      if (rest && performance.now() < rest.until) throw rest.error;
      this.#rests.delete(key);
    }
    try {
      await put();
      watch.answered();
    } catch (cause) {
      const known = isPangolinError(cause) ? cause : undefined;
      const error = new PangolinError(known?.code ?? 'INTERNAL', `the anchor ${anchor.id}: ${messageOf(cause)}`, {
        cause,
        ...(known?.hint !== undefined && { hint: known.hint }),
      });
      watch.failed(error);
      watch.missed(1);
      // A rival is the matter of one seal; anything else is one of the anchor.
      const key = known?.code === 'CONFLICT' ? what : anchor.id;
      this.#rests.set(key, { until: performance.now() + this.#restMs, error });
      throw error;
    }
  }
}
