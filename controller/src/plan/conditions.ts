/** What an item waits for, and whether an end is the one that it waits for. Pure. */
import type { Phase } from '@pangolin/contracts/reasons';
import type { AdmittedItem, When } from '@pangolin/contracts/admitted-run';

/** @param rule how a dependency has to end */
export function satisfies(rule: 'done' | When, phase: Phase): boolean {
  if (rule === 'always') return true;
  return rule === 'done' ? phase === 'done' : phase === 'failed' || phase === 'denied';
}

/** Every item that it waits for, the alternatives of its any-of needs included. */
export function sourcesOf(item: AdmittedItem): string[] {
  const alternatives = Object.values(item.needs ?? {}).flatMap((need) =>
    'oneOf' in need ? need.oneOf.map(({ from }) => from) : [],
  );
  return [...item.depends_on, ...alternatives];
}
