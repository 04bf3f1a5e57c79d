/** Verifies a bundle against a trust document: every check in order, up to the first that does not hold. */
import type { TrustDocument } from '@pangolin/contracts/trust';
import type { BundleReader } from './bundle-reader.ts';
import type { OpenAnchor } from './anchor/anchor.ts';
import { anchor } from './checks/anchor.ts';
import { attestations } from './checks/attestations.ts';
import { blobs } from './checks/blobs.ts';
import type { Check } from './checks/check.ts';
import { checkpoint } from './checks/checkpoint.ts';
import { closure } from './checks/closure.ts';
import { egress } from './checks/egress.ts';
import { events } from './checks/events.ts';
import { history } from './checks/history.ts';
import { inclusion } from './checks/inclusion.ts';
import { rebuild } from './checks/rebuild.ts';
import { seal } from './checks/seal.ts';
import { signature } from './checks/signature.ts';
import { structure } from './checks/structure.ts';
import { time } from './checks/time.ts';
import { witnesses } from './checks/witnesses.ts';
import { Context } from './context.ts';
import { Refusal, Unavailable } from './refusal.ts';
import { REPORT_SCHEMA, type CheckId, type CheckResult, type Failure, type Report } from './report.ts';
import { compareClocks, timeBracket } from './time-bracket.ts';
import { loadTrust } from './trust-file.ts';

/** In the order of evidence.md §3.13. */
export const checks: readonly Check[] = [
  structure,
  signature,
  seal,
  checkpoint,
  inclusion,
  rebuild,
  time,
  events,
  closure,
  blobs,
  egress,
  attestations,
  history,
  witnesses,
  anchor,
];

export interface VerifyOptions {
  /** The run that the bundle has to be of. */
  readonly expectRun?: string;
  /** Also looks into the anchors that the trust file names, by way of this. */
  readonly openAnchor?: OpenAnchor;
  /** When `openAnchor` answers from a snapshot and no anchor: when that says it was taken. */
  readonly snapshotOf?: string;
  /** Milliseconds since 1970; only findings depend on it. Default: the clock. */
  readonly now?: number;
}

/**
 * What the bundle holds is never trusted and never throws: whatever is wrong with it is in the report.
 * @param trust the auditor's own; without one nothing can be verified and the verdict is at best `incomplete`.
 * @throws PangolinError INVALID when the trust document cannot be used.
 */
export function verifyBundle(
  reader: BundleReader,
  trust: TrustDocument | undefined,
  options: VerifyOptions = {},
): Promise<Report> {
  return verifyWith(reader, trust, options);
}

/** @param overruled a check whose refusal is passed over: how tests show that no other check would have noticed. */
export function verifyWith(
  reader: BundleReader,
  trust: TrustDocument | undefined,
  options: VerifyOptions,
  overruled?: CheckId,
): Promise<Report> {
  return runChecks(checks, reader, trust, options, overruled);
}

/** Every check in order, up to the first that does not hold. @param checks one for every id. */
export async function runChecks(
  checks: readonly Check[],
  reader: BundleReader,
  trust: TrustDocument | undefined,
  options: VerifyOptions,
  overruled?: CheckId,
): Promise<Report> {
  const context = new Context(reader, trust === undefined ? undefined : loadTrust(trust), {
    expectRun: options.expectRun,
    openAnchor: options.openAnchor,
    snapshotOf: options.snapshotOf,
    now: options.now ?? Date.now(),
  });
  const results = new Map<CheckId, CheckResult>();
  let failed: Check | undefined;
  let failure: Failure | undefined;
  for (const check of checks) {
    if (failed) {
      results.set(check.id, {
        result: 'n/a',
        detail: `It was not checked because of what is wrong before it (${failed.id}).`,
      });
      continue;
    }
    try {
      results.set(check.id, await check.run(context));
    } catch (error) {
      if (error instanceof Unavailable) {
        context.lacking = true;
        results.set(check.id, { result: 'n/a', detail: `It cannot be checked because ${error.message}.` });
        continue;
      }
      if (!(error instanceof Refusal)) throw error;
      results.set(check.id, { result: false, detail: sentence(error.message) });
      if (check.id === overruled) continue;
      failed = check;
      failure = error.failure ?? check.failure;
    }
  }
  return report(context, Object.fromEntries(results) as Record<CheckId, CheckResult>, failure);
}

const sentence = (text: string): string => `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;

function authzTierOf({ replay, item }: Context): Report['authzTier'] {
  const fired = replay?.attempts.length ?? item?.attempts.length ?? 0;
  const authorized = replay?.authorized ?? item?.attempts.filter((each) => each.fired.authz).length ?? 0;
  if (fired === 0) return 'n/a';
  return authorized === fired ? 'evaluated' : authorized > 0 ? 'partial' : 'none';
}

const guarantees = ['detect', 'external-immutable', 'witnessed'];

function report(context: Context, results: Record<CheckId, CheckResult>, failure: Failure | undefined): Report {
  const { replay, lines, sealFile, trust, sealedBefore } = context;
  compareClocks(context);
  const complete = sealFile !== undefined && trust !== undefined && !context.lacking;
  const edges = replay?.edges ?? 0;
  const verdict = failure !== undefined ? 'failed' : complete ? 'verified' : 'incomplete';
  const guarantee = context.witnessed ? 'witnessed' : context.anchored ? 'external-immutable' : 'detect';
  const timeTier = context.timestamps > 0 ? 'tsa-attested' : 'asserted';
  const { guarantee: required, timeTier: tier } = trust?.require ?? {};
  const below = [
    ...(required !== undefined && guarantees.indexOf(guarantee) < guarantees.indexOf(required)
      ? (['guarantee'] as const)
      : []),
    ...(tier !== undefined && timeTier !== tier ? (['timeTier'] as const) : []),
  ];
  const closureFailed = results.closure.result === false;
  return {
    schema: REPORT_SCHEMA,
    verdict,
    ...(failure !== undefined && { failure }),
    checks: results,
    findings: context.findings,
    // Without an anchor or witnesses the operator could have rewritten everything.
    claim: verdict === 'verified' && guarantee !== 'detect' ? 'tamper-evident' : 'tamper-detecting',
    guarantee,
    timeTier,
    timeBracket: timeBracket(context, results.history),
    authzTier: authzTierOf(context),
    timestamps: context.timestamps,
    cosignatures: context.cosignatures.size,
    ...(below.length > 0 && { below }),
    closure: {
      status: closureFailed ? 'failed' : results.closure.result === true ? 'ok' : 'n/a',
      edges,
      unconfirmed: replay?.unconfirmedEdges ?? 0,
    },
    blobs: context.blobs,
    statements: context.statements,
    ...(replay && {
      run: {
        id: replay.submitted.runId,
        origin: replay.submitted.logOrigin,
        status: replay.completed?.status ?? 'running',
        counts: replay.counts,
        items: replay.items,
        attempts: replay.attempts.length,
        events: lines!.length,
        submittedAt: replay.submitted.at,
        ...(replay.completed && { completedAt: replay.completed.at }),
      },
    }),
    ...(context.item &&
      context.proof &&
      context.seal && {
        item: {
          id: context.proof.itemId,
          run: context.seal.runId,
          origin: context.seal.logOrigin,
          outcome: context.item.outcome,
          attempts: context.item.attempts.length,
        },
      }),
    ...(sealedBefore !== undefined &&
      context.seal && { sealDelayMs: sealedBefore - Date.parse(context.seal.completedAt) }),
    ...(context.heads && { heads: context.heads }),
    dependencies: context.dependencies,
    facts: context.facts,
  };
}
