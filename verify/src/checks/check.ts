import type { Context } from '../context.ts';
import type { CheckId, CheckResult, Failure } from '../report.ts';

/** One step of the verification. It reads what earlier checks left in the context and adds its own. */
export interface Check {
  readonly id: CheckId;
  /** What it makes sure of, for people. */
  readonly title: string;
  /** The class of its refusals. */
  readonly failure: Failure;
  /**
   * Sets its part of the context first and judges then.
   * @throws Refusal when the evidence does not hold.
   */
  run(context: Context): CheckResult | Promise<CheckResult>;
}

export const passed = (detail: string): CheckResult => ({ result: true, detail });
export const notApplicable = (detail: string): CheckResult => ({ result: 'n/a', detail });

export const UNSEALED = notApplicable('There is nothing to check because the run is not sealed.');
export const NO_TRUST = notApplicable('It cannot be checked because no trust file was given.');
/** Only after the refusal of an earlier check was overruled, which tests do. */
export const UNREACHED = notApplicable('It cannot be checked because an earlier check found nothing to go on.');

export const plural = (count: number, noun: string, nouns = `${noun}s`): string =>
  `${count} ${count === 1 ? noun : nouns}`;
