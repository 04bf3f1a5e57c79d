/** Where an attempt is written: a directory that is mounted, or a bucket that grants lead to. */
import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { attemptFile } from '@pangolin/contracts/layout';
import type { Output } from '@pangolin/contracts/output';
import { createOnce, writeAll, writeWhole } from './attempt-dir.ts';
import type { Products } from './attempt.ts';

export interface AttemptPlace {
  /** The attempt, or a copy of it that the methods below bring where it belongs. */
  readonly dir: string;
  /** A log file is closed before it would grow beyond this; undefined: the usual. */
  readonly logFileBytes?: number;
  /** The fence: writes boot.json. @returns false when another worker has done so */
  claim(boot: Uint8Array): Promise<boolean>;
  /** The log file `name` has grown. */
  logGrew(name: string): void;
  /** Returns when the products can be named. `say` is told how far large ones are on their way. @throws AttemptFailure OutputTooLarge; what else is thrown is the store's */
  publish(products: Products, say: (line: string) => void, signal: AbortSignal): Promise<void>;
  /** Writes output.json, when all that it names is in place. */
  seal(output: Output, bytes: Uint8Array): Promise<void>;
}

export function mountedPlace(dir: string): AttemptPlace {
  return {
    dir,
    async claim(boot) {
      const taken = await access(join(dir, attemptFile.boot)).then(
        () => true,
        () => false,
      );
      return !taken && (await createOnce(dir, attemptFile.boot, boot));
    },
    logGrew: () => undefined,
    publish: async () => undefined,
    seal: (_output, bytes) => writeWhole(dir, attemptFile.output, (file) => writeAll(file, bytes)),
  };
}
