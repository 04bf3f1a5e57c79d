/** Shows how far seals are behind and who outside does not answer: `controller/evidence.json` (contracts/evidence-status). */
import { canonical } from '@pangolin/contracts/canonical';
import {
  WAITING_MAX,
  type EvidenceStatus,
  type ServiceKind,
  type ServiceStatus,
  type WaitingSeal,
} from '@pangolin/contracts/evidence-status';
import { EVIDENCE_STATUS } from '@pangolin/contracts/layout';
import { formatTime } from '@pangolin/contracts/units';
import type { ObjectStore } from '@pangolin/storage/object-store';
import type { EvidenceStore, SealStage } from '../store/evidence.ts';

/** While seals are under way the file is brought up to date this often. */
const EVERY_MS = 2000;

/** Told what becomes of asking one service. */
export interface ServiceWatch {
  readonly answered: () => void;
  readonly failed: (error: Error) => void;
  /** That many seals go without it, or wait for it. */
  readonly missed: (seals: number) => void;
}

interface Service {
  readonly kind: ServiceKind;
  readonly id: string;
  state: ServiceStatus['state'];
  /** Epoch milliseconds. */
  since: number;
  error: string | undefined;
  missed: number;
}

const waitsFor: Readonly<Record<Exclude<SealStage, 'sealed'>, WaitingSeal['waitsFor']>> = {
  open: 'storage',
  uploaded: 'key',
  signed: 'timestamp',
  stamped: 'log',
  logged: 'log',
  checkpointed: 'witness',
  witnessed: 'anchor',
  anchored: 'storage',
};

export interface LagOptions {
  readonly db: EvidenceStore;
  readonly store: ObjectStore;
  /** Epoch milliseconds. */
  readonly now: () => number;
}

export class Lag {
  readonly #options: LagOptions;
  readonly #services = new Map<string, Service>();
  readonly #errors = new Map<string, string>();
  #written: string | undefined;
  #writing = false;

  constructor(options: LagOptions) {
    this.#options = options;
  }

  /** The one of this kind and id, made when it is asked for the first time. */
  service(kind: ServiceKind, id: string): ServiceWatch {
    const { now } = this.#options;
    const key = `${kind}/${id}`;
    let service = this.#services.get(key);
    if (!service) {
      service = { kind, id, state: 'unknown', since: now(), error: undefined, missed: 0 };
      this.#services.set(key, service);
    }
    const told = service;
    const become = (state: Service['state']): void => {
      if (told.state !== state) Object.assign(told, { state, since: now() });
    };
    return {
      answered: () => become('ok'),
      failed: ({ message }) => {
        become('failing');
        told.error = message;
      },
      missed: (seals) => void (told.missed += seals),
    };
  }

  /** Why the seal of this run did not get further. */
  failed(runId: string, why: string): void {
    this.#errors.set(runId, why);
  }

  /** It is under way again. */
  resumed(runId: string): void {
    this.#errors.delete(runId);
  }

  /** Writes the file now and then while `work` goes on, and when it is done. */
  async during<T>(work: () => Promise<T>): Promise<T> {
    const timer = setInterval(() => void this.publish(), EVERY_MS).unref();
    try {
      return await work();
    } finally {
      clearInterval(timer);
      await this.publish();
    }
  }

  /** Best effort: a storage that does not take this takes no seal either, and that is reported as an error. */
  async publish(): Promise<void> {
    if (this.#writing) return;
    this.#writing = true;
    try {
      const { db, store, now } = this.#options;
      const status = await db.transact(() => this.#status());
      const worthTelling = this.#written !== undefined || this.#services.size > 0 || this.#errors.size > 0;
      const text = canonical(status);
      if (!worthTelling || text === this.#written) return;
      const updated: EvidenceStatus = { ...status, updatedAt: formatTime(now()) };
      await store.put(EVIDENCE_STATUS, `${JSON.stringify(updated, null, 2)}\n`);
      this.#written = text;
    } catch {
      // The next one shows it.
    } finally {
      this.#writing = false;
    }
  }

  #status(): Omit<EvidenceStatus, 'updatedAt'> {
    const { db } = this.#options;
    return {
      schema: 'evidence-status/1',
      pending: db.pendingSealCount(),
      waiting: db.waitingSeals(WAITING_MAX).map(({ run_id: run, stage, completed_at }) => ({
        run,
        waitsFor: waitsFor[stage],
        since: formatTime(completed_at),
        ...(this.#errors.has(run) && { error: this.#errors.get(run)! }),
      })),
      services: [...this.#services.values()].map(({ kind, id, state, since, error, missed }) => ({
        kind,
        id,
        state,
        since: formatTime(since),
        ...(state === 'failing' && error !== undefined && { error }),
        missed,
      })),
    };
  }
}
