/** What a verification answers. The JSON form is this, as it is. */
import type { DependencyFormat } from '@pangolin/contracts/dependency-document';
import type { Sha256 } from '@pangolin/contracts/digest';
import type { Counts } from './replay/result.ts';

export const REPORT_SCHEMA = 'pangolin-verify-report/1';

/** The checks in their order (evidence.md §3.13). */
export const checkIds = [
  'structure',
  'signature',
  'seal',
  'checkpoint',
  'inclusion',
  'rebuild',
  'time',
  'events',
  'closure',
  'blobs',
  'egress',
  'attestations',
  'history',
  'witnesses',
  'anchor',
] as const;
export type CheckId = (typeof checkIds)[number];

/** What is wrong, as a class that programs may act on. */
export type Failure =
  | 'structure'
  | 'signature'
  | 'seal'
  | 'checkpoint'
  | 'inclusion'
  | 'time'
  | 'events'
  | 'closure'
  | 'blob'
  | 'egress'
  | 'attestation'
  | 'history'
  | 'witness'
  | 'anchor-missing'
  | 'anchor-weak'
  | 'root-mismatch'
  | 'stripped';

export interface CheckResult {
  /** `n/a`: there was nothing to check, or it could not be checked; `detail` says which. */
  readonly result: true | false | 'n/a';
  /** One sentence. */
  readonly detail: string;
}

export type FindingCode =
  | 'plan-withheld'
  | 'extension-withheld'
  | 'edges-unconfirmed'
  | 'timestamp-missing'
  | 'timestamp-of-a-stranger'
  | 'witnesses-missing'
  | 'quorum-not-met'
  | 'witness-unknown'
  | 'anchor-not-checked'
  | 'anchor-snapshot'
  | 'anchor-foreign-version'
  | 'equivocation'
  | 'key-expired'
  | 'times-contradict'
  | 'completed-in-the-future'
  | 'sandbox-weaker-than-asked'
  | 'egress-log-missing'
  | 'shared-user'
  | 'later-events-unknown'
  | 'dependencies-unreadable';

/** Something that an auditor should know and that is no failure. */
export interface Finding {
  readonly code: FindingCode;
  readonly message: string;
}

/** A CycloneDX or SPDX document that a block left among its outputs. */
export interface DependencyEvidence {
  readonly itemId: string;
  readonly attempt: number;
  /** `outputs/<path>`. */
  readonly name: string;
  readonly sha256: Sha256;
  readonly format: DependencyFormat;
  /** Sealed by digest, and the word of the block: nobody checked what it lists. */
  readonly tier: 'recorded';
  /** As the document says; absent when it is withheld or cannot be read. */
  readonly version?: string;
  readonly components?: number;
}

/** How often the log committed to how far the run had come: between two heads it could still have been told differently. */
export interface HeadSpacing {
  readonly count: number;
  /** The longest time between the last events that two neighbours cover, the start and the end of the run included. */
  readonly longestMs: number;
}

/** By the word of others than the operator, RFC 3339; what nobody vouches for is absent, and `unproven` says why. */
export interface TimeBracket {
  /** The run was opened after it. */
  readonly notBefore?: string;
  /** It was sealed before it. */
  readonly notAfter?: string;
  readonly unproven?: { readonly notBefore?: string; readonly notAfter?: string };
}

/** Who observed a fact. The controller signs all of them; what the worker or a block says stays their word. */
export interface Fact {
  readonly observer: 'controller' | 'worker' | 'agent';
  readonly statement: string;
}

export interface Report {
  readonly schema: typeof REPORT_SCHEMA;
  /** `incomplete`: nothing is wrong, but the run is not sealed, no trust file was given, it lacks a key, or an anchor that was asked for did not answer. */
  readonly verdict: 'verified' | 'failed' | 'incomplete';
  /** The class of the first check that failed. */
  readonly failure?: Failure;
  readonly checks: Readonly<Record<CheckId, CheckResult>>;
  readonly findings: readonly Finding[];
  /** Says something only beside the verdict `verified`. */
  readonly claim: 'tamper-detecting' | 'tamper-evident';
  readonly guarantee: 'detect' | 'external-immutable' | 'witnessed';
  readonly timeTier: 'asserted' | 'tsa-attested';
  readonly timeBracket: TimeBracket;
  /**
   * Of the attempts that were fired, how many name a policy, pinned by digest, that allowed them: `evaluated` all, `partial` some,
   * `none` none. Which policy that is, and that it was asked rightly, is the operator's word. `n/a` where nothing was fired or the log could not be read.
   */
  readonly authzTier: 'evaluated' | 'partial' | 'none' | 'n/a';
  /** Time stamps of trusted authorities, and cosignatures of witnesses that the trust file names. */
  readonly timestamps: number;
  readonly cosignatures: number;
  /** What the trust file requires and the bundle does not reach. */
  readonly below?: readonly ('guarantee' | 'timeTier')[];
  /** `n/a` for zero edges. `unconfirmed`: edges from the submission that only the withheld plan could confirm. */
  readonly closure: { readonly status: 'ok' | 'failed' | 'n/a'; readonly edges: number; readonly unconfirmed: number };
  readonly blobs: { readonly present: number; readonly withheld: number };
  readonly statements: { readonly present: number; readonly withheld: number; readonly signed: number };
  /** As the log tells it; absent when the log could not be read. */
  readonly run?: {
    readonly id: string;
    readonly origin: string;
    /** `running` while the run was not completed. */
    readonly status: 'succeeded' | 'failed' | 'cancelled' | 'running';
    readonly counts: Counts;
    readonly items: number;
    readonly attempts: number;
    readonly events: number;
    readonly submittedAt: string;
    readonly completedAt?: string;
  };
  /** Instead of `run`, where the evidence of one item was verified. */
  readonly item?: {
    readonly id: string;
    readonly run: string;
    readonly origin: string;
    readonly outcome: string;
    readonly attempts: number;
  };
  /** `timeBracket.notAfter` minus the completion of the run: how long it could still have been rewritten unseen. */
  readonly sealDelayMs?: number;
  /** Of a sealed run whose log could be read. */
  readonly heads?: HeadSpacing;
  readonly dependencies: readonly DependencyEvidence[];
  readonly facts: readonly Fact[];
}

/** Of a verdict; a verified bundle that is below what the trust file requires is 3. */
const exitCodes: Readonly<Record<Report['verdict'], number>> = { verified: 0, failed: 1, incomplete: 4 };

export function exitCodeOf({ verdict, below }: Report): number {
  return verdict === 'verified' && below !== undefined ? 3 : exitCodes[verdict];
}
