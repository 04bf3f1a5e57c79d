/**
 * A splitter's outputs become one map item each, and what these yield goes to one reduce item:
 *
 *     split ─▶ split.1 … split.n ─▶ split.reduce
 *
 * Where the map items split again, each of them stands for its own reduce item. The outer one is appended as soon as all
 * of those are there, because items only ever point at items that exist.
 */
import { NESTING_MAX, type AdmittedPattern, type AdmittedSplit } from '@pangolin/contracts/pattern';
import type { AdmittedItem, AdmittedNeed } from '@pangolin/contracts/admitted-run';
import { NOTHING, ofRole, spawned, type Decision, type Ended, type RunView } from './growth.ts';

type MapReduce = Extract<AdmittedPattern, { kind: 'map-reduce' }>;

const mapId = (splitter: string, n: number): string => `${splitter}.${n}`;
const reduceId = (splitter: string): string => `${splitter}.reduce`;

export function mapReduce({ splits }: MapReduce, ended: Ended, view: RunView): Decision {
  const split = ofRole(splits, ended.spec.role);
  if (!split) return NOTHING;
  if (ended.phase !== 'done') return arrive(splits, ended.spec, [], view);
  const { id } = ended.spec;
  const parts = ended.outputs.filter((path) => path.startsWith(split.outputs ?? '')).sort();
  if (parts.length === 0) {
    const where = split.outputs === undefined ? '' : ` that begins with ${split.outputs}`;
    return { fail: { reason: 'NothingToMap', message: `${id} is a splitter, and has yielded no output${where}` } };
  }
  if (depthOf(ended.spec, view) >= NESTING_MAX) {
    return { fail: { reason: 'GrowthRefused', message: `${id} would split at a depth of more than ${NESTING_MAX}` } };
  }
  const maps = parts.map((path, index) => mapItem(split, ended.spec, path, { index: index + 1, count: parts.length }));
  if (split.map.role !== undefined) return { items: maps, join: { splitter: id, branches: maps.length } };
  const reduce = reduceItem(
    split,
    ended.spec,
    maps.map((map) => map.id),
    [],
  );
  return arrive(splits, ended.spec, [...maps, reduce], view);
}

/** The end of `branch` is known: its reduce item, which is there or in `items`, or that it never will have one. */
function arrive(
  splits: MapReduce['splits'],
  branch: AdmittedItem,
  items: readonly AdmittedItem[],
  view: RunView,
): Decision {
  const grown = [...items];
  const added = new Set(items.map(({ id }) => id));
  const arrived: string[] = [];
  for (let at = branch; at.spawn?.as === 'map';) {
    const splitter = at.spawn.of;
    const join = view.join(splitter);
    const outer = view.item(splitter)?.spec;
    const split = ofRole(splits, outer?.role);
    if (!join || !outer || !split) break;
    arrived.push(splitter);
    if (join.missing > 1) break;
    const branches = Array.from({ length: join.branches }, (_, index) => mapId(splitter, index + 1));
    const hasEnd = (id: string): boolean => added.has(reduceId(id)) || view.item(reduceId(id)) !== undefined;
    const ends = branches.filter(hasEnd).map(reduceId);
    const reduce = reduceItem(
      split,
      outer,
      ends,
      branches.filter((id) => !hasEnd(id)),
    );
    grown.push(reduce);
    added.add(reduce.id);
    at = outer;
  }
  return { items: grown, arrived };
}

function mapItem(
  { map }: AdmittedSplit,
  splitter: AdmittedItem,
  path: string,
  { index, count }: { readonly index: number; readonly count: number },
): AdmittedItem {
  return spawned(map, {
    id: mapId(splitter.id, index),
    spawn: { of: splitter.id, as: 'map', n: index },
    needs: { part: { from: splitter.id, select: { kind: 'output', path } } },
    params: splitter.params,
    own: { part: { index, count, path } },
  });
}

/** @param lost branches without an end: they have failed, and with them the reduce item is skipped. */
function reduceItem(
  { reduce, product }: AdmittedSplit,
  splitter: AdmittedItem,
  ends: readonly string[],
  lost: readonly string[],
): AdmittedItem {
  const needs = ends.map((from, index): [string, AdmittedNeed] => {
    return [`part-${String(index + 1).padStart(5, '0')}`, { from, select: product }];
  });
  return spawned(reduce, {
    id: reduceId(splitter.id),
    spawn: { of: splitter.id, as: 'reduce', n: 1 },
    needs: Object.fromEntries(needs),
    depends_on: lost,
    params: splitter.params,
    own: { parts: ends.length },
  });
}

function depthOf(item: AdmittedItem, view: RunView): number {
  let depth = 0;
  for (let at: AdmittedItem | undefined = item; at?.spawn?.as === 'map' && depth < NESTING_MAX; depth++)
    at = view.item(at.spawn.of)?.spec;
  return depth;
}
