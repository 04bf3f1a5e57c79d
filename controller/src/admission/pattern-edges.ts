/** Edges that a map-reduce run will grow, checked before it does: a gap is told when the run is submitted. */
import { edgeProblems, type NamedShape } from '@pangolin/contracts/edges';
import type { Finding } from '@pangolin/contracts/explain';
import type { AdmittedPattern, AdmittedSplit } from '@pangolin/contracts/pattern';
import type { ItemPointers } from '@pangolin/contracts/read-items';
import type { AdmittedItem, Pin } from '@pangolin/contracts/run';
import { ofRole } from '../plan/patterns/growth.ts';

type ShapeOfPin = (pin: Pin | undefined) => NamedShape | undefined;

/** Of every splitter among `items`: what its map items would take of it, and its reduce item of them. */
export function patternEdges(
  items: readonly AdmittedItem[],
  pattern: AdmittedPattern | undefined,
  at: ItemPointers,
  shapeOf: ShapeOfPin,
): Finding[] {
  if (pattern?.kind !== 'map-reduce') return [];
  return items.flatMap((item, index) => {
    const split = ofRole(pattern.splits, item.role);
    const problems = split ? splitProblems(item, split, shapeOf) : [];
    return problems.map(({ key: _, ...refusal }) => ({ path: at.own(index, 'role'), ...refusal }));
  });
}

function splitProblems(splitter: AdmittedItem, split: AdmittedSplit, shapeOf: ShapeOfPin) {
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
