/** What operators ask for under control/. */
import { canonicalBytes } from '@pangolin/contracts/canonical';
import type { Control } from '@pangolin/contracts/control';
import { sha256 } from '@pangolin/contracts/digest';
import { messageOf } from '@pangolin/contracts/errors';
import { casKey } from '@pangolin/contracts/layout';
import type { AdmittedPattern } from '@pangolin/contracts/pattern';
import { isTerminal } from '@pangolin/contracts/reasons';
import type { AdmittedItem, AdmittedNeed, AdmittedRun } from '@pangolin/contracts/run';
import { validateControl } from '@pangolin/contracts/schema';
import type { Problem, Receipt } from '@pangolin/contracts/status';
import type { ScheduleRow } from '../store/schedules.ts';
import type { ItemRow, Products, RunRow } from '../store/state.ts';
import { satisfies } from './dependencies.ts';
import { sourcesOf } from './growth.ts';
import { rolesOf, templatesOf } from '../plan/patterns/patterns.ts';
import { insertRun } from './insert-run.ts';
import { specOf } from './engine.ts';
import type { Pass } from './pass.ts';
import { pausedKey } from './launch.ts';
import { answerItem, isAsking, questionOf } from './questions.ts';
import { pauseSchedule, triggerSchedule } from './schedules.ts';
import { cancelItem, cancelRun, decideApproval } from './transitions.ts';

export type ReadControl = Control;

export function readControl(bytes: Buffer, name: string): Control | { readonly problems: readonly Problem[] } {
  const problem = (message: string): { problems: readonly Problem[] } => ({
    problems: [
      {
        file: name,
        path: '',
        code: 'InvalidControl',
        message,
        hint: 'Use the CLI, or see schemas/control.v1.schema.json.',
      },
    ],
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

/** An answer that changes nothing, with the reason why. */
class Refusal extends Error {
  readonly code: string;
  readonly hint: string | undefined;
  constructor(code: string, message: string, hint?: string) {
    super(message);
    this.code = code;
    this.hint = hint;
  }
}

export async function applyControl(pass: Pass, control: Control, name: string): Promise<Answer> {
  const about = { kind: 'Control' as const, ...(control.run !== undefined && { run: control.run }) };
  try {
    if (pass.engine.state.controlled(name)) return { verdict: 'accepted', ...about, duplicate: true };
    const run = await verbs[control.verb](pass, control, name);
    pass.engine.state.claimControl(name, pass.now);
    return { verdict: 'accepted', ...about, ...(run !== undefined && { run }) };
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    const { code, message, hint } = error;
    return {
      verdict: 'rejected',
      ...about,
      errors: [{ file: name, path: '', code, message, ...(hint !== undefined && { hint }) }],
    };
  }
}

/** Answers the run that the control is about, where it is another one than it names. */
type Verb = (pass: Pass, control: Control, name: string) => Promise<string | void> | string | void;

const verbs: Readonly<Record<Control['verb'], Verb>> = {
  cancel: (pass, control) => {
    const run = runOf(pass, control);
    const cancel = { reason: 'Cancelled', comment: control.reason, actor: control.actor } as const;
    if (control.item !== undefined) {
      const item = itemOf(pass, control, run);
      if (isTerminal(item.phase)) throw new Refusal('Finished', `item ${item.item_id} is ${item.phase} already`);
      cancelItem(pass, item, run, cancel, false);
      return;
    }
    if (run.finished_at !== null) throw new Refusal('Finished', `run ${run.run_id} is ${run.phase} already`);
    cancelRun(pass, run, cancel);
  },
  retry,
  pause: (pass, control) => setPaused(pass, control, true),
  resume: (pass, control) => setPaused(pass, control, false),
  approve: (pass, control) => decide(pass, control, true),
  reject: (pass, control) => decide(pass, control, false),
  answer,
  close: (pass, control) => {
    const run = runOf(pass, control);
    if (run.open_ended === 0) throw new Refusal('NotOpenEnded', `run ${run.run_id} takes no extensions`);
    pass.event(run.run_id, { kind: 'run.closed' }, control.actor);
    pass.engine.state.closeRun(run.rn);
    pass.engine.memory.touched.add(run.rn);
  },
  trigger: (pass, control) => triggerSchedule(pass, scheduleOf(pass, control), control.actor),
  remove: (pass, control) => pass.engine.state.schedules.remove(scheduleOf(pass, control).name),
};

function scheduleOf(pass: Pass, control: Control): ScheduleRow {
  if (control.schedule === undefined) throw new Refusal('MissingField', `${control.verb} needs a schedule`);
  const row = pass.engine.state.schedules.get(control.schedule);
  if (!row) throw new Refusal('NotFound', `there is no schedule ${control.schedule}`);
  return row;
}

function runOf(pass: Pass, control: Control): RunRow {
  if (control.run === undefined) throw new Refusal('MissingField', `${control.verb} needs a run`);
  const run = pass.engine.state.run(control.run);
  if (!run) throw new Refusal('NotFound', `there is no run ${control.run}`);
  return run;
}

function itemOf(pass: Pass, control: Control, run: RunRow): ItemRow {
  if (control.item === undefined) throw new Refusal('MissingField', `${control.verb} needs an item`);
  const item = pass.engine.state.item(run.rn, control.item);
  if (!item) throw new Refusal('NotFound', `run ${run.run_id} has no item ${control.item}`);
  return item;
}

function setPaused(pass: Pass, control: Control, paused: boolean): void {
  const { state, memory } = pass.engine;
  if (control.schedule !== undefined) return pauseSchedule(pass, scheduleOf(pass, control), paused);
  if (control.queue !== undefined) {
    if (!memory.queues.has(control.queue)) throw new Refusal('NotFound', `there is no queue ${control.queue}`);
    state.pauseQueue(control.queue, JSON.stringify(memory.queues.get(control.queue).spec), paused);
    memory.queues.reload();
    return;
  }
  const run = runOf(pass, control);
  if (run.finished_at !== null) throw new Refusal('Finished', `run ${run.run_id} is ${run.phase} already`);
  state.pauseRun(run.rn, paused);
  if (!paused) state.wakeBlocked(pausedKey(run.rn));
}

function decide(pass: Pass, control: Control, approved: boolean): void {
  const run = runOf(pass, control);
  const item = itemOf(pass, control, run);
  if (item.phase !== 'waiting' || item.reason !== 'WaitingForApproval') {
    throw new Refusal('NotWaiting', `item ${item.item_id} is ${item.phase} and waits for no approval`);
  }
  const comment = control.reason === undefined ? {} : { comment: control.reason };
  decideApproval(pass, item, run, {
    approved,
    reason: approved ? 'Approved' : 'Rejected',
    actor: control.actor,
    ...comment,
  });
}

async function answer(pass: Pass, control: Control): Promise<void> {
  const run = runOf(pass, control);
  const item = itemOf(pass, control, run);
  if (control.answer === undefined) throw new Refusal('MissingField', 'answer needs an answer');
  if (!isAsking(item)) throw new Refusal('NotWaiting', `item ${item.item_id} is ${item.phase} and asks nothing`);
  const { options } = questionOf(item);
  if (options && !options.includes(control.answer)) {
    throw new Refusal('NotAnOption', 'the question has options, and this is none', `Answer ${options.join(' | ')}.`);
  }
  await answerItem(pass, item, run, { answer: control.answer, actor: control.actor });
}

/** Runs what did not succeed again, as a new run that takes over the products of what did. */
async function retry(pass: Pass, control: Control, name: string): Promise<string> {
  const { state, store } = pass.engine;
  const run = runOf(pass, control);
  const item = control.item === undefined ? undefined : itemOf(pass, control, run);
  if (run.finished_at === null)
    throw new Refusal('NotFinished', `run ${run.run_id} is still running`, 'Cancel it first, or wait.');
  const items = [...state.itemsOf(run.rn)];
  const again = item
    ? withDescendants(item, items)
    : new Set(items.filter((each) => each.phase !== 'done').map((each) => each.item_id));
  if (again.size === 0)
    throw new Refusal(
      'NothingToRetry',
      `every item of ${run.run_id} is done`,
      'Name an item to run it again with its descendants.',
    );
  const id = control.as ?? `${run.run_id}.retry${state.retriesOf(run.run_id) + 1}`;
  if (state.run(id)) throw new Refusal('Conflict', `a run ${id} exists`, 'Give the retry another id with --as.');

  const byId = new Map(items.map((each) => [each.item_id, each]));
  const specs = items.filter((each) => again.has(each.item_id)).map((each) => retrySpec(specOf(each), again, byId));
  const pattern = patternOfRetry(pass, run, specs, items);
  const digests = [...specs, ...(pattern ? templatesOf(pattern) : [])].flatMap(
    ({ pipeline }) => pipeline?.sha256 ?? [],
  );
  const pipelines = Object.fromEntries(digests.map((digest) => [digest, state.pipeline(digest)]));
  const labels = { ...(JSON.parse(run.labels) as Record<string, string>), 'pangolin.dev/retry-of': run.run_id };
  const spec = sha256(canonicalBytes({ retryOf: run.plan, id, items: [...again].sort() }));
  const linked: AdmittedRun = {
    schema: 'admitted-run/1',
    id,
    queue: run.queue,
    labels,
    spec,
    pipelines,
    items: specs,
    ...(pattern && { pattern }),
  };
  const bytes = canonicalBytes(linked);
  const plan = sha256(bytes);
  await store.put(casKey(plan), bytes);
  insertRun(pass, { run: linked, plan, actor: control.actor, submission: name, retryOf: run.run_id });
  return id;
}

/**
 * What a run has grown to is run again as it is. A splitter or a proposal that never got so far makes the new run grow;
 * one that did would do it a second time, beside the items that are there.
 */
function patternOfRetry(
  { engine: { state } }: Pass,
  run: RunRow,
  specs: readonly AdmittedItem[],
  items: readonly ItemRow[],
): AdmittedPattern | undefined {
  if (run.patterned === 0) return undefined;
  const pattern = state.pattern(run.rn);
  const roles = rolesOf(pattern);
  const growing = specs.filter(({ role }) => role !== undefined && roles.includes(role));
  if (growing.length === 0) return undefined;
  const grown = new Set(items.map((item) => specOf(item).spawn?.of));
  const twice = growing.find(({ id, spawn }) => spawn !== undefined || grown.has(id));
  if (!twice) return pattern;
  const hint = 'Name an item behind it, or submit the run again under another id.';
  throw new Refusal('NotRetryable', `the run has grown from ${twice.id}, or for it, and would do so again`, hint);
}

/** But for those whose other dependencies had not ended as they have to: they would not run now either. */
function withDescendants(item: ItemRow, items: readonly ItemRow[]): Set<string> {
  const again = new Set([item.item_id]);
  const dependents = new Map<string, string[]>();
  for (const each of items) {
    for (const source of sourcesOf(specOf(each)))
      dependents.set(source, [...(dependents.get(source) ?? []), each.item_id]);
  }
  for (const id of again) for (const dependent of dependents.get(id) ?? []) again.add(dependent);
  const phases = new Map(items.map((each) => [each.item_id, each.phase]));
  // Until nothing changes: what depends on one that is left out is left out as well.
  const lost = (each: AdmittedItem): boolean =>
    each.depends_on.some((id) => !again.has(id) && !satisfies(each.when?.[id] ?? 'done', phases.get(id)!));
  for (let before = -1; before !== again.size;) {
    before = again.size;
    for (const each of items) {
      if (each.item_id !== item.item_id && again.has(each.item_id) && lost(specOf(each))) again.delete(each.item_id);
    }
  }
  return again;
}

/** Needs from items that are not run again become inputs given at submission. */
function retrySpec(spec: AdmittedItem, again: ReadonlySet<string>, byId: ReadonlyMap<string, ItemRow>): AdmittedItem {
  const needs = Object.fromEntries(
    Object.entries(spec.needs ?? {}).map(([key, need]) => [key, retryNeed(need, again, byId)]),
  );
  const when = Object.fromEntries(Object.entries(spec.when ?? {}).filter(([id]) => again.has(id)));
  const { when: _when, needs: _needs, ...rest } = spec;
  return {
    ...rest,
    depends_on: spec.depends_on.filter((id) => again.has(id)),
    ...(Object.keys(needs).length > 0 && { needs }),
    ...(Object.keys(when).length > 0 && { when }),
  };
}

/** A product that is missing stays a need on its item, and the item is denied with the reason when it is due. */
function retryNeed(need: AdmittedNeed, again: ReadonlySet<string>, byId: ReadonlyMap<string, ItemRow>): AdmittedNeed {
  if ('submission' in need) return need;
  const alternatives = 'oneOf' in need ? need.oneOf : [need];
  for (const { from, select } of alternatives) {
    const source = again.has(from) ? undefined : byId.get(from);
    if (source?.phase !== 'done' || source.products === null) continue;
    const products = JSON.parse(source.products) as Products;
    const product = select.kind === 'patch' ? products.patch : products.outputs[select.path];
    if (product) return { submission: { sha256: product.sha256, size: product.size } };
  }
  const left = alternatives.filter(({ from }) => again.has(from));
  return 'oneOf' in need && left.length > 0 ? { oneOf: left } : need;
}
