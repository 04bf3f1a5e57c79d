/** What a linked retry runs again, and what it takes over from the run that has ended. Pure. */
import type { ProductRef } from '@pangolin/contracts/output';
import type { Phase } from '@pangolin/contracts/reasons';
import type { AdmittedItem, AdmittedNeed } from '@pangolin/contracts/admitted-run';
import type { Need, Select } from '@pangolin/contracts/run';
import { satisfies } from './conditions.ts';

export interface EndedItem {
  readonly spec: AdmittedItem;
  readonly phase: Phase;
  /** Of what it has yielded, when it is done. */
  product(select: Select): ProductRef | undefined;
}
export type EndedItems = ReadonlyMap<string, EndedItem>;

/**
 * The items that run again: `only` and its descendants, or else what did not succeed and what depends on that. Every onExit
 * item is among them, because it runs whatever happened, in every run. Left out are those that would not run now either,
 * because something that is not run again had not ended as they ask. Empty when nothing is left to do.
 */
export function itemsAgain(ended: EndedItems, only?: string): ReadonlySet<string> {
  const items = [...ended.values()];
  const isOpen = ({ spec, phase }: EndedItem): boolean =>
    only === undefined ? phase !== 'done' || spec.onExit === true : spec.id === only || spec.onExit === true;
  const again = new Set(items.filter(isOpen).map(({ spec }) => spec.id));
  const dependents = new Map<string, string[]>();
  for (const { spec } of items) {
    // An any-of need that was met stays met, unless its source is run again on purpose.
    const choices = only === undefined ? [] : Object.values(spec.needs ?? {}).flatMap((need) => choicesOf(need, ended));
    for (const source of [...spec.depends_on, ...choices.map(({ from }) => from)])
      dependents.set(source, [...(dependents.get(source) ?? []), spec.id]);
  }
  // Grows while it is walked.
  for (const id of again) for (const dependent of dependents.get(id) ?? []) again.add(dependent);
  leaveOutLost(ended, again, only);
  const isWork = only !== undefined || [...again].some((id) => ended.get(id)!.phase !== 'done');
  return isWork ? again : new Set();
}

/** Of an any-of need: its sources in their order, as far as the first one that is done. The others do not matter. */
function choicesOf(need: AdmittedNeed, ended: EndedItems): readonly Need[] {
  if (!('oneOf' in need)) return [];
  const taken = need.oneOf.findIndex(({ from }) => ended.get(from)?.phase === 'done');
  return taken === -1 ? need.oneOf : need.oneOf.slice(0, taken + 1);
}

/** Until nothing changes: what depends on one that is left out is left out as well. */
function leaveOutLost(ended: EndedItems, again: Set<string>, only: string | undefined): void {
  const isLost = ({ depends_on, when, needs }: AdmittedItem): boolean =>
    depends_on.some((id) => !again.has(id) && !satisfies(when?.[id] ?? 'done', ended.get(id)!.phase)) ||
    Object.values(needs ?? {}).some(
      (need) => 'oneOf' in need && !need.oneOf.some(({ from }) => again.has(from) || ended.get(from)?.phase === 'done'),
    );
  for (let before = -1; before !== again.size;) {
    before = again.size;
    for (const id of again) if (id !== only && isLost(ended.get(id)!.spec)) again.delete(id);
  }
}

/** `spec` among the items of the new run: needs from items that are not in it become inputs given at submission. */
export function specAgain(
  spec: AdmittedItem,
  again: ReadonlySet<string>,
  ended: EndedItems,
  only?: string,
): AdmittedItem {
  const { when, needs, ...rest } = spec;
  const needsNow = Object.entries(needs ?? {}).map(
    ([key, need]) => [key, needAgain(need, again, ended, only)] as const,
  );
  const whenNow = Object.entries(when ?? {}).filter(([id]) => again.has(id));
  return {
    ...rest,
    depends_on: spec.depends_on.filter((id) => again.has(id)),
    ...(needsNow.length > 0 && { needs: Object.fromEntries(needsNow) }),
    ...(whenNow.length > 0 && { when: Object.fromEntries(whenNow) }),
  };
}

/**
 * What is there is taken over, so that a retry does not depend on a second attempt where the first choice had failed. Who
 * runs an item again on purpose wants its product, not the one that was there.
 */
function needAgain(
  need: AdmittedNeed,
  again: ReadonlySet<string>,
  ended: EndedItems,
  only: string | undefined,
): AdmittedNeed {
  if ('submission' in need) return need;
  if (!('oneOf' in need)) return again.has(need.from) ? need : (givenBy([need], ended) ?? need);
  const [open, over] = partition(choicesOf(need, ended), ({ from }) => again.has(from));
  const given = givenBy(over, ended);
  const asked = open.length > 0 ? { oneOf: open } : undefined;
  // Without any: the item is denied when it is due, and the reason names the product that is missing.
  return (only === undefined ? (given ?? asked) : (asked ?? given)) ?? need.oneOf[0]!;
}

function partition<T>(list: readonly T[], holds: (each: T) => boolean): readonly [T[], T[]] {
  return [list.filter(holds), list.filter((each) => !holds(each))];
}

function givenBy(needs: readonly Need[], ended: EndedItems): AdmittedNeed | undefined {
  for (const { from, select } of needs) {
    const product = ended.get(from)?.product(select);
    if (product) return { submission: { sha256: product.sha256, size: product.size } };
  }
  return undefined;
}
