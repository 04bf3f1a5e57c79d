/** What an S3 server or the way to it says, as PangolinErrors. */
import { PangolinError, isPangolinError, messageOf, type ErrorCode } from '@pangolin/contracts/errors';

export interface Fault {
  /** The S3 error code, such as NoSuchKey; '' when there was no answer. */
  readonly name: string;
  readonly status: number | undefined;
  /** Requests the SDK made: with more than one, an earlier one may have taken effect although it failed. */
  readonly attempts: number;
}

export function faultOf(error: unknown): Fault {
  const metadata = property(error, '$metadata');
  const status = property(metadata, 'httpStatusCode');
  const attempts = property(metadata, 'attempts');
  return {
    name: error instanceof Error ? error.name : '',
    status: typeof status === 'number' ? status : undefined,
    attempts: typeof attempts === 'number' ? attempts : 1,
  };
}

interface Row {
  readonly when: (fault: Fault) => boolean;
  readonly code: ErrorCode;
  readonly hint: string;
}

/** First match wins. */
const rows: readonly Row[] = [
  {
    when: (f) => f.name === 'NoSuchBucket',
    code: 'NOT_FOUND',
    hint: 'Create the bucket first, or correct its name and region.',
  },
  { when: (f) => f.status === 404, code: 'NOT_FOUND', hint: 'Something removed it meanwhile.' },
  { when: (f) => f.status === 412, code: 'PRECONDITION', hint: 'Somebody else changed it first.' },
  {
    // The server computed another digest over what it received.
    when: (f) =>
      ['BadDigest', 'InvalidDigest', 'XAmzContentSHA256Mismatch', 'XAmzContentChecksumMismatch'].includes(f.name),
    code: 'INTEGRITY',
    hint: 'The bytes changed on their way to the server.',
  },
  {
    when: (f) => f.name === 'RequestTimeTooSkewed',
    code: 'DENIED',
    hint: 'The clock of this machine and that of the server differ by more than 15 minutes.',
  },
  {
    when: (f) => ['ExpiredToken', 'TokenRefreshRequired', 'ExpiredTokenException'].includes(f.name),
    code: 'DENIED',
    hint: 'The credentials have expired: renew them.',
  },
  {
    when: (f) => f.name === 'CredentialsProviderError',
    code: 'DENIED',
    hint: 'Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or run with a role.',
  },
  {
    when: (f) => f.status === 401 || f.status === 403,
    code: 'DENIED',
    hint: 'Check the credentials, and that their policy allows this on the bucket and its KMS key.',
  },
  { when: (f) => f.name === 'EntityTooLarge', code: 'TOO_LARGE', hint: 'The server takes no object of this size.' },
  { when: (f) => f.status === 501, code: 'UNSUPPORTED', hint: 'The server does not know this operation.' },
  {
    // A success whose body broke off: the SDK could not read it.
    when: (f) => f.status !== undefined && f.status < 300,
    code: 'UNAVAILABLE',
    hint: 'The answer of the S3 endpoint broke off; try again.',
  },
  // 409 only remains when it outlived our own retries; 408 and 429 are throttling.
  {
    when: (f) => f.status === undefined || f.status >= 500 || [408, 409, 429].includes(f.status),
    code: 'UNAVAILABLE',
    hint: 'The S3 endpoint did not answer in time or is overloaded; try again.',
  },
  { when: () => true, code: 'INVALID', hint: 'The server refused the request; see the message.' },
];

export function s3Error(error: unknown, doing: string): PangolinError {
  if (isPangolinError(error)) return error;
  const fault = faultOf(error);
  // The last row always matches.
  const { code, hint } = rows.find((row) => row.when(fault)) as Row;
  const name = fault.status === undefined ? '' : ` (${fault.name}, HTTP ${fault.status})`;
  return new PangolinError(code, `cannot ${doing}${name}: ${messageOf(error)}`, { cause: error, hint });
}

function property(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[name] : undefined;
}
