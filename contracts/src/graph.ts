/** The dependency graph of a run: what is wrong with it, and each item's dependencies with the sources of its needs. Pure. */
import { PROBLEMS_MAX, type Finding } from './explain.ts';
import { show } from './formats.ts';
import { nearest } from './nearest.ts';
import { OUTPUT_DEPTH_MAX, OUTPUT_PATH_BYTES_MAX } from './limits.ts';
import type { Item, Need } from './run.ts';
import { pointerTo } from './text-place.ts';

/** Ids that a printed cycle names before it is shortened. */
const CYCLE_SHOWN = 12;

export interface GraphItem {
  readonly id: string;
  readonly depends_on?: Item['depends_on'];
  readonly needs?: Item['needs'];
  readonly onExit?: boolean;
}

/** The sources of a need, each with its pointer under that of the need: one, or several alternatives. */
function sourcesOfNeed(need: NonNullable<Item['needs']>[string]): readonly (readonly [string, Need])[] {
  return 'oneOf' in need ? need.oneOf.map((each, index) => [`/oneOf/${index}`, each] as const) : [['', need]];
}

export interface Graph {
  /** Per item, sorted and unique: `depends_on` and the sources of `needs` without alternatives. Only meaningful without findings. */
  readonly dependencies: readonly (readonly string[])[];
  /** At most PROBLEMS_MAX; pointers start with `at`, the pointer of the list of items. */
  readonly findings: readonly Finding[];
}

/**
 * The run that the items join: what it knows of the item of this id, undefined when it has none. `unknown` where nobody
 * knows the run: then every id that the items do not have may be one of its.
 */
export type Existing = 'unknown' | ((id: string) => { readonly onExit: boolean } | undefined);

export function checkGraph(items: readonly GraphItem[], at: string, existing?: Existing): Graph {
  const findings: Finding[] = [];
  const indexes = indexById(items, at, findings);
  const onExit = new Set(items.filter((item) => item.onExit).map(({ id }) => id));
  const checked = items.map((item, index) => {
    const path = pointerTo(at, index);
    checkNeeds(item, path, findings);
    return checkedDependencies(item, path, { indexes, onExit, existing }, findings);
  });
  const sources = checked.map(({ all }) => all);
  if (findings.length < PROBLEMS_MAX) findCycles(items, sources, indexes, at, findings);
  return { dependencies: checked.map(({ plain }) => plain), findings: findings.slice(0, PROBLEMS_MAX) };
}

interface Known {
  readonly indexes: ReadonlyMap<string, number>;
  readonly onExit: ReadonlySet<string>;
  readonly existing: Existing | undefined;
}

function indexById(items: readonly GraphItem[], at: string, findings: Finding[]): ReadonlyMap<string, number> {
  const indexes = new Map<string, number>();
  for (const [index, { id }] of items.entries()) {
    const first = indexes.get(id);
    if (first === undefined) indexes.set(id, index);
    else {
      const message = `the id ${show(id)} is used twice: by entry ${first} and entry ${index} of the items`;
      const path = pointerTo(pointerTo(at, index), 'id');
      findings.push({ path, code: 'DuplicateId', message, hint: 'Give every item an id of its own.' });
    }
  }
  return indexes;
}

function checkedDependencies(
  item: GraphItem,
  path: string,
  { indexes, onExit, existing }: Known,
  findings: Finding[],
): { readonly plain: string[]; readonly all: string[] } {
  const unique = new Set<string>();
  const add = (id: string, pointer: () => string): void => {
    unique.add(id);
    if (findings.length >= PROBLEMS_MAX) return;
    if (id === item.id) {
      const hint = 'Remove the entry, or name another item.';
      findings.push({ path: pointer(), code: 'SelfDependency', message: `item ${show(id)} depends on itself`, hint });
      return;
    }
    const joined = indexes.has(id) || existing === 'unknown' ? undefined : existing?.(id);
    if (!indexes.has(id) && existing !== 'unknown' && !joined) {
      const meant = nearest(id, indexes.keys());
      const hint = meant === undefined ? 'It must be the id of an item of this run.' : `Did you mean \`${meant}\`?`;
      findings.push({ path: pointer(), code: 'MissingReference', message: `there is no item ${show(id)}`, hint });
    } else if ((onExit.has(id) || joined?.onExit) && !item.onExit) {
      const message = `item ${show(item.id)} waits for ${show(id)}, which runs when everything else has ended`;
      findings.push({ path: pointer(), code: 'Cycle', message, hint: 'Only an `onExit` item may depend on one.' });
    }
  };
  for (const [index, entry] of (item.depends_on ?? []).entries()) {
    const at = `${path}/depends_on/${index}`;
    if (typeof entry === 'string') add(entry, () => at);
    else add(entry.item, () => `${at}/item`);
  }
  for (const [key, need] of Object.entries(item.needs ?? {})) {
    if (!('oneOf' in need)) add(need.from, () => `${pointerTo(`${path}/needs`, key)}/from`);
  }
  const plain = [...unique].sort();
  for (const [key, need] of Object.entries(item.needs ?? {})) {
    if (!('oneOf' in need)) continue;
    for (const [rest, { from }] of sourcesOfNeed(need))
      add(from, () => `${pointerTo(`${path}/needs`, key)}${rest}/from`);
  }
  return { plain, all: [...unique] };
}

function checkNeeds(item: GraphItem, path: string, findings: Finding[]): void {
  if (!item.needs) return;
  const folded = new Map<string, string>();
  for (const [key, need] of Object.entries(item.needs)) {
    const pointer = pointerTo(pointerTo(path, 'needs'), key);
    const other = folded.get(key.toLowerCase());
    folded.set(key.toLowerCase(), key);
    if (other !== undefined) {
      const message = `the inputs \`${other}\` and \`${key}\` differ in case only, and become one file on some systems`;
      findings.push({ path: pointer, code: 'DuplicateKey', message, hint: 'Rename one of them.', at: 'key' });
    }
    for (const [rest, { select }] of sourcesOfNeed(need)) {
      const wrong = select.kind === 'output' ? whyNotOutputPath(select.path) : undefined;
      if (wrong === undefined) continue;
      const message = `${show(select.kind === 'output' ? select.path : '')} is not a path under outputs/: ${wrong}`;
      const hint = 'Write it as the worker will: relative to outputs/, such as report/summary.json.';
      findings.push({ path: `${pointer}${rest}/select/path`, code: 'InvalidPath', message, hint });
    }
  }
}

/** Undefined for a relative path of plain names. */
export function whyNotOutputPath(path: string): string | undefined {
  if (path === '') return 'it is empty';
  if (/[\u0000-\u001f\u007f]/.test(path)) return 'it holds a control character';
  if (path.startsWith('/')) return 'it is absolute';
  if (path.includes('\\')) return 'it holds a backslash';
  if (Buffer.byteLength(path) > OUTPUT_PATH_BYTES_MAX) return `it is longer than ${OUTPUT_PATH_BYTES_MAX} bytes`;
  const names = path.split('/');
  if (names.includes('..')) return 'it holds `..`';
  if (names.includes('.') || names.includes('')) return 'it holds an empty name or `.`';
  if (names.length > OUTPUT_DEPTH_MAX) return `it is deeper than ${OUTPUT_DEPTH_MAX} directories`;
  return undefined;
}

/**
 * One cycle of every group of items that wait for each other. Kahn's algorithm first, because most runs have none.
 * Iterative throughout: a chain may have as many items as a run.
 */
function findCycles(
  items: readonly GraphItem[],
  dependencies: readonly (readonly string[])[],
  indexes: ReadonlyMap<string, number>,
  at: string,
  findings: Finding[],
): void {
  const waiting = waitingForever(items, dependencies, indexes);
  const edges = (index: number): number[] =>
    dependencies[index]!.flatMap((id) => {
      const next = id === items[index]!.id ? undefined : indexes.get(id);
      return next !== undefined && waiting.has(next) ? next : [];
    });
  for (const group of strongGroups(waiting, edges)) {
    if (findings.length >= PROBLEMS_MAX) return;
    const cycle = cycleWithin(new Set(group), edges);
    findings.push({
      path: pointerTo(pointerTo(at, cycle[0]!), 'depends_on'),
      code: 'Cycle',
      message: `these items wait for each other: ${cycleText(cycle.map((index) => items[index]!.id))}`,
      hint: 'Remove one of these dependencies.',
    });
  }
}

/** Tarjan's strongly connected components of more than one node, with a stack of its own. */
function strongGroups(nodes: Iterable<number>, edges: (node: number) => number[]): number[][] {
  const groups: number[][] = [];
  const order = new Map<number, number>();
  const lowest = new Map<number, number>();
  const open: number[] = [];
  const isOpen = new Set<number>();
  for (const root of nodes) {
    if (order.has(root)) continue;
    const calls: { readonly node: number; readonly left: number[] }[] = [];
    const enter = (node: number): void => {
      order.set(node, order.size);
      lowest.set(node, order.get(node)!);
      open.push(node);
      isOpen.add(node);
      calls.push({ node, left: edges(node) });
    };
    enter(root);
    for (let call = calls.at(-1); call; call = calls.at(-1)) {
      const { node, left } = call;
      const next = left.pop();
      if (next === undefined) {
        calls.pop();
        const parent = calls.at(-1)?.node;
        if (parent !== undefined) lowest.set(parent, Math.min(lowest.get(parent)!, lowest.get(node)!));
        if (lowest.get(node) !== order.get(node)) continue;
        const group = open.splice(open.lastIndexOf(node));
        for (const member of group) isOpen.delete(member);
        if (group.length > 1) groups.push(group);
      } else if (!order.has(next)) enter(next);
      else if (isOpen.has(next)) lowest.set(node, Math.min(lowest.get(node)!, order.get(next)!));
    }
  }
  return groups;
}

/** Inside of such a group every node leads to another one of it, so following them comes round. Starts at the first item. */
function cycleWithin(group: ReadonlySet<number>, edges: (node: number) => number[]): number[] {
  const path = new Map<number, number>();
  let here = Math.min(...[...group].slice(0, 1000));
  while (!path.has(here)) {
    path.set(here, path.size);
    here = edges(here).find((next) => group.has(next))!;
  }
  return [...path.keys()].slice(path.get(here));
}

function waitingForever(
  items: readonly GraphItem[],
  dependencies: readonly (readonly string[])[],
  indexes: ReadonlyMap<string, number>,
): ReadonlySet<number> {
  const unmet = items.map(() => 0);
  const dependents: (number[] | undefined)[] = [];
  for (const [index, ids] of dependencies.entries()) {
    for (const id of ids) {
      const source = indexes.get(id);
      // Reported already: what does not exist, and an item that names itself.
      if (source === undefined || id === items[index]!.id) continue;
      unmet[index]! += 1;
      (dependents[source] ??= []).push(index);
    }
  }
  const waiting = new Set(items.keys());
  const ready = [...items.keys()].filter((index) => unmet[index] === 0);
  for (let next = ready.pop(); next !== undefined; next = ready.pop()) {
    waiting.delete(next);
    for (const dependent of dependents[next] ?? []) {
      if ((unmet[dependent]! -= 1) === 0) ready.push(dependent);
    }
  }
  return waiting;
}

function cycleText(ids: readonly string[]): string {
  const shown =
    ids.length <= CYCLE_SHOWN
      ? ids
      : [...ids.slice(0, CYCLE_SHOWN - 2), `… ${ids.length - CYCLE_SHOWN + 1} more …`, ids.at(-1)!];
  return [...shown, ids[0]!].join(' → ');
}
