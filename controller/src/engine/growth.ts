/** Runs grow in one way: items are appended that point at existing ones. History is never rewritten (law 11). */
import { canonicalBytes } from '@pangolin/contracts/canonical';
import { sha256 } from '@pangolin/contracts/digest';
import { PangolinError } from '@pangolin/contracts/errors';
import { casKey } from '@pangolin/contracts/layout';
import type { AdmittedItem, Extension } from '@pangolin/contracts/admitted-run';
import { ITEMS_MAX } from '@pangolin/contracts/run';
import { sourcesOf } from '../plan/conditions.ts';
import type { RunRow } from '../store/rows.ts';
import { addItems } from './dependencies.ts';
import { growthProblem } from './typed.ts';
import type { Pass } from './pass.ts';

export interface Growth {
  readonly extension: Extension;
  /** The item whose end caused it; absent when an operator extends the run. */
  readonly cause?: string;
  /** `pattern:<queue>` or the operator. */
  readonly actor: string;
}

/**
 * @throws PangolinError CONFLICT with a sentence when the merged graph would not be one; `details.path` is the pointer of
 * what does not fit, from the extension on. Nothing is changed then.
 */
export async function extendRun(pass: Pass, run: RunRow, { extension, cause, actor }: Growth): Promise<void> {
  const { state, store } = pass.engine;
  checkMerge(pass, run, extension.items);
  const untyped = await growthProblem(pass.engine, run, extension.items);
  if (untyped) throw new PangolinError('CONFLICT', untyped.message, { details: { path: `/items/${untyped.index}` } });
  const bytes = canonicalBytes(extension);
  const digest = sha256(bytes);
  // Named by the event, so it is durable before the event is.
  await store.put(casKey(digest), bytes);
  state.addPipelines(extension.pipelines);
  pass.event(
    run.run_id,
    { kind: 'run.extended', ...(cause !== undefined && { cause }), items: { sha256: digest } },
    actor,
  );
  addItems(pass, run, extension.items);
}

function checkMerge(pass: Pass, run: RunRow, items: readonly AdmittedItem[]): void {
  const { state } = pass.engine;
  const refuse = (message: string, path = ''): never => {
    throw new PangolinError('CONFLICT', message, { details: { path } });
  };
  if (run.finished_at !== null) refuse(`run ${run.run_id} is ${run.phase} already`);
  if (state.itemCount(run.rn) + items.length > ITEMS_MAX)
    refuse(`run ${run.run_id} would have more than ${ITEMS_MAX} items`);
  const added = new Map(items.map((item) => [item.id, item]));
  if (added.size !== items.length) refuse('two of the appended items have one id');
  for (const [index, item] of items.entries()) {
    const path = `/items/${index}`;
    if (state.sourceItem(run.rn, item.id)) refuse(`run ${run.run_id} has an item ${item.id} already`, `${path}/id`);
    for (const source of sourcesOf(item)) {
      if (!added.has(source) && !state.sourceItem(run.rn, source))
        refuse(`${item.id} depends on ${source}, which run ${run.run_id} does not have`, path);
    }
  }
  const cycle = findCycle(added);
  if (cycle) refuse(`the appended items depend on each other in a circle: ${cycle}`);
}

/** Only appended items can be on a cycle: existing ones point at none of them. Kahn's algorithm. */
function findCycle(added: ReadonlyMap<string, AdmittedItem>): string | undefined {
  const unmet = new Map<string, number>();
  const dependents = new Map<string, string[]>();
  for (const item of added.values()) {
    const sources = [...new Set(sourcesOf(item))].filter((id) => added.has(id));
    unmet.set(item.id, sources.length);
    for (const source of sources) dependents.set(source, [...(dependents.get(source) ?? []), item.id]);
  }
  const free = [...unmet].filter(([, count]) => count === 0).map(([id]) => id);
  // Grows while it is walked.
  for (const id of free) {
    for (const dependent of dependents.get(id) ?? []) {
      const left = unmet.get(dependent)! - 1;
      unmet.set(dependent, left);
      if (left === 0) free.push(dependent);
    }
  }
  if (free.length === added.size) return undefined;
  return [...unmet]
    .filter(([, count]) => count > 0)
    .map(([id]) => id)
    .slice(0, 10)
    .join(', ');
}
