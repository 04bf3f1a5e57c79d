/**
 * Locks between processes that the kernel releases when their holder dies, however it dies. Node offers no
 * flock(2), but its built-in SQLite takes fcntl(2) locks on a database file, and an empty database does for
 * a lock. Unlike a file with a process id in it, such a lock is never stale, needs no time-out, survives
 * process id reuse, and holds between containers that share a folder but not their process ids.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { DatabaseSync } from 'node:sqlite';
import { PangolinError, messageOf } from '@pangolin/contracts/errors';

const SQLITE_BUSY = 5;
const SQLITE_READONLY = 8;
/** How long to wait for a holder; critical sections take milliseconds unless that process is stopped. */
const WAIT_MS = 30_000;

export class FileLock {
  readonly #path: string;
  #database: DatabaseSync | undefined;

  /** The file is created when missing; its directory must exist. */
  constructor(path: string) {
    this.#path = path;
  }

  /** false when somebody else holds it, be it in this process or another. */
  tryAcquire(): boolean {
    try {
      this.#database ??= openDatabase(this.#path);
      this.#database.exec('BEGIN EXCLUSIVE');
      return true;
    } catch (error) {
      const code = error instanceof Error && 'errcode' in error ? Number(error.errcode) & 0xff : -1;
      if (code === SQLITE_BUSY) return false;
      throw new PangolinError(
        code === SQLITE_READONLY ? 'DENIED' : 'UNAVAILABLE',
        `cannot lock ${this.#path}: ${messageOf(error)}`,
        { cause: error, hint: 'The storage folder must be writable and on a file system with POSIX locks.' },
      );
    }
  }

  release(): void {
    this.#database?.exec('ROLLBACK');
  }

  /** Gives the lock up, if held, and its descriptor. */
  close(): void {
    this.#database?.close();
    this.#database = undefined;
  }
}

/** One of several callers at a time, in this process and in all others. */
export class SharedMutex {
  readonly #lock: FileLock;
  #last: Promise<unknown> = Promise.resolve();

  constructor(path: string) {
    this.#lock = new FileLock(path);
  }

  /** @throws PangolinError UNAVAILABLE when another process keeps the lock for half a minute */
  run<T>(critical: () => Promise<T>): Promise<T> {
    const mine = this.#last.then(() => this.#locked(critical));
    this.#last = mine.catch(() => undefined);
    return mine;
  }

  async #locked<T>(critical: () => Promise<T>): Promise<T> {
    for (let waited = 0, step = 1; !this.#lock.tryAcquire(); waited += step, step = Math.min(step * 2, 20)) {
      if (waited >= WAIT_MS) {
        throw new PangolinError('UNAVAILABLE', 'another process holds a lock of the storage folder', {
          hint: 'Look for a stopped (SIGSTOP, debugger) pangolin process on this folder.',
        });
      }
      await sleep(step);
    }
    try {
      return await critical();
    } finally {
      this.#lock.release();
    }
  }
}

function openDatabase(path: string): DatabaseSync {
  // Loaded on first use: a process that only reads never pays for it.
  const { DatabaseSync: Database } = process.getBuiltinModule('node:sqlite');
  const database = new Database(path, { timeout: 0 });
  // Nothing is ever written; without this each lock makes and removes a journal beside the file.
  database.exec('PRAGMA journal_mode = MEMORY');
  return database;
}
