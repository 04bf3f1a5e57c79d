/** Edges that a run will grow by its pattern, checked before it does: a gap is told when the run is submitted. */
import { edgeProblems, type EdgeProblem, type NamedShape } from '@pangolin/contracts/edges';
import type { Finding } from '@pangolin/contracts/explain';
import type { AdmittedPattern, AdmittedSplit } from '@pangolin/contracts/pattern';
import type { ItemPointers } from '@pangolin/contracts/read-items';
import type { AdmittedItem, Pin } from '@pangolin/contracts/admitted-run';
import { ofRole, type KnownItem } from '../plan/patterns/growth.ts';
import { onItemEnd } from '../plan/patterns/patterns.ts';

/** Items with a role that are looked at, each of which costs what the run is long; the edges of others are checked when they grow. */
const CHECKED_MAX = 200;

type ShapeOfPin = (pin: Pin | undefined) => NamedShape | undefined;

/** Of every item with a role of the pattern: what would be appended after it, and what that would take. */
export function patternEdges(
  items: readonly AdmittedItem[],
  pattern: AdmittedPattern | undefined,
  at: ItemPointers,
  shapeOf: ShapeOfPin,
): Finding[] {
  if (!pattern) return [];
  let checked = 0;
  return items.flatMap((item, index) => {
    if (item.role === undefined || checked++ >= CHECKED_MAX) return [];
    const problems = problemsAfter(item, items, pattern, shapeOf);
    const distinct = new Map(problems.map(({ key: _, ...refusal }) => [refusal.message, refusal]));
    return [...distinct.values()].map((refusal) => ({ path: at.own(index, 'role'), ...refusal }));
  });
}

function problemsAfter(
  item: AdmittedItem,
  items: readonly AdmittedItem[],
  pattern: AdmittedPattern,
  shapeOf: ShapeOfPin,
): EdgeProblem[] {
  if (pattern.kind === 'map-reduce') {
    const split = ofRole(pattern.splits, item.role);
    return split ? splitProblems(item, split, shapeOf) : [];
  }
  const grown = pattern.kind === 'quorum' ? afterProposal(pattern, item) : afterGate(pattern, item, items);
  const pins = new Map([...items, ...grown].map(({ id, shape }) => [id, shape]));
  return grown.flatMap((each) => {
    const shape = shapeOf(each.shape);
    return shape ? edgeProblems(each, shape, (id) => shapeOf(pins.get(id))) : [];
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
  readonly #known = new Map<string, KnownItem>();

  constructor(pattern: AdmittedPattern) {
    this.#pattern = pattern;
  }

  /** It has ended, and nothing followed. */
  add(spec: AdmittedItem, red: boolean): KnownItem {
    const known: KnownItem = { phase: 'done', reason: 'Succeeded', red, spec, yields: () => true };
    this.#known.set(spec.id, known);
    return known;
  }

  /** What follows when the item ends, `red` or not. */
  end(spec: AdmittedItem, red: boolean): readonly AdmittedItem[] {
    const known = this.add(spec, red);
    const view = { item: (id: string) => this.#known.get(id), join: () => undefined };
    const decision = onItemEnd(this.#pattern, { ...known, outputs: [] }, view);
    return 'fail' in decision ? [] : decision.items;
  }
}

/** Its reviews, the commit when they approve, and the revision when they do not, with what follows from that. */
function afterProposal(pattern: AdmittedPattern, proposal: AdmittedItem): AdmittedItem[] {
  const run = new Imagined(pattern);
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
function afterGate(pattern: AdmittedPattern, gate: AdmittedItem, items: readonly AdmittedItem[]): AdmittedItem[] {
  const run = new Imagined(pattern);
  for (const item of items) run.add(item, false);
  const circle = run.end(gate, true);
  return [...circle, ...circle.flatMap((each) => run.end(each, false))];
}
