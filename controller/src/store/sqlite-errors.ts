/** Errors of SQLite as PangolinErrors: https://sqlite.org/rescode.html */
import { isPangolinError, messageOf, PangolinError, type ErrorCode } from '@pangolin/contracts/errors';

interface Meaning {
  readonly code: ErrorCode;
  readonly message: (path: string) => string;
  readonly hint: string;
}

const unwritable = {
  code: 'DENIED',
  message: (path: string) => `${path} cannot be written`,
  hint: 'Give this user write permission on the state directory, and mount it writable.',
} as const;
const damaged = {
  code: 'INTEGRITY',
  message: (path: string) => `${path} is damaged`,
  hint: 'Restore the state directory from a backup (docs/operate.md, "Keys and backup"); sealed runs are not affected.',
} as const;

/** Primary code → what it means to an operator. The extended ones begin with it. */
const meanings: Readonly<Record<string, Meaning>> = {
  SQLITE_BUSY: {
    code: 'CONFLICT',
    message: (path) => `another controller serves ${path}`,
    hint: 'One controller per storage prefix; stop the other one first.',
  },
  SQLITE_FULL: {
    code: 'UNAVAILABLE',
    message: (path) => `there is no space left to write ${path}`,
    hint: 'The disk is full: free some space. Nothing is lost; what was under way is repeated.',
  },
  SQLITE_IOERR: {
    code: 'UNAVAILABLE',
    message: (path) => `the disk refused to read or write ${path}`,
    hint: 'Look whether the file system is full, read-only or failing.',
  },
  SQLITE_READONLY: unwritable,
  SQLITE_CANTOPEN: unwritable,
  SQLITE_PERM: unwritable,
  SQLITE_NOTADB: damaged,
  SQLITE_CORRUPT: damaged,
};

/** What is none of these is handed back. */
export function stateError(cause: unknown, path: string): unknown {
  const code = isPangolinError(cause) ? undefined : (cause as { readonly code?: unknown }).code;
  const primary = typeof code === 'string' ? /^SQLITE_[A-Z]+/.exec(code)?.[0] : undefined;
  const meaning = primary === undefined ? undefined : meanings[primary];
  if (!meaning) return cause;
  return new PangolinError(meaning.code, `${meaning.message(path)}: ${messageOf(cause)}`, {
    cause,
    hint: meaning.hint,
  });
}
