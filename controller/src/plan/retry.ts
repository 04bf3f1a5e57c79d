/** When a failed attempt is followed by another one. Pure: time and identity come in, a decision goes out. */
import { sha256 } from '@pangolin/contracts/digest';
import type { AttemptRef } from '@pangolin/contracts/ids';
import { classOf, type Reason } from '@pangolin/contracts/reasons';
import type { AdmittedItem } from '@pangolin/contracts/run';

/** Losses of infrastructure are not charged to the item; they have this budget of their own. */
export const INFRASTRUCTURE_RETRIES_MAX = 5;
const infrastructureBackoff = { initialMs: 1000, factor: 2, maxMs: 60_000, jitter: true } as const;

export interface Budget {
  /** Failures so far on the item's own budget, this one not counted. */
  readonly charged: number;
  /** Failures so far on the infrastructure budget, this one not counted. */
  readonly infra: number;
}

export type RetryDecision =
  | { readonly retry: true; readonly delayMs: number; readonly budget: Budget }
  | { readonly retry: false; readonly budget: Budget };

export function decideRetry(ref: AttemptRef, reason: Reason, policy: AdmittedItem['retry'], spent: Budget): RetryDecision {
  switch (classOf(reason)) {
    case 'item': {
      const budget = { charged: spent.charged + 1, infra: spent.infra };
      if (budget.charged >= policy.maxAttempts) return { retry: false, budget };
      return { retry: true, budget, delayMs: backoff(ref, policy, budget.charged) };
    }
    case 'infrastructure': {
      const budget = { charged: spent.charged, infra: spent.infra + 1 };
      if (budget.infra > INFRASTRUCTURE_RETRIES_MAX) return { retry: false, budget };
      return { retry: true, budget, delayMs: backoff(ref, infrastructureBackoff, budget.infra) };
    }
    case 'decision':
    case 'progress':
      return { retry: false, budget: { charged: spent.charged, infra: spent.infra } };
  }
}

type Backoff = Pick<AdmittedItem['retry'], 'initialMs' | 'factor' | 'maxMs' | 'jitter'>;

/** Milliseconds before the attempt after failure number `failure` (from 1). The jitter is derived from the attempt, so a replay decides the same. */
export function backoff(ref: AttemptRef, policy: Backoff, failure: number): number {
  const full = Math.min(policy.maxMs, policy.initialMs * policy.factor ** (failure - 1));
  if (!policy.jitter) return full;
  const fraction = Number.parseInt(sha256(JSON.stringify([ref.runId, ref.itemId, ref.attempt])).slice(0, 8), 16) / 0xffff_ffff;
  return Math.round(full * (0.5 + fraction / 2));
}
