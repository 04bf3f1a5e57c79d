/**
 * The one error class. Expected outcomes are values; what is thrown is a PangolinError with a code
 * from this table, a sentence, and a hint that says what to do next.
 */

/** code → process exit code (design §10) and whether the same call may succeed later. */
const codes = {
  INVALID: { exit: 2, retryable: false },
  USAGE: { exit: 2, retryable: false },
  NOT_FOUND: { exit: 3, retryable: false },
  CONFLICT: { exit: 4, retryable: false },
  PRECONDITION: { exit: 4, retryable: false },
  DENIED: { exit: 5, retryable: false },
  UNSUPPORTED: { exit: 5, retryable: false },
  UNAVAILABLE: { exit: 6, retryable: true },
  INTEGRITY: { exit: 1, retryable: false },
  TOO_LARGE: { exit: 2, retryable: false },
  INTERNAL: { exit: 1, retryable: false },
} as const;

export type ErrorCode = keyof typeof codes;

/** `details` is a closed place for machine-readable context; it never holds a secret. */
export interface ErrorOptions {
  readonly hint?: string;
  readonly cause?: unknown;
  readonly details?: unknown;
}

export class PangolinError extends Error {
  readonly code: ErrorCode;
  readonly hint: string | undefined;
  readonly details: unknown;

  constructor(code: ErrorCode, message: string, options: ErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'PangolinError';
    this.code = code;
    this.hint = options.hint;
    this.details = options.details;
  }

  /** Process exit code of design §10. */
  get exitCode(): number {
    return codes[this.code].exit;
  }

  get retryable(): boolean {
    return codes[this.code].retryable;
  }
}

export function isPangolinError(error: unknown, code?: ErrorCode): error is PangolinError {
  return error instanceof PangolinError && (code === undefined || error.code === code);
}

/** The message of anything that was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
