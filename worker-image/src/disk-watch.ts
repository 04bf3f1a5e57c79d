/**
 * The disk quota of a task, by measuring: no file system here keeps one. A block that writes fast gets past it by what it
 * writes between two looks, and then it is stopped.
 */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { AttemptFailure } from './failure.ts';

export interface DiskLimits {
  /** Bytes of disk, so holes of a sparse file are free. */
  readonly bytes: number;
  /** Files, directories, links; a file with several names counts by each. */
  readonly files: number;
}

const LOOK_MS = 500;
/** Looking takes at most this part of the time: less often where there is much to look at. */
const SHARE = 0.25;

/**
 * Calls `exceed` once, with the reason, when `dir` holds more.
 * @returns stop: takes a last look if asked to, so that nobody gets past it by ending in time, and answers what that saw.
 */
export function watchDisk(
  dir: string,
  limits: DiskLimits | undefined,
  path: string,
  exceed: (failure: AttemptFailure) => void,
): (lastLook: boolean) => Promise<AttemptFailure | undefined> {
  if (limits === undefined) return async () => undefined;
  let timer: NodeJS.Timeout | undefined;
  let stopped = false;
  const look = async (): Promise<void> => {
    const started = performance.now();
    const failure = await measure(dir, limits, path).catch(() => undefined);
    if (stopped) return;
    if (failure !== undefined) return exceed(failure);
    const tookMs = performance.now() - started;
    timer = setTimeout(() => void look(), Math.max(LOOK_MS, tookMs / SHARE));
  };
  timer = setTimeout(() => void look(), LOOK_MS);
  return async (lastLook) => {
    stopped = true;
    clearTimeout(timer);
    if (!lastLook) return undefined;
    return await measure(dir, limits, path).catch(() => undefined);
  };
}

async function measure(dir: string, { bytes, files }: DiskLimits, path: string): Promise<AttemptFailure | undefined> {
  const has = async (...unit: readonly string[]): Promise<number> => {
    const env = { PATH: path, LC_ALL: 'C' };
    // Files come and go meanwhile: du complains, exits 1 and gives its sum all the same.
    const { stdout } = await promisify(execFile)('du', ['-sx', ...unit, dir], { env }).catch(
      (error: { stdout?: string }) => ({ stdout: error.stdout ?? '' }),
    );
    return Number(/^\d+/.exec(stdout)?.[0] ?? 0);
  };
  const exceeded = (what: string): AttemptFailure => new AttemptFailure('DiskQuotaExceeded', `the task ${what}`);
  // Every name of a file: a million of them are as much work for whoever reads the tree.
  if ((await has('--inodes', '--count-links')) > files) return exceeded(`made more than ${files} files`);
  return (await has('--block-size=1')) > bytes ? exceeded(`wrote more than ${bytes} bytes`) : undefined;
}
