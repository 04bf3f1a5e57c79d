/** `controller/evidence.json`: how far the evidence is behind the runs, and who outside does not answer. For people and monitors. */

export type ServiceKind = 'timestamp' | 'witness' | 'anchor';

/** One time-stamping authority, witness or anchor of `pangolin.yaml`. */
export interface ServiceStatus {
  readonly kind: ServiceKind;
  readonly id: string;
  /** `unknown` until it was asked for the first time since the controller started. */
  readonly state: 'ok' | 'failing' | 'unknown';
  /** Since when it is in that state. */
  readonly since: string;
  /** What it last failed with. */
  readonly error?: string;
  /** Seals that went without it, or wait for it, since the controller started: time stamps and cosignatures are not made up for. */
  readonly missed: number;
}

/** A finished run that is not sealed yet. */
export interface WaitingSeal {
  readonly run: string;
  /** What the next step of its seal needs. */
  readonly waitsFor: 'storage' | 'key' | 'timestamp' | 'log' | 'witness' | 'anchor';
  /** When the run was completed: it waits since then. */
  readonly since: string;
  /** Why the last try failed; absent while one is under way. */
  readonly error?: string;
}

export interface EvidenceStatus {
  readonly schema: 'evidence-status/1';
  readonly updatedAt: string;
  /** Finished runs that are not sealed. */
  readonly pending: number;
  /** The first 100 of them, oldest first. */
  readonly waiting: readonly WaitingSeal[];
  readonly services: readonly ServiceStatus[];
}

/** Of `waiting`. */
export const WAITING_MAX = 100;
