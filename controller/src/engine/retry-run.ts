/** A linked retry: a new run that runs again what a run that has ended could not finish, and takes over the rest. */
import { canonicalBytes } from '@pangolin/contracts/canonical';
import { sha256 } from '@pangolin/contracts/digest';
import { casKey } from '@pangolin/contracts/layout';
import type { AdmittedPattern } from '@pangolin/contracts/pattern';
import type { AdmittedItem, AdmittedRun } from '@pangolin/contracts/admitted-run';
import { rolesOf, templatesOf } from '../plan/patterns/patterns.ts';
import { itemsAgain, specAgain, type EndedItem, type EndedItems } from '../plan/run-again.ts';
import type { ItemRow, Products, RunRow } from '../store/rows.ts';
import { specOf } from './engine.ts';
import { insertRun } from './insert-run.ts';
import type { Pass } from './pass.ts';
import { Refusal } from './refusal.ts';

export interface Retry {
  /** This item and its descendants, instead of what did not succeed. */
  readonly only: string | undefined;
  /** Id of the new run; `<run>.retry<n>` without. */
  readonly as: string | undefined;
  readonly actor: string;
  readonly submission: string;
}

/** Answers the id of the new run. @throws Refusal when there is nothing to run again, or not yet */
export async function retryRun(pass: Pass, run: RunRow, { only, as, actor, submission }: Retry): Promise<string> {
  const { state, store } = pass.engine;
  if (run.finished_at === null)
    throw new Refusal('NotFinished', `run ${run.run_id} is still running`, 'Cancel it first, or wait.');
  const ended: EndedItems = new Map(Array.from(state.itemsOf(run.rn), (row) => [row.item_id, endedItem(row)]));
  const again = itemsAgain(ended, only);
  if (again.size === 0)
    throw new Refusal(
      'NothingToRetry',
      `every item of ${run.run_id} that could run is done`,
      'Name an item to run it again with its descendants.',
    );
  const id = as ?? `${run.run_id}.retry${state.retriesOf(run.run_id) + 1}`;
  if (state.run(id)) throw new Refusal('Conflict', `a run ${id} exists`, 'Give the retry another id with --as.');

  const specs = [...ended.values()]
    .filter(({ spec }) => again.has(spec.id))
    .map(({ spec }) => specAgain(spec, again, ended, only));
  const pattern = patternAgain(pass, run, specs, ended);
  const digests = [...specs, ...(pattern ? templatesOf(pattern) : [])].flatMap(
    ({ pipeline }) => pipeline?.sha256 ?? [],
  );
  const linked: AdmittedRun = {
    schema: 'admitted-run/1',
    id,
    queue: run.queue,
    labels: { ...(JSON.parse(run.labels) as Record<string, string>), 'pangolin.dev/retry-of': run.run_id },
    spec: sha256(canonicalBytes({ retryOf: run.plan, id, items: [...again].sort() })),
    pipelines: Object.fromEntries(digests.map((digest) => [digest, state.pipeline(digest)])),
    items: specs,
    ...(run.timeout_ms !== null && { timeoutMs: run.timeout_ms }),
    ...(pattern && { pattern }),
  };
  const bytes = canonicalBytes(linked);
  const plan = sha256(bytes);
  await store.put(casKey(plan), bytes);
  insertRun(pass, { run: linked, plan, actor, submission, retryOf: run.run_id });
  return id;
}

function endedItem(row: ItemRow): EndedItem {
  return {
    spec: specOf(row),
    phase: row.phase,
    product: (select) => {
      if (row.phase !== 'done' || row.products === null) return undefined;
      const { patch, outputs } = JSON.parse(row.products) as Products;
      return select.kind === 'patch' ? patch : outputs[select.path];
    },
  };
}

/**
 * What a run has grown to is run again as it is. A splitter or a proposal that never got so far makes the new run grow;
 * one that did would do it a second time, beside the items that are there.
 */
function patternAgain(
  { engine: { state } }: Pass,
  run: RunRow,
  specs: readonly AdmittedItem[],
  ended: EndedItems,
): AdmittedPattern | undefined {
  if (run.patterned === 0) return undefined;
  const pattern = state.patterns.of(run.rn);
  const roles = rolesOf(pattern);
  const growing = specs.filter(({ role }) => role !== undefined && roles.includes(role));
  if (growing.length === 0) return undefined;
  const grown = new Set(Array.from(ended.values(), ({ spec }) => spec.spawn?.of));
  const twice = growing.find(({ id, spawn }) => spawn !== undefined || grown.has(id));
  if (!twice) return pattern;
  const hint = 'Name an item behind it, or submit the run again under another id.';
  throw new Refusal('NotRetryable', `the run has grown from ${twice.id}, or for it, and would do so again`, hint);
}
