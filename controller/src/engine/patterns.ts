/**
 * Lets the pattern of a run see how its items end. A success that the pattern cannot build upon is no success: that is
 * decided before the end is recorded. What is to be appended is appended in the same step of the pass, through extendRun.
 */
import { isPangolinError } from '@pangolin/contracts/errors';
import { encodeSegment, ID_MAX } from '@pangolin/contracts/ids';
import type { AdmittedPattern } from '@pangolin/contracts/pattern';
import { ENCODED_ID_MAX } from '@pangolin/contracts/read-items';
import type { Phase, Reason } from '@pangolin/contracts/reasons';
import type { Extension } from '@pangolin/contracts/admitted-run';
import { ITEMS_MAX, type Select } from '@pangolin/contracts/run';
import type { Verdict } from '../plan/verdicts.ts';
import type { Ended, Growth, RunView } from '../plan/patterns/growth.ts';
import { onItemEnd } from '../plan/patterns/patterns.ts';
import type { ItemRow, Products, RunRow } from '../store/rows.ts';
import { specOf } from './engine.ts';
import { extendRun } from './growth.ts';
import { growthProblem } from './typed.ts';
import type { Pass } from './pass.ts';

/** `verdict`, unless the pattern of the run cannot go on from that end. */
export async function judgeByPattern(
  pass: Pass,
  item: ItemRow,
  run: RunRow,
  verdict: Verdict,
  collected: { readonly products: Products; readonly red?: boolean },
): Promise<Verdict> {
  if (verdict.status !== 'done') return verdict;
  const pattern = patternOf(pass, run);
  if (!pattern) return verdict;
  const ended = endOf(item, { phase: 'done', reason: verdict.reason }, collected.products, collected.red === true);
  const decision = onItemEnd(pattern, ended, viewOf(pass, run));
  if ('fail' in decision) return { status: 'failed', ...decision.fail };
  const refusal = refusalOf(pass, run, decision) ?? (await growthProblem(pass.engine, run, decision.items))?.message;
  return refusal === undefined ? verdict : { status: 'failed', reason: 'GrowthRefused', message: refusal };
}

/** Appends what follows from the ends of this step. Appended items may end at once, when what they wait for has failed. */
export async function growRuns(pass: Pass): Promise<void> {
  for (let ended = pass.endings.shift(); ended !== undefined; ended = pass.endings.shift()) {
    const item = pass.engine.state.itemById(ended);
    const run = pass.engine.state.runByNumber(item.rn);
    const pattern = patternOf(pass, run);
    if (pattern) await grow(pass, item, run, pattern);
  }
}

async function grow(pass: Pass, item: ItemRow, run: RunRow, pattern: AdmittedPattern): Promise<void> {
  const { state, log } = pass.engine;
  const ended = endOf(item, { phase: item.phase, reason: item.reason }, productsOf(item), item.red === 1);
  const decision = onItemEnd(pattern, ended, viewOf(pass, run));
  // A success was judged before it was recorded, and nothing has happened since: only an end without one can be refused.
  if ('fail' in decision) return;
  for (const splitter of decision.arrived ?? []) state.patterns.arriveBranch(run.rn, splitter);
  if (decision.join) state.patterns.openJoin(run.rn, decision.join.splitter, decision.join.branches);
  if (decision.items.length === 0) return;
  const pipelines: Record<string, Extension['pipelines'][string]> = {};
  for (const { pipeline } of decision.items)
    if (pipeline) pipelines[pipeline.sha256] ??= state.pipeline(pipeline.sha256);
  const extension: Extension = { schema: 'extension/1', items: decision.items, pipelines };
  try {
    await extendRun(pass, run, { extension, cause: item.item_id, actor: `pattern:${run.queue}` });
  } catch (error) {
    if (!isPangolinError(error, 'CONFLICT') || item.phase === 'done') throw error;
    // The cause has failed already and the run with it; what would have been appended only to be skipped is left out.
    log.warn({ run: run.run_id, item: item.item_id }, `the run does not grow: ${error.message}`);
    state.change(item, { message: [item.message, error.message].filter((part) => part !== null).join('; ') });
  }
}

/** Why the growth cannot be applied. Everything that extendRun would refuse, so that the cause can fail for it. */
function refusalOf(pass: Pass, run: RunRow, { items }: Growth): string | undefined {
  const { state } = pass.engine;
  const total = state.itemCount(run.rn) + items.length;
  if (total > ITEMS_MAX) return `the run would have ${total} items, and a run has at most ${ITEMS_MAX}`;
  const long = items.find(({ id }) => id.length > ID_MAX || encodeSegment(id).length > ENCODED_ID_MAX);
  if (long) return `an appended item would be called ${long.id.slice(0, 220)}, which is too long`;
  for (const { id } of items) {
    if (state.sourceItem(run.rn, id))
      return `an item ${id} is there already; names that end like this belong to the pattern`;
  }
  return undefined;
}

function patternOf({ engine }: Pass, run: RunRow): AdmittedPattern | undefined {
  // A cancelled run does not grow.
  if (run.patterned === 0 || run.cancelled !== null || run.finished_at !== null) return undefined;
  let pattern = engine.memory.patterns.get(run.rn);
  if (!pattern) engine.memory.patterns.set(run.rn, (pattern = engine.state.patterns.of(run.rn)));
  return pattern;
}

function endOf(
  item: ItemRow,
  { phase, reason }: { readonly phase: Phase; readonly reason: Reason },
  products: Products,
  red: boolean,
): Ended {
  const yields = yieldsOf(products);
  return { phase, reason, red, spec: specOf(item), yields, outputs: Object.keys(products.outputs) };
}

const productsOf = ({ products }: ItemRow): Products =>
  products === null ? { outputs: {} } : (JSON.parse(products) as Products);

const yieldsOf =
  ({ patch, outputs }: Products) =>
  (select: Select): boolean =>
    select.kind === 'patch' ? patch !== undefined : Object.hasOwn(outputs, select.path);

function viewOf({ engine: { state } }: Pass, run: RunRow): RunView {
  return {
    item: (id) => {
      const item = state.item(run.rn, id);
      if (!item) return undefined;
      const yields = (select: Select): boolean => yieldsOf(productsOf(item))(select);
      return { phase: item.phase, reason: item.reason, red: item.red === 1, spec: specOf(item), yields };
    },
    join: (splitter) => state.patterns.join(run.rn, splitter),
  };
}
