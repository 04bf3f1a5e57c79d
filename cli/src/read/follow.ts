/** A run as it changes, until it is terminal and sealed. */
import { isPangolinError, PangolinError } from '@pangolin/contracts/errors';
import type { ItemStatus, RunStatus } from '@pangolin/contracts/status';
import type { ObjectStore } from '@pangolin/storage/object-store';
import { nextSteps } from '../next-steps.ts';
import { findStatus, readItems } from './runs.ts';
import { Pace } from './wait.ts';

export interface RunChange {
  readonly status: RunStatus;
  /** The items that differ from the change before; at first all that have left `pending`. */
  readonly changed: readonly ItemStatus[];
  readonly items: readonly ItemStatus[];
}

export const isEnded = (status: RunStatus): boolean => status.phase !== 'running' && status.sealedAt !== undefined;

/** For so long a run that is not published yet may look forbidden: S3 says that to whoever may not list. */
const UNPUBLISHED_MS = 60_000;

/** The exit code that a finished run stands for. */
export const exitCodeOf = (status: RunStatus): number => (status.phase === 'succeeded' ? 0 : 1);

/**
 * Yields every change that it sees, the last one being `isEnded`. Waits for a run that is not published yet.
 * @throws PangolinError UNAVAILABLE when `timeoutMs` pass before the end; DENIED when it stays forbidden.
 */
export async function* followRun(
  store: ObjectStore,
  run: string,
  timeoutMs: number | undefined,
): AsyncGenerator<RunChange> {
  const end = timeoutMs === undefined ? Number.POSITIVE_INFINITY : Date.now() + timeoutMs;
  const pace = new Pace(store);
  const known = new Map<string, string>();
  const publishedBy = Date.now() + UNPUBLISHED_MS;
  let last = '';
  for (;;) {
    const status = await findStatus(store, run).catch((error: unknown) => {
      if (!isPangolinError(error, 'DENIED') || last !== '' || Date.now() > publishedBy) throw error;
      return undefined;
    });
    const text = JSON.stringify(status);
    if (status && text !== last) {
      last = text;
      pace.changed();
      // The controller writes the items before the status, so they are at least as new.
      const items = await readItems(store, run);
      yield { status, changed: changedItems(items, known), items };
      if (isEnded(status)) return;
    }
    if (Date.now() >= end) throw notEnded(run, status, await readItems(store, run));
    await pace.pause(end - Date.now());
  }
}

function changedItems(items: readonly ItemStatus[], known: Map<string, string>): readonly ItemStatus[] {
  return items.filter((item) => {
    const text = JSON.stringify(item);
    const before = known.get(item.id);
    known.set(item.id, text);
    return before === undefined ? item.phase !== 'pending' : before !== text;
  });
}

function notEnded(run: string, status: RunStatus | undefined, items: readonly ItemStatus[]): PangolinError {
  const where =
    status === undefined ? 'not published yet' : status.phase === 'running' ? 'still running' : 'not sealed yet';
  const [step] = status?.phase === 'running' ? nextSteps(status, items) : [];
  return new PangolinError('UNAVAILABLE', `run ${run} is ${where} after the time that was given`, {
    hint:
      step === undefined
        ? 'Is a controller serving this storage? `pangolin doctor` says so; `pangolin orch serve` starts one.'
        : `It waits for you: ${step.trim()}`,
  });
}
