/** What admission makes of a Run: everything after it reads this form. Written by us, read by us, and sealed. */
import Type, { type Static } from 'typebox';
import type { Sha256 } from './digest.ts';
import { closed, Hex, type Frozen } from './fragments.ts';
import { ID_PATTERN } from './ids.ts';
import type { AdmittedPattern, Spawn } from './pattern.ts';
import type { PipelineSpec } from './pipeline.ts';
import type { Network, SandboxFields } from './policy.ts';
import type { Need, RunSpec } from './run.ts';
import type { ThingKind } from './things.ts';
import type { PinnedWorkspace } from './workspace.ts';

/**
 * A product of an item of this run; the first of several that is done when the item fires; or an object given at
 * submission (a retry hands over products this way).
 */
export type AdmittedNeed =
  | Need
  | { readonly oneOf: readonly Need[] }
  | { readonly submission: { readonly sha256: Sha256; readonly size: number } };

/** A string is an exclusive lock. An object is shared: up to `limit` items hold it together, and nobody exclusively. */
export type AdmittedLock = string | { readonly key: string; readonly limit?: number };

export const lockKey = (lock: AdmittedLock): string => (typeof lock === 'string' ? lock : lock.key);

/** How a dependency has to end for the item to go on; `done` is the default and is not written. */
export type When = 'failed' | 'always';

/** A registered thing as it was named, and the version that was admitted: the digest of its canonical spec in cas/. */
export const Pin = Type.Object({ ref: Type.String({ pattern: ID_PATTERN }), sha256: Hex }, closed);
export type Pin = Frozen<Static<typeof Pin>>;
const PinList = Type.Array(Pin, { minItems: 1 });

/** What an item takes from the registry besides its pipeline; sealed in the dispatch manifest as it stands here. */
export const pins = {
  /** Its interface; what it brings to run is pinned like everything else. */
  shape: Type.Optional(Pin),
  subagent: Type.Optional(Pin),
  /** Laid over the workspace in this order. */
  capabilities: Type.Optional(PinList),
  /** Of two values of one name the later one counts. */
  env: Type.Optional(PinList),
} as const;
const Pins = Type.Object(pins);
export type Pins = Frozen<Static<typeof Pins>>;

/** What the backend knew an image as at admission. */
export interface PinnedImage {
  readonly ref: string;
  readonly id?: string;
}

export interface AdmittedItem extends Pins {
  readonly id: string;
  /** `approval` waits for a person and runs nothing. */
  readonly executor: 'dispatch' | 'approval';
  /**
   * `sha256` is the digest of the canonical PipelineSpec; the spec itself is in `AdmittedRun.pipelines`.
   * An approval has none.
   */
  readonly pipeline?: { readonly ref?: string; readonly sha256: Sha256 };
  readonly needs?: Readonly<Record<string, AdmittedNeed>>;
  /** Sorted and unique; the sources of plain `needs` are already in it, those of `oneOf` are not. */
  readonly depends_on: readonly string[];
  /** Of `depends_on`: those that need not end well. */
  readonly when?: Readonly<Record<string, When>>;
  /** Runs when every other item of the run is terminal, whatever happened. */
  readonly onExit?: true;
  /** Sorted by key and unique. */
  readonly resourceLocks: readonly AdmittedLock[];
  readonly approval?: { readonly timeoutMs?: number; readonly onTimeout: 'approve' | 'reject' };
  readonly needsInput?: { readonly timeoutMs?: number; readonly onTimeout: 'fail' | 'continue' };
  readonly workspace?: PinnedWorkspace;
  readonly params?: Readonly<Record<string, unknown>>;
  readonly image?: string;
  readonly pinnedImage?: PinnedImage;
  readonly cpuMillis?: number;
  readonly memoryBytes?: number;
  readonly network?: Static<typeof Network>;
  readonly sandbox?: Omit<Static<typeof SandboxFields>, 'disk'> & { readonly diskBytes?: number };
  readonly timeoutMs: number;
  readonly idleTimeoutMs?: number;
  /** Longest wait for a slot and locks once it is ready. */
  readonly queueTimeoutMs?: number;
  /** From the start of the task to its boot record. */
  readonly bootTimeoutMs?: number;
  readonly retry: {
    readonly maxAttempts: number;
    readonly initialMs: number;
    readonly factor: number;
    readonly maxMs: number;
    readonly jitter: boolean;
    /** First match wins; without a match the reason's class decides. */
    readonly rules?: readonly RetryRule[];
  };
  readonly priority: number;
  readonly labels?: Readonly<Record<string, string>>;
  /** What the pattern of the run takes it for. */
  readonly role?: string;
  /** Of an item that a pattern has appended. */
  readonly spawn?: Spawn;
}

export interface RetryRule {
  readonly reasons?: readonly string[];
  /** Exit codes of the block that failed. */
  readonly exitCodes?: readonly number[];
  /** `park`: wait `parkMs` without a task and without a charge, then try again. */
  readonly action: 'retry' | 'fail' | 'park';
  readonly parkMs?: number;
}

/** `runs/<run>/spec.json`, canonical JSON. Its digest is `plan` in the run log. */
export interface AdmittedRun {
  readonly schema: 'admitted-run/1';
  readonly id: string;
  readonly queue: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Digest of the canonical submitted spec, before pinning: what makes a second submission a no-op or a conflict. */
  readonly spec: Sha256;
  readonly pipelines: Readonly<Record<Sha256, PipelineSpec>>;
  readonly items: readonly AdmittedItem[];
  /** Stays open for extensions until somebody closes it. */
  readonly openEnded?: true;
  /** Of an open-ended run. */
  readonly inherited?: Inherited;
  /** From submission to the last item; then the run is cancelled. */
  readonly timeoutMs?: number;
  /** Of its queue, when it was admitted; absent of static-dag. */
  readonly pattern?: AdmittedPattern;
}

/** What items take over from an open-ended run that join it later. */
export interface Inherited {
  /** As written, those of its queue included. */
  readonly defaults?: Omit<NonNullable<RunSpec['defaults']>, 'workspace'>;
  /** Of items that have none otherwise. */
  readonly workspace?: PinnedWorkspace;
  /** Whatever the run has named of the registry. The same name is the same thing later. */
  readonly pins: readonly (Pin & { readonly kind: ThingKind })[];
  /** Whatever the run has named, and that of its backend, which has no name here. */
  readonly images: readonly { readonly image?: string; readonly pinned: PinnedImage }[];
}

/** What was appended to a run, canonical JSON in cas/; `run.extended` names its digest. */
export interface Extension {
  readonly schema: 'extension/1';
  readonly items: readonly AdmittedItem[];
  readonly pipelines: Readonly<Record<Sha256, PipelineSpec>>;
}
