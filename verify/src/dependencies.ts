/** When an item may begin and when it never can (contracts/run: `depends_on`, `when`, `oneOf`). */
import type { PlannedItem } from './plan.ts';

export type Outcome = 'done' | 'failed' | 'skipped' | 'cancelled' | 'denied';

/** How an item has ended, or undefined while it has not. */
export type OutcomeOf = (itemId: string) => Outcome | undefined;

function satisfies(rule: unknown, outcome: Outcome): boolean {
  if (rule === 'always') return true;
  return rule === 'failed' ? outcome === 'failed' || outcome === 'denied' : outcome === 'done';
}

/** Undefined when everything that the item waits for has ended as it has to; else the first that has not. */
export function unmetDependency(item: PlannedItem, outcomeOf: OutcomeOf): string | undefined {
  for (const source of item.dependsOn) {
    const outcome = outcomeOf(source);
    if (outcome === undefined || !satisfies(ruleOf(item, source), outcome)) return source;
  }
  for (const need of item.needs.values()) {
    const isMet =
      !('anyOf' in need) || need.anyOf.length === 1 || need.anyOf.some((each) => outcomeOf(each.itemId) === 'done');
    if (!isMet) return need.anyOf[0].itemId;
  }
  return undefined;
}

/** True when something that the item waits for has ended otherwise. */
export function isLost(item: PlannedItem, outcomeOf: OutcomeOf): boolean {
  const lost = item.dependsOn.some((source) => {
    const outcome = outcomeOf(source);
    return outcome !== undefined && !satisfies(ruleOf(item, source), outcome);
  });
  return (
    lost ||
    [...item.needs.values()].some(
      (need) => 'anyOf' in need && need.anyOf.every(({ itemId }) => isUnsuccessful(outcomeOf(itemId))),
    )
  );
}

const isUnsuccessful = (outcome: Outcome | undefined): boolean => outcome !== undefined && outcome !== 'done';

const ruleOf = (item: PlannedItem, source: string): unknown =>
  Object.hasOwn(item.when, source) ? item.when[source] : 'done';
