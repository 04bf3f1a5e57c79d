/**
 * One fsync of a directory for everybody who asked before it began. Many objects of one directory are then as durable
 * as each with an fsync of its own, at the cost of few.
 */
import type { Directory } from './folder-files.ts';

export class DirectorySync {
  /** By the path that the caller knows the directory by: the fsync that has not begun yet. */
  readonly #next = new Map<string, Promise<void>>();
  readonly #running = new Map<string, Promise<void>>();

  /** Resolves when everything that was done in `directory` before the call is durable. */
  sync(name: string, directory: Directory): Promise<void> {
    const waiting = this.#next.get(name);
    if (waiting) return waiting;
    const running = this.#running.get(name);
    if (!running) return this.#start(name, directory);
    // The one under way may have missed what the caller did; the next one has not.
    const next = running
      .catch(() => undefined)
      .then(() => {
        this.#next.delete(name);
        return this.#start(name, directory);
      });
    this.#next.set(name, next);
    return next;
  }

  #start(name: string, { handle }: Directory): Promise<void> {
    const running = handle.sync().finally(() => this.#running.delete(name));
    this.#running.set(name, running);
    return running;
  }
}
