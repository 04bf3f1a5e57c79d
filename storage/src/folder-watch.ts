/**
 * Watching directories with inotify (node:fs.watch), each directory below the prefix by itself: Node's own
 * recursive mode on Linux watches every file. Events only say that it is time to look again, so they are
 * coalesced, and everything that can go wrong (a directory removed, replaced or moved while it is looked at,
 * no more inotify watches) ends in looking again a little later instead of in an error.
 */
import { watch as watchPath, type FSWatcher } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { inDirectory } from './folder-files.ts';
import { PRIVATE_SEGMENT } from './keys.ts';

/** Events within this time are one callback. */
const COALESCE_MS = 25;
/** Pace of looking again where a directory cannot be watched. */
const DEGRADED_MS = 2_000;
/** Beyond this many directories the rest is looked at in the degraded pace. */
const DIRECTORIES_MAX = 4_096;

interface Watched {
  /** Device, inode and time of birth: a directory made anew often gets the inode of the removed one. */
  readonly identity: string;
  readonly watcher: FSWatcher;
}

export class FolderWatch {
  readonly #root: string;
  readonly #prefix: string;
  readonly #onChange: () => void;
  readonly #watched = new Map<string, Watched>();
  #timer: NodeJS.Timeout | undefined;
  #due = 0;
  #running: Promise<void> = Promise.resolve();
  #degraded = false;
  #stopped = false;

  /** `prefix` is `''` or ends with `/`. */
  constructor(root: string, prefix: string, onChange: () => void) {
    this.#root = root;
    this.#prefix = prefix;
    this.#onChange = onChange;
  }

  /** What changes after this returns is called back about. */
  async start(): Promise<void> {
    await this.#placeWatches();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    await this.#running;
    for (const { watcher } of this.#watched.values()) watcher.close();
    this.#watched.clear();
  }

  #schedule(delayMs: number): void {
    if (this.#stopped) return;
    const due = performance.now() + delayMs;
    if (this.#timer !== undefined) {
      if (due >= this.#due) return;
      clearTimeout(this.#timer);
    }
    this.#due = due;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#running = this.#running.then(() => this.#look());
    }, delayMs);
  }

  async #look(): Promise<void> {
    if (this.#stopped) return;
    // New directories are watched before the callback: what is put into them later makes its own event.
    await this.#placeWatches();
    if (!this.#stopped) this.#onChange();
  }

  async #placeWatches(): Promise<void> {
    const wasDegraded = this.#degraded;
    this.#degraded = false;
    const seen = new Set<string>();
    await this.#place(this.#prefix, true, seen);
    for (const [dir, { watcher }] of this.#watched) {
      if (seen.has(dir)) continue;
      watcher.close();
      this.#watched.delete(dir);
    }
    if (this.#degraded || wasDegraded) this.#schedule(DEGRADED_MS);
  }

  async #place(dir: string, create: boolean, seen: Set<string>): Promise<void> {
    if (this.#stopped) return;
    if (seen.size >= DIRECTORIES_MAX) {
      this.#degraded = true;
      return;
    }
    const children = await inDirectory(this.#root, dir, { create }, async ({ handle, path }) => {
      const { dev, ino, birthtimeNs } = await handle.stat({ bigint: true });
      this.#watchDirectory(dir, path, `${dev}:${ino}:${birthtimeNs}`);
      seen.add(dir);
      const entries = await readdir(path, { withFileTypes: true });
      return entries
        .filter((entry) => entry.isDirectory() && entry.name !== PRIVATE_SEGMENT)
        .map((entry) => `${dir}${entry.name}/`);
    }).catch(() => {
      // The prefix itself must be there; a directory below it may have gone meanwhile.
      if (create) this.#degraded = true;
      return [];
    });
    for (const child of children) await this.#place(child, false, seen);
  }

  /** `path` is resolved once, while the directory is open: the watch is on that inode, wherever it goes. */
  #watchDirectory(dir: string, path: string, identity: string): void {
    const known = this.#watched.get(dir);
    if (known?.identity === identity) return;
    known?.watcher.close();
    this.#watched.delete(dir);
    try {
      const watcher = watchPath(path, () => this.#schedule(COALESCE_MS));
      watcher.on('error', () => {
        watcher.close();
        this.#watched.delete(dir);
        this.#schedule(DEGRADED_MS);
      });
      this.#watched.set(dir, { identity, watcher });
    } catch {
      this.#degraded = true;
    }
  }
}
