/** What operators ask for under control/: cancel and retry. */
import { canonicalBytes } from '@pangolin/contracts/canonical';
import type { Control } from '@pangolin/contracts/control';
import { sha256 } from '@pangolin/contracts/digest';
import { messageOf } from '@pangolin/contracts/errors';
import { casKey } from '@pangolin/contracts/layout';
import { isTerminal } from '@pangolin/contracts/reasons';
import type { AdmittedItem, AdmittedNeed, AdmittedRun } from '@pangolin/contracts/run';
import { validateControl } from '@pangolin/contracts/schema';
import type { Problem, Receipt } from '@pangolin/contracts/status';
import type { ItemRow, Products, RunRow } from '../store/state.ts';
import { insertRun } from './admission.ts';
import { specOf } from './engine.ts';
import type { Pass } from './pass.ts';
import { cancelItem } from './transitions.ts';

export type ReadControl = Control;

export function readControl(bytes: Buffer, name: string): Control | { readonly problems: readonly Problem[] } {
  const problem = (message: string): { problems: readonly Problem[] } => ({
    problems: [{ file: name, path: '', code: 'InvalidControl', message, hint: 'Use the CLI, or see schemas/control.v1.schema.json.' }],
  });
  try {
    const value: unknown = JSON.parse(bytes.toString('utf8'));
    const wrong = validateControl(value);
    return wrong === undefined ? (value as Control) : problem(wrong);
  } catch (error) {
    return problem(`not JSON: ${messageOf(error)}`);
  }
}

type Answer = Partial<Receipt> & Pick<Receipt, 'verdict'>;

export async function applyControl(pass: Pass, control: Control, name: string): Promise<Answer> {
  const { state } = pass.engine;
  const refuse = (code: string, message: string, hint?: string): Answer => ({
    verdict: 'rejected', kind: 'Control', run: control.run, errors: [{ file: name, path: '', code, message, ...(hint && { hint }) }],
  });
  const run = state.run(control.run);
  if (!run) return refuse('NotFound', `there is no run ${control.run}`);
  const item = control.item === undefined ? undefined : state.item(run.rn, control.item);
  if (control.item !== undefined && !item) return refuse('NotFound', `run ${control.run} has no item ${control.item}`);
  if (!state.claimControl(name, pass.now)) return { verdict: 'accepted', kind: 'Control', run: control.run, duplicate: true };
  if (control.verb === 'cancel') return cancel(pass, control, run, item, refuse);
  return retry(pass, control, run, item, name, refuse);
}

type Refuse = (code: string, message: string, hint?: string) => Answer;

function cancel(pass: Pass, control: Control, run: RunRow, item: ItemRow | undefined, refuse: Refuse): Answer {
  const { state, memory } = pass.engine;
  const why = control.reason ?? `cancelled by ${control.actor}`;
  if (item) {
    if (isTerminal(item.phase)) return refuse('Finished', `item ${item.item_id} is ${item.phase} already`);
    cancelItem(pass, item, run, why, control.actor, false);
  } else {
    if (run.finished_at !== null) return refuse('Finished', `run ${run.run_id} is ${run.phase} already`);
    if (run.cancelled === null) {
      pass.event(run.run_id, { kind: 'run.cancelled', reason: why }, control.actor);
      state.cancelRun(run.rn, why);
      for (const each of state.openItems(run.rn)) cancelItem(pass, each, run, why, control.actor, true);
    }
  }
  memory.touched.add(run.rn);
  return { verdict: 'accepted', kind: 'Control', run: run.run_id };
}

/** Runs what did not succeed again, as a new run that takes over the products of what did. */
async function retry(pass: Pass, control: Control, run: RunRow, item: ItemRow | undefined, name: string, refuse: Refuse): Promise<Answer> {
  const { state, store } = pass.engine;
  if (run.finished_at === null) return refuse('NotFinished', `run ${run.run_id} is still running`, 'Cancel it first, or wait.');
  const items = [...state.itemsOf(run.rn)];
  const again = item ? withDescendants(item, items) : new Set(items.filter((each) => each.phase !== 'done').map((each) => each.item_id));
  if (again.size === 0) return refuse('NothingToRetry', `every item of ${run.run_id} is done`, 'Name an item to run it again with its descendants.');
  const id = control.as ?? `${run.run_id}.retry${state.retriesOf(run.run_id) + 1}`;
  if (state.run(id)) return refuse('Conflict', `a run ${id} exists`, 'Give the retry another id with --as.');

  const byId = new Map(items.map((each) => [each.item_id, each]));
  const specs = items.filter((each) => again.has(each.item_id)).map((each) => retrySpec(specOf(each), again, byId));
  const pipelines = Object.fromEntries(specs.map((spec) => [spec.pipeline.sha256, state.pipeline(spec.pipeline.sha256)]));
  const labels = { ...(JSON.parse(run.labels) as Record<string, string>), 'pangolin.dev/retry-of': run.run_id };
  const linked: AdmittedRun = { schema: 'admitted-run/1', id, queue: run.queue, labels, spec: sha256(canonicalBytes({ retryOf: run.plan, id, items: [...again].sort() })), pipelines, items: specs };
  const bytes = canonicalBytes(linked);
  const plan = sha256(bytes);
  await store.put(casKey(plan), bytes);
  insertRun(pass, { run: linked, plan, actor: control.actor, submission: name, retryOf: run.run_id });
  return { verdict: 'accepted', kind: 'Control', run: id };
}

function withDescendants(item: ItemRow, items: readonly ItemRow[]): Set<string> {
  const again = new Set([item.item_id]);
  const dependents = new Map<string, string[]>();
  for (const each of items) {
    for (const source of specOf(each).depends_on) dependents.set(source, [...(dependents.get(source) ?? []), each.item_id]);
  }
  for (const id of again) for (const dependent of dependents.get(id) ?? []) again.add(dependent);
  return again;
}

/** Needs from items that are not run again become inputs given at submission. */
function retrySpec(spec: AdmittedItem, again: ReadonlySet<string>, byId: ReadonlyMap<string, ItemRow>): AdmittedItem {
  const needs: Record<string, AdmittedNeed> = {};
  for (const [key, need] of Object.entries(spec.needs ?? {})) {
    const source = 'from' in need && !again.has(need.from) ? byId.get(need.from) : undefined;
    const products = source?.products ? (JSON.parse(source.products) as Products) : undefined;
    const product = 'select' in need ? (need.select.kind === 'patch' ? products?.patch : products?.outputs[need.select.path]) : undefined;
    // A product that is missing stays a need on its item, and the item is denied with the reason when it is due.
    needs[key] = product ? { submission: { sha256: product.sha256, size: product.size } } : need;
  }
  const kept = spec.depends_on.filter((id) => again.has(id));
  return { ...spec, depends_on: kept, ...(spec.needs && { needs }) };
}
