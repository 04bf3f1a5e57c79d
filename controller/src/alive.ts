/**
 * Whether the reconcile loop goes round: `alive.json` in the state directory, written by its turns and looked at by
 * `pangolin doctor --live`. It says nothing about storage or backend; a controller that waits for them is alive.
 *
 *     {"pid":7,"at":"2026-11-26T15:43:38.000Z"}
 */
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PangolinError } from '@pangolin/contracts/errors';
import { formatTime } from '@pangolin/contracts/units';

/** The loop goes round twice a minute with nothing to do. */
export const ALIVE_SILENCE_MS = 120_000;
/** A busy loop goes round many times a second. */
const WRITE_EVERY_MS = 10_000;

const fileIn = (stateDir: string): string => join(stateDir, 'alive.json');

export interface Alive {
  /** The loop has come round. */
  readonly beat: () => void;
  /** It has ended as it should. */
  readonly end: () => void;
}

export function openAlive(stateDir: string, now: () => number): Alive {
  const file = fileIn(stateDir);
  let written = -Infinity;
  return {
    beat() {
      // Also when the clock was set back.
      if (Math.abs(now() - written) < WRITE_EVERY_MS) return;
      written = now();
      try {
        writeFileSync(file, `${JSON.stringify({ pid: process.pid, at: formatTime(written) })}\n`, { mode: 0o600 });
      } catch {
        // Best effort: on a full disk the passes fail and say so, and silence is what this file is for.
      }
    },
    end: () => rmSync(file, { force: true }),
  };
}

/**
 * Ms since the loop last came round.
 * @throws PangolinError UNAVAILABLE when no controller runs with this state directory, or when its loop hangs.
 */
export function assertAlive(stateDir: string, now: number): number {
  const { pid, at } = read(stateDir);
  if (!isRunning(pid)) {
    throw new PangolinError('UNAVAILABLE', `the controller of ${stateDir} has died: process ${pid} is gone`, { hint: HINT });
  } // prettier-ignore
  const silence = Math.max(0, now - Date.parse(at));
  if (!(silence <= ALIVE_SILENCE_MS)) {
    throw new PangolinError('UNAVAILABLE', `the controller hangs: process ${pid} was last heard of at ${at}`, {
      hint: 'Restart it; tasks keep running and are adopted. Its log says what it did last.',
    });
  }
  return silence;
}

const HINT = 'Start it with `pangolin orch serve`; it adopts the tasks that run.';

function read(stateDir: string): { readonly pid: number; readonly at: string } {
  try {
    const { pid, at } = JSON.parse(readFileSync(fileIn(stateDir), 'utf8')) as { pid?: unknown; at?: unknown };
    if (Number.isInteger(pid) && typeof at === 'string') return { pid: pid as number, at };
  } catch {
    // Said below.
  }
  throw new PangolinError('UNAVAILABLE', `no controller runs with the state directory ${stateDir}`, { hint: HINT });
}

/** By the process table of this machine or container: the file is of one that runs here. */
function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
