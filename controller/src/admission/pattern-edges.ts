/** Edges that a run will grow by its pattern, checked before it does: a gap is told when the run is submitted. */
import { edgeProblems, type EdgeProblem, type NamedShape } from '@pangolin/contracts/edges';
import { PROBLEMS_MAX, type Finding } from '@pangolin/contracts/explain';
import type { AdmittedPattern, AdmittedSplit } from '@pangolin/contracts/pattern';
import type { ItemPointers } from '@pangolin/contracts/read-items';
import type { AdmittedItem, Pin } from '@pangolin/contracts/admitted-run';
import { ofRole, type KnownItem } from '../plan/patterns/growth.ts';
import { onItemEnd } from '../plan/patterns/patterns.ts';

/**
 * What follows from a gate costs what its chain is long. So many items are looked at for all gates of a run together: every gate of
 * a run of 3,000 items. The edges behind further gates are checked when they grow; those of other patterns are checked in full.
 */
const VISITS_MAX = 10_000_000;

type ShapeOfPin = (pin: Pin | undefined) => NamedShape | undefined;

/** Of every item with a role of the pattern: what would be appended after it, and what that would take. */
export function patternEdges(
  items: readonly AdmittedItem[],
  pattern: AdmittedPattern | undefined,
  at: ItemPointers,
  shapeOf: ShapeOfPin,
): Finding[] {
  if (!pattern) return [];
  const run = new Imagined(pattern, items);
  const gatesMax = pattern.kind === 'pipeline' ? VISITS_MAX / items.length : Infinity;
  const findings: Finding[] = [];
  let checked = 0;
  for (const [index, item] of items.entries()) {
    if (findings.length >= PROBLEMS_MAX) break;
    if (item.role === undefined || checked++ >= gatesMax) continue;
    const problems = problemsAfter(item, run, pattern, shapeOf);
    const distinct = new Map(problems.map(({ key: _, ...refusal }) => [refusal.message, refusal]));
    for (const refusal of distinct.values()) findings.push({ path: at.own(index, 'role'), ...refusal });
  }
  return findings;
}

function problemsAfter(
  item: AdmittedItem,
  run: Imagined,
  pattern: AdmittedPattern,
  shapeOf: ShapeOfPin,
): EdgeProblem[] {
  if (pattern.kind === 'map-reduce') {
    const split = ofRole(pattern.splits, item.role);
    return split ? splitProblems(item, split, shapeOf) : [];
  }
  const grown = pattern.kind === 'quorum' ? afterProposal(run, item) : afterGate(run, item);
  const pins = new Map(grown.map(({ id, shape }) => [id, shape]));
  const pinOf = (id: string): Pin | undefined => (pins.has(id) ? pins.get(id) : run.spec(id)?.shape);
  return grown.flatMap((each) => {
    const shape = shapeOf(each.shape);
    return shape ? edgeProblems(each, shape, (id) => shapeOf(pinOf(id))) : [];
  });
}

/** How many outputs there will be is not known, so that a splitter cannot be asked what follows from it. */
function splitProblems(splitter: AdmittedItem, split: AdmittedSplit, shapeOf: ShapeOfPin): EdgeProblem[] {
  const [mapId, reduceId] = [`${splitter.id}.1`, `${splitter.id}.reduce`];
  const shapes = new Map([
    [splitter.id, shapeOf(splitter.shape)],
    [mapId, shapeOf(split.map.shape)],
  ]);
  const problemsOf = (id: string, shape: NamedShape | undefined, needs: NonNullable<AdmittedItem['needs']>) =>
    shape ? edgeProblems({ id, needs }, shape, (source) => shapes.get(source)) : [];
  const parts = { kind: 'output', path: `${split.outputs ?? ''}*` } as const;
  const map = problemsOf(mapId, shapes.get(mapId), { part: { from: splitter.id, select: parts } });
  // What splits again yields through the reduce item of its own; that edge is checked when it grows.
  if (split.map.role !== undefined) return map;
  const product = { from: mapId, select: split.product };
  return [...map, ...problemsOf(reduceId, shapeOf(split.reduce.shape), { 'part-00001': product })];
}

/** A run in which everything is done and has yielded what it is asked for. */
class Imagined {
  readonly #pattern: AdmittedPattern;
  readonly #items: ReadonlyMap<string, AdmittedItem>;
  /** What has joined, and what ended in another way. */
  #since = new Map<string, KnownItem>();

  constructor(pattern: AdmittedPattern, items: readonly AdmittedItem[]) {
    this.#pattern = pattern;
    this.#items = new Map(items.map((item) => [item.id, item]));
  }

  /** As it was admitted, and nothing has happened. */
  again(): void {
    this.#since = new Map();
  }

  spec(id: string): AdmittedItem | undefined {
    return this.#items.get(id);
  }

  /** What follows when the item ends, `red` or not. */
  end(spec: AdmittedItem, red: boolean): readonly AdmittedItem[] {
    const ended = known(spec, red);
    this.#since.set(spec.id, ended);
    const view = { item: (id: string) => this.#item(id), join: () => undefined };
    const decision = onItemEnd(this.#pattern, { ...ended, outputs: [] }, view);
    return 'fail' in decision ? [] : decision.items;
  }

  #item(id: string): KnownItem | undefined {
    const spec = this.#items.get(id);
    return this.#since.get(id) ?? (spec && known(spec, false));
  }
}

const known = (spec: AdmittedItem, red: boolean): KnownItem => ({
  phase: 'done',
  reason: 'Succeeded',
  red,
  spec,
  yields: () => true,
});

/** Its reviews, the commit when they approve, and the revision when they do not, with what follows from that. */
function afterProposal(run: Imagined, proposal: AdmittedItem): AdmittedItem[] {
  run.again();
  const round = (
    proposed: AdmittedItem,
  ): { readonly reviews: readonly AdmittedItem[]; readonly next: AdmittedItem[] } => {
    const reviews = run.end(proposed, false);
    const [revised, committed] = [true, false].map((red) => reviews.flatMap((review) => run.end(review, red)));
    return { reviews, next: [...committed!.slice(-1), ...revised!.slice(-1)] };
  };
  const first = round(proposal);
  const again = first.next.filter(({ spawn }) => spawn?.as === 'revise').map(round);
  return [first, ...again].flatMap(({ reviews, next }) => [...reviews, ...next]);
}

/** A fix and another check, and the items behind the gate with what the fix has made anew. */
function afterGate(run: Imagined, gate: AdmittedItem): AdmittedItem[] {
  run.again();
  const circle = run.end(gate, true);
  return [...circle, ...circle.flatMap((each) => run.end(each, false))];
}
