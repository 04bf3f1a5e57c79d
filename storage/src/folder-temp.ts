/**
 * Temporary files of a folder store: `.pangolin-store/tmp/<owner>/<n>`, inside the root so that renaming
 * them is atomic. Each owner (one open store) holds the lock `<owner>.lock` for as long as it lives, so
 * what a killed process left behind can be told from what a living one is writing.
 */
import { constants } from 'node:fs';
import { mkdir, open, readdir, rm, type FileHandle } from 'node:fs/promises';
import { randomUUID } from 'node:crypto';
import { FileLock, SharedMutex } from './file-lock.ts';
import { inDirectory } from './folder-files.ts';
import { isMissing } from './fs-errors.ts';
import { PRIVATE_SEGMENT } from './keys.ts';

const CREATE = constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;

export interface TempFile {
  readonly path: string;
  readonly handle: FileHandle;
}

export class TempFiles {
  readonly #root: string;
  readonly #base: string;
  readonly #claims: SharedMutex;
  #own: Promise<string> | undefined;
  /** Held for good: a released one would give its directory up for sweeping. */
  readonly #lives: FileLock[] = [];
  #count = 0;

  constructor(root: string) {
    this.#root = root;
    this.#base = `${root}/${PRIVATE_SEGMENT}/tmp`;
    this.#claims = new SharedMutex(`${this.#base}/claims`);
  }

  /** A new, empty file, open for writing; the caller renames or removes it. */
  async create(): Promise<TempFile> {
    this.#own ??= this.#claim();
    // A failed claim (disk full) must not fail every later write.
    const own = await this.#own.catch((error: unknown) => {
      this.#own = undefined;
      throw error;
    });
    const path = `${own}/${this.#count++}`;
    return { path, handle: await open(path, CREATE, 0o644) };
  }

  /** Removes what dead owners left. */
  async sweep(): Promise<void> {
    const names = await readdir(this.#base).catch((error: unknown) => {
      if (isMissing(error)) return [];
      throw error;
    });
    const owners = new Set(names.map((name) => name.replace(/\.lock$/, '')).filter((name) => name !== 'claims'));
    if (owners.size === 0) return;
    await this.#claims.run(async () => {
      for (const owner of owners) await this.#sweepOwner(`${this.#base}/${owner}`);
    });
  }

  async #sweepOwner(path: string): Promise<void> {
    const lock = new FileLock(`${path}.lock`);
    try {
      if (!lock.tryAcquire()) return;
      await rm(path, { recursive: true, force: true });
      await rm(`${path}.lock`, { force: true });
    } finally {
      lock.close();
    }
  }

  async #claim(): Promise<string> {
    await inDirectory(this.#root, `${PRIVATE_SEGMENT}/tmp/`, { create: true }, () => Promise.resolve());
    // Under the mutex no sweeper can take the new lock between its creation and its acquisition.
    return await this.#claims.run(async () => {
      const path = `${this.#base}/${randomUUID()}`;
      const life = new FileLock(`${path}.lock`);
      this.#lives.push(life);
      life.tryAcquire();
      await mkdir(path, { mode: 0o700 });
      return path;
    });
  }
}
