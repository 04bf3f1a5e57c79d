/** What an item waits for, and what the end of one item means for those behind it. */
import { isTerminal, type Phase } from '@pangolin/contracts/reasons';
import type { AdmittedItem } from '@pangolin/contracts/admitted-run';
import { DEFAULTS } from '@pangolin/contracts/run';
import { satisfies } from '../plan/conditions.ts';
import type { ItemRow, Rule, RunRow } from '../store/rows.ts';
import type { Pass } from './pass.ts';
import { dueIn } from './pausing.ts';
import { rankOf } from './queues.ts';

interface Wait {
  readonly from: string;
  readonly rule: Rule | 'any';
  readonly grp: string;
}

/** The edges of an item: one per dependency, and one group per any-of need. */
function waitsOf(spec: AdmittedItem): Wait[] {
  const plain = spec.depends_on.map((from): Wait => ({ from, rule: spec.when?.[from] ?? 'done', grp: '' }));
  const groups = Object.entries(spec.needs ?? {}).flatMap(([key, need]) =>
    'oneOf' in need
      ? [...new Set(need.oneOf.map(({ from }) => from))].map((from): Wait => ({ from, rule: 'any', grp: key }))
      : [],
  );
  return [...plain, ...groups];
}

/** Adds items whose sources are among them or in the run already, and lets those begin that wait for nothing. */
export function addItems(pass: Pass, run: RunRow, items: readonly AdmittedItem[]): void {
  const { state } = pass.engine;
  const rows = new Map(items.map((spec) => [spec.id, state.insertItem(run, spec)]));
  state.grown(run.rn, items.length, items.filter(({ onExit }) => onExit).length);
  // With onExit items alone there is no end of another one to look at it.
  pass.engine.memory.touched.add(run.rn);
  const ended = new Map<string, Phase>();
  const known = new Map<string, number>(rows);
  const sourceOf = (id: string): number => {
    const iid = known.get(id);
    if (iid !== undefined) return iid;
    const existing = state.sourceItem(run.rn, id)!;
    known.set(id, existing.iid);
    if (isTerminal(existing.phase)) ended.set(id, existing.phase);
    return existing.iid;
  };
  const free: number[] = [];
  const doomed: number[] = [];
  for (const spec of items) {
    const dst = rows.get(spec.id)!;
    const waits = waitsOf(spec).map((wait) => ({ ...wait, src: sourceOf(wait.from) }));
    for (const { src, grp, rule } of waits) state.edges.insert({ src, dst, grp, rule });
    const plain = waits.filter(({ rule }) => rule !== 'any');
    const groups = Map.groupBy(
      waits.filter(({ rule }) => rule === 'any'),
      ({ grp }) => grp,
    );
    let unmet = spec.onExit ? 1 : 0;
    let lost = false;
    for (const { from, rule } of plain) {
      const phase = ended.get(from);
      if (phase === undefined) unmet++;
      else if (!satisfies(rule as Rule, phase)) lost = true;
    }
    for (const [grp, members] of groups) {
      if (members.some(({ from }) => ended.get(from) === 'done')) continue;
      const undecided = members.filter(({ from }) => !ended.has(from)).length;
      if (undecided === 0) lost = true;
      else {
        state.edges.insertGroup(dst, grp, undecided);
        unmet++;
      }
    }
    state.edges.setUnmet(dst, unmet);
    if (lost) doomed.push(dst);
    else if (unmet === 0) free.push(dst);
  }
  for (const iid of free) makeReady(pass, state.itemById(iid), run);
  for (const iid of doomed) {
    const item = state.itemById(iid);
    // One behind another doomed one is skipped with that.
    if (isTerminal(item.phase)) continue;
    skip(pass, item, run, 'a dependency of it had ended otherwise');
    settleDependents(pass, item, run);
  }
}

/**
 * The item waits for nothing but a slot; an approval for nothing but a person, and it holds none. Its place is after the last one of its own run, and never before the place
 * that the queue has reached: runs take turns, however many items each of them has.
 */
export function makeReady(pass: Pass, item: ItemRow, run: RunRow): void {
  const { state, memory } = pass.engine;
  if (isApproval(item)) return ask(pass, item, run);
  const tag = Math.max(memory.runTag(run) + 1, memory.queues.get(item.queue).tag);
  memory.runTags.set(run.rn, tag);
  state.change(item, {
    phase: 'ready',
    reason: 'WaitingForSlot',
    message: null,
    runnable: 1,
    tag,
    rank: rankOf(tag, item.priority),
    ready_at: pass.now,
    ...dueIn(pass, run, queueTimeout(item)),
  });
}

/** It waits for `orch approve` or `reject`, or for its deadline. */
function ask(pass: Pass, item: ItemRow, run: RunRow): void {
  const { approval } = JSON.parse(item.spec) as AdmittedItem;
  pass.engine.state.change(item, {
    phase: 'waiting',
    reason: 'WaitingForApproval',
    message: null,
    started_at: pass.now,
    ...dueIn(pass, run, approval?.timeoutMs ?? DEFAULTS.decisionTimeoutMs),
  });
}

/** Few are; the text tells without parsing the rest. */
const isApproval = ({ spec }: ItemRow): boolean =>
  spec.includes('"executor":"approval"') && (JSON.parse(spec) as AdmittedItem).executor === 'approval';

/** Only few items have one; the text tells without parsing the rest. */
export function queueTimeout(item: ItemRow): number | undefined {
  return item.spec.includes('"queueTimeoutMs"') ? (JSON.parse(item.spec) as AdmittedItem).queueTimeoutMs : undefined;
}

/** `source` has ended as its row says: releases what waited for that, skips what waited for something else. Iterative: chains are long. */
export function settleDependents(pass: Pass, source: ItemRow, run: RunRow): void {
  const { state } = pass.engine;
  // Grows while it is walked.
  const ended: { readonly iid: number; readonly id: string; readonly phase: Phase }[] = [
    { iid: source.iid, id: source.item_id, phase: state.itemById(source.iid).phase },
  ];
  for (const { iid, id, phase } of ended) {
    for (const edge of state.edges.from(iid)) {
      const outcome =
        edge.rule === 'any'
          ? decideAny(pass, edge.dst, edge.grp, phase)
          : satisfies(edge.rule, phase)
            ? 'satisfied'
            : 'lost';
      if (outcome === 'undecided') continue;
      if (outcome === 'satisfied' && !state.edges.satisfy(edge.dst)) continue;
      const item = state.itemById(edge.dst);
      if (isTerminal(item.phase)) continue;
      if (outcome === 'satisfied') makeReady(pass, item, run);
      else {
        skip(
          pass,
          item,
          run,
          edge.rule === 'failed'
            ? `${id} ${phase === 'done' ? 'succeeded' : `was ${phase}`}, and it waits for a failure`
            : `${id} did not succeed`,
        );
        ended.push({ iid: item.iid, id: item.item_id, phase: 'skipped' });
      }
    }
  }
}

function decideAny(pass: Pass, dst: number, grp: string, phase: Phase): 'satisfied' | 'lost' | 'undecided' {
  const { state } = pass.engine;
  if (phase === 'done') return state.edges.decideGroup(dst, grp) ? 'satisfied' : 'undecided';
  const left = state.edges.ruleOut(dst, grp);
  return left === 0 && state.edges.decideGroup(dst, grp) ? 'lost' : 'undecided';
}

function skip(pass: Pass, item: ItemRow, run: RunRow, message: string): void {
  pass.event(run.run_id, {
    kind: 'item.skipped',
    itemId: item.item_id,
    attempt: item.attempt,
    reason: 'DependencyFailed',
  });
  pass.engine.state.change(item, {
    phase: 'skipped',
    reason: 'DependencyFailed',
    message,
    due_at: null,
    left_ms: null,
    runnable: 0,
    blocked_on: null,
    finished_at: pass.now,
  });
  pass.engine.memory.touched.add(item.rn);
  pass.endings.push(item.iid);
}
