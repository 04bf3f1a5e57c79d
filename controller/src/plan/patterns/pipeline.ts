/**
 * Items run one after the other, as they are written. A gate that says no lets the chain go on (`advance`), or gets a fix
 * and another check (`spawn-fix`). The items behind such a gate join the run when it, or one of its checks, is green:
 *
 *     build ─▶ test ─▶ test.fix.1 ─▶ test.check.1 ─▶ ship
 */
import type { AdmittedGate, AdmittedPattern } from '@pangolin/contracts/pattern';
import type { AdmittedItem, AdmittedNeed, When } from '@pangolin/contracts/admitted-run';
import type { Need } from '@pangolin/contracts/run';
import {
  dependenciesOf,
  isGreen,
  isRed,
  NOTHING,
  ofRole,
  spawned,
  type Decision,
  type Ended,
  type RunView,
} from './growth.ts';

type Pipeline = Extract<AdmittedPattern, { kind: 'pipeline' }>;
type Gates = Pipeline['gates'];
type Fixing = Extract<AdmittedGate, { onRed: 'spawn-fix' }>;

const fixId = (gate: string, n: number): string => `${gate}.fix.${n}`;
const checkId = (gate: string, n: number): string => `${gate}.check.${n}`;

const fixing = (gates: Gates, { role }: AdmittedItem): Fixing | undefined => {
  const gate = ofRole(gates, role);
  return gate?.onRed === 'spawn-fix' ? gate : undefined;
};

/** The chain, cut behind the first gate that may circle back. `onExit` items are no part of it. */
export function chain(
  items: readonly AdmittedItem[],
  gates: Gates,
): { readonly items: AdmittedItem[]; readonly rest: AdmittedItem[]; readonly gate?: string } {
  const now: AdmittedItem[] = [];
  const rest: AdmittedItem[] = [];
  let behind: { readonly hard: string | undefined; readonly soft: readonly string[] } = { hard: undefined, soft: [] };
  let gate: string | undefined;
  for (const item of items) {
    if (item.onExit) {
      now.push(item);
      continue;
    }
    (gate === undefined ? now : rest).push(chained(item, behind));
    const advances = ofRole(gates, item.role)?.onRed === 'advance';
    behind = advances ? { ...behind, soft: [...behind.soft, item.id] } : { hard: item.id, soft: [] };
    if (fixing(gates, item)) gate ??= item.id;
  }
  return { items: now, rest, ...(gate !== undefined && { gate }) };
}

/** Behind the last item that has to succeed, and behind the gates since then, whatever they said. */
function chained(
  item: AdmittedItem,
  { hard, soft }: { readonly hard: string | undefined; readonly soft: readonly string[] },
): AdmittedItem {
  const needed = new Set(item.depends_on);
  const when: Record<string, When> = { ...item.when };
  for (const id of soft) if (!needed.has(id)) when[id] = 'always';
  const depends_on = dependenciesOf({}, [...item.depends_on, ...soft, ...(hard === undefined ? [] : [hard])]);
  return { ...item, depends_on, ...(Object.keys(when).length > 0 && { when }) };
}

export function pipeline(pattern: Pipeline, ended: Ended, view: RunView): Decision {
  const { spec } = ended;
  const rules = fixing(pattern.gates, spec);
  if (!rules) return NOTHING;
  const { gate, fixes } = gateOf(spec);
  if (isGreen(ended)) return { items: behind(pattern, gate, view, false) };
  if (isRed(ended) && fixes < rules.attempts) return { items: circle(rules, ended, gate, fixes + 1) };
  if (ended.phase === 'done')
    return { fail: { reason: 'GateRed', message: `${spec.id} is red, and no fix is left to it` } };
  // So that they are there to be seen as skipped.
  return { items: behind(pattern, gate, view, true) };
}

const gateOf = ({ id, spawn }: AdmittedItem): { readonly gate: string; readonly fixes: number } =>
  spawn?.as === 'check' ? { gate: spawn.of, fixes: spawn.n } : { gate: id, fixes: 0 };

/** A fix that gets what the gate got, and the gate once more on what the fix has made. */
function circle({ fix, replaces }: Fixing, ended: Ended, gate: string, n: number): AdmittedItem[] {
  const { spec, phase } = ended;
  const { when: _when, onExit: _onExit, ...checked } = spec;
  const fixed = spawned(fix, {
    id: fixId(gate, n),
    spawn: { of: gate, as: 'fix', n },
    // What failed has yielded nothing that may be consumed.
    sources: { gate: { items: phase === 'done' ? [ended] : [], optional: true } },
    needs: spec.needs ?? {},
    depends_on: phase === 'done' ? [spec.id] : [],
    params: spec.params,
  });
  const subject = replaces === undefined ? undefined : spec.needs?.[replaces];
  const needs = { ...spec.needs };
  if (replaces !== undefined && subject && 'select' in subject)
    needs[replaces] = { from: fixed.id, select: subject.select };
  const check = {
    ...checked,
    id: checkId(gate, n),
    depends_on: dependenciesOf(needs, [fixed.id]),
    ...(Object.keys(needs).length > 0 && { needs }),
    spawn: { of: gate, as: 'check', n } as const,
  };
  return [fixed, check];
}

/** What joins behind `gate` now that it is decided: everything up to the next gate that may circle back, or `all`. */
function behind({ gates, rest, gate: first }: Pipeline, gate: string, view: RunView, all: boolean): AdmittedItem[] {
  const from = rest.findIndex(({ id }) => id === gate) + 1;
  const next = rest.findIndex((item, index) => index >= from && fixing(gates, item) !== undefined);
  const joining = rest.slice(from, all || next === -1 ? undefined : next + 1);
  const passed = [first!, ...rest.slice(0, from).flatMap((item) => (fixing(gates, item) ? [item.id] : []))];
  const moves = movesOf(gates, passed, view);
  return joining.map((item) => moved(item, moves));
}

interface Moves {
  /** Gate → the check that decided in its place. */
  readonly gates: ReadonlyMap<string, string>;
  /** In the order in which they were made: a product, and the fix that has made it anew. */
  readonly products: readonly { readonly was: Need; readonly now: string }[];
}

function movesOf(gates: Gates, passed: readonly string[], view: RunView): Moves {
  const decided = new Map<string, string>();
  const products: { was: Need; now: string }[] = [];
  for (const gate of passed) {
    let checked = view.item(gate)?.spec;
    const replaces = checked && fixing(gates, checked)?.replaces;
    for (let n = 1; ; n++) {
      const check = view.item(checkId(gate, n))?.spec;
      if (!check) break;
      decided.set(gate, check.id);
      const was = replaces === undefined ? undefined : checked?.needs?.[replaces];
      if (was && 'from' in was) products.push({ was, now: fixId(gate, n) });
      checked = check;
    }
  }
  return { gates: decided, products };
}

const pathOf = ({ select }: Need): string | undefined => ('path' in select ? select.path : undefined);
const sameProduct = (a: Need, b: Need): boolean => a.select.kind === b.select.kind && pathOf(a) === pathOf(b);

function moved(item: AdmittedItem, moves: Moves): AdmittedItem {
  const move = (need: Need): Need => {
    let from = moves.gates.get(need.from) ?? need.from;
    for (const { was, now } of moves.products) if (was.from === from && sameProduct(was, need)) from = now;
    return { ...need, from };
  };
  const needs = Object.fromEntries(
    Object.entries(item.needs ?? {}).map(([key, need]): [string, AdmittedNeed] => {
      if ('oneOf' in need) return [key, { oneOf: need.oneOf.map(move) }];
      return [key, 'from' in need ? move(need) : need];
    }),
  );
  const standIn = (id: string): string => moves.gates.get(id) ?? id;
  const when = Object.entries(item.when ?? {}).map(([id, rule]): [string, When] => [standIn(id), rule]);
  return {
    ...item,
    depends_on: dependenciesOf(needs, item.depends_on.map(standIn)),
    ...(when.length > 0 && { when: Object.fromEntries(when) }),
    ...(Object.keys(needs).length > 0 && { needs }),
  };
}
