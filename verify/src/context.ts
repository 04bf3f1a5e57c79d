/** What the checks hand on to each other. Every field is set by one check and read by later ones. */
import type { RunSeal } from '@pangolin/contracts/statement';
import type { Sha256 } from '@pangolin/contracts/digest';
import type { EgressPolicy } from '@pangolin/contracts/egress';
import type { OpenAnchor } from './anchor/anchor.ts';
import type { BundleReader } from './bundle-reader.ts';
import type { LogLines } from './log-lines.ts';
import type { Plan } from './plan.ts';
import type { ProofDocument } from './proof/document.ts';
import type { ItemStory } from './proof/item-story.ts';
import type { Attempt, ReplayResult } from './replay/result.ts';
import type { DependencyEvidence, Fact, Finding, FindingCode, HeadSpacing } from './report.ts';
import type { SigstoreFile } from './sigstore-file.ts';
import type { SignedCheckpoint } from './signed-checkpoint.ts';
import type { Trust, TrustedKey } from './trust-file.ts';

export interface SealStatement extends RunSeal {
  /** Digest of the run log. */
  readonly subject: Sha256;
}

interface ContextOptions {
  readonly expectRun: string | undefined;
  readonly openAnchor: OpenAnchor | undefined;
  readonly snapshotOf: string | undefined;
  readonly now: number;
}

export class Context {
  readonly reader: BundleReader;
  readonly trust: Trust | undefined;
  readonly expectRun: string | undefined;
  /** How to reach the anchors; absent when they are not to be looked at. */
  readonly openAnchor: OpenAnchor | undefined;
  /** When the snapshot was taken that answers instead of the anchors. */
  readonly snapshotOf: string | undefined;
  /** Milliseconds since 1970. */
  readonly now: number;
  readonly findings: Finding[] = [];
  readonly facts: Fact[] = [];
  readonly dependencies: DependencyEvidence[] = [];

  /** Name → size. */
  files: ReadonlyMap<string, number> = new Map();
  sealFile: SigstoreFile | undefined;
  signer: TrustedKey | undefined;
  seal: SealStatement | undefined;
  /** The one that the seal is in. */
  checkpoint: SignedCheckpoint | undefined;
  /** The entry of the log that the seal's envelope and key make. */
  leaf: Buffer | undefined;
  /** When each witness that the trust file names saw the log, in milliseconds since 1970. */
  cosignatures: ReadonlyMap<string, number> = new Map();
  heads: HeadSpacing | undefined;
  /** Time stamps of trusted authorities. */
  timestamps = 0;
  /** Something that a check needs was not to be had: a key that the trust file lacks, an anchor that did not answer. */
  lacking = false;
  witnessed = false;
  anchored = false;
  /** Milliseconds since 1970 at which the seal's signature existed, according to somebody other than the operator. */
  readonly trustedTimes: number[] = [];
  /** Milliseconds since 1970: others vouch that the run was opened after the one and sealed before the other. */
  openedAfter: number | undefined;
  sealedBefore: number | undefined;
  lines: LogLines | undefined;
  plan: Plan | undefined;
  withheldExtensions = 0;
  replay: ReplayResult | undefined;
  /** Instead of a log, where the evidence of one item is verified. */
  proof: ProofDocument | undefined;
  item: ItemStory | undefined;
  /** What the manifests of attempts grant that may reach some hosts only, as far as they are in the bundle. */
  granted: ReadonlyMap<Attempt, Pick<EgressPolicy, 'allow'>> = new Map();
  blobs = { present: 0, withheld: 0 };
  statements = { present: 0, withheld: 0, signed: 0 };

  constructor(reader: BundleReader, trust: Trust | undefined, options: ContextOptions) {
    this.reader = reader;
    this.trust = trust;
    this.expectRun = options.expectRun;
    this.openAnchor = options.openAnchor;
    this.snapshotOf = options.snapshotOf;
    this.now = options.now;
  }

  /** Said once, however often it is found. */
  find(code: FindingCode, message: string): void {
    if (this.findings.some((each) => each.code === code && each.message === message)) return;
    this.findings.push({ code, message });
  }
}
