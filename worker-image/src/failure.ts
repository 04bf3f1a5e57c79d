/** Why an attempt fails: a reason of the closed list and a sentence. Thrown inside the worker, sealed by the runner. */
import { messageOf } from '@pangolin/contracts/errors';
import type { Reason } from '@pangolin/contracts/reasons';

export class AttemptFailure extends Error {
  readonly reason: Reason;
  /** RFC 3339; of ModelRateLimited, where the model said it. */
  readonly resetAt: string | undefined;

  constructor(reason: Reason, message: string, options?: { readonly cause?: unknown; readonly resetAt?: string }) {
    super(message, options);
    this.name = 'AttemptFailure';
    this.reason = reason;
    this.resetAt = options?.resetAt;
  }
}

/** The manifest cannot be accepted: the worker writes nothing and exits 4. */
export class ManifestRejected extends Error {}

export function isDiskFull(error: unknown): boolean {
  const code = (error as { code?: unknown } | null)?.code;
  return code === 'ENOSPC' || code === 'EDQUOT' || /No space left on device|Disk quota exceeded/.test(messageOf(error));
}

/** What was thrown in the step `what`, as a failure: a full disk is DiskFull whatever the step was. */
export function failureOf(error: unknown, reason: Reason, what: string): AttemptFailure {
  if (error instanceof AttemptFailure) return error;
  const message = `${what}: ${messageOf(error)}`;
  return new AttemptFailure(isDiskFull(error) ? 'DiskFull' : reason, message, { cause: error });
}
