/** When a failed attempt is followed by another one. Pure: time and identity come in, a decision goes out. */
import { sha256 } from '@pangolin/contracts/digest';
import type { AttemptRef } from '@pangolin/contracts/ids';
import { classOf, type Reason } from '@pangolin/contracts/reasons';
import type { AdmittedItem, RetryRule } from '@pangolin/contracts/admitted-run';

/** Losses of infrastructure are not charged to the item; they have this budget of their own. */
export const INFRASTRUCTURE_RETRIES_MAX = 5;
/** How often rules may park an item, and for how long when they do not say. */
export const PARKS_MAX = 100;
const PARK_MS = 5 * 60_000;
/** A worker says when its model takes requests again; it is not believed beyond this. */
export const RATE_LIMIT_WAIT_MAX_MS = 24 * 60 * 60_000;
const RATE_LIMIT_WAIT_MIN_MS = 1000;
const infrastructureBackoff = { initialMs: 1000, factor: 2, maxMs: 60_000, jitter: true } as const;

export interface Budget {
  /** Failures so far on the item's own budget, this one not counted. */
  readonly charged: number;
  /** Failures so far on the infrastructure budget, this one not counted. */
  readonly infra: number;
  /** Times that a rule parked it. */
  readonly parks: number;
}

export interface Failure {
  readonly reason: Reason;
  /** Of the block that failed, where one did. */
  readonly exitCode?: number | undefined;
  /** Of ModelRateLimited: from now until the model takes requests again, as the worker says. */
  readonly resetInMs?: number | undefined;
}

export type RetryDecision =
  | { readonly action: 'retry'; readonly delayMs: number; readonly parked: boolean; readonly budget: Budget }
  | { readonly action: 'fail'; readonly budget: Budget };

/** A rule of the item decides if one matches; otherwise the class of the reason does. */
export function decideRetry(
  ref: AttemptRef,
  failure: Failure,
  policy: AdmittedItem['retry'],
  spent: Budget,
): RetryDecision {
  const { charged, infra, parks } = spent;
  const rule = policy.rules?.find((each) => matches(each, failure));
  if (rule?.action === 'fail') return { action: 'fail', budget: { charged: charged + 1, infra, parks } };
  if (rule?.action === 'park' && parks < PARKS_MAX) {
    return {
      action: 'retry',
      parked: true,
      delayMs: rule.parkMs ?? PARK_MS,
      budget: { charged, infra, parks: parks + 1 },
    };
  }
  // The model has no room: the item waits for it without a task and without a charge, as often as rules may park it.
  if (rule === undefined && failure.reason === 'ModelRateLimited' && parks < PARKS_MAX) {
    const wait = failure.resetInMs ?? PARK_MS;
    const delayMs = Math.min(Math.max(wait, RATE_LIMIT_WAIT_MIN_MS), RATE_LIMIT_WAIT_MAX_MS);
    return { action: 'retry', parked: true, delayMs, budget: { charged, infra, parks: parks + 1 } };
  }
  const reasonClass = rule?.action === 'retry' ? 'item' : classOf(failure.reason);
  switch (reasonClass) {
    case 'item': {
      const budget = { charged: charged + 1, infra, parks };
      if (budget.charged >= policy.maxAttempts) return { action: 'fail', budget };
      return { action: 'retry', parked: false, budget, delayMs: backoff(ref, policy, budget.charged) };
    }
    case 'infrastructure': {
      const budget = { charged, infra: infra + 1, parks };
      if (budget.infra > INFRASTRUCTURE_RETRIES_MAX) return { action: 'fail', budget };
      return { action: 'retry', parked: false, budget, delayMs: backoff(ref, infrastructureBackoff, budget.infra) };
    }
    case 'decision':
    case 'progress':
      return { action: 'fail', budget: { charged, infra, parks } };
  }
}

function matches(rule: RetryRule, { reason, exitCode }: Failure): boolean {
  if (rule.reasons && !rule.reasons.includes(reason)) return false;
  return rule.exitCodes === undefined || (exitCode !== undefined && rule.exitCodes.includes(exitCode));
}

type Backoff = Pick<AdmittedItem['retry'], 'initialMs' | 'factor' | 'maxMs' | 'jitter'>;

/** Milliseconds before the attempt after failure number `failure` (from 1). The jitter is derived from the attempt, so a replay decides the same. */
export function backoff(ref: AttemptRef, policy: Backoff, failure: number): number {
  const full = Math.min(policy.maxMs, policy.initialMs * policy.factor ** (failure - 1));
  if (!policy.jitter) return full;
  const fraction =
    Number.parseInt(sha256(JSON.stringify([ref.runId, ref.itemId, ref.attempt])).slice(0, 8), 16) / 0xffff_ffff;
  return Math.round(full * (0.5 + fraction / 2));
}
