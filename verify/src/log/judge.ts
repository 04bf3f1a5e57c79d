/** Whether seals, heads and the entries of the log belong together. */
import type { Problem } from './check-log.ts';
import type { KnownHead } from './head.ts';
import type { KnownSeal } from './seal.ts';

/** That every seal is in the log, and no run has two. Answers the entries that are theirs. */
export function judgeSeals(
  seals: readonly KnownSeal[],
  anchored: readonly KnownSeal[],
  entries: ReadonlyMap<string, number>,
  problem: Problem,
): Set<number> {
  const claimed = new Set<number>();
  const ofRun = new Map<string, KnownSeal>();
  for (const [from, known] of [
    ['storage', seals],
    ['anchor', anchored],
  ] as const) {
    for (const seal of known) {
      const { run, leaf, place } = seal;
      const index = entries.get(leaf);
      const first = ofRun.get(run);
      if (!first) ofRun.set(run, seal);
      else if (first.leaf !== leaf) {
        problem('two-seals', `the run ${run} has two seals, in ${first.place} and in ${place}`, { run });
      }
      if (index === undefined) {
        problem('seal-unlogged', `the seal in ${place} is not in the log`, { run });
        continue;
      }
      if (from === 'anchor' && !claimed.has(index) && first?.leaf !== leaf) {
        problem('run-missing', `the run ${run}, entry ${index} of the log, is gone; its seal is in ${place}`, { index, run }); // prettier-ignore
      }
      claimed.add(index);
    }
  }
  return claimed;
}

interface LoggedHead extends KnownHead {
  /** Of its entry. */
  readonly index: number;
}

/**
 * That a run was sealed as the log has it since before: what a head covers is in the log for good, so a seal that
 * denies it is the work of somebody who told the run anew. Answers the heads that the log has; one that it does not
 * have may be on its way, and proves nothing.
 */
export function judgeHeads(
  heads: readonly KnownHead[],
  seals: readonly KnownSeal[],
  entries: ReadonlyMap<string, number>,
  problem: Problem,
): readonly LoggedHead[] {
  const logged = heads.flatMap((head) => {
    const index = entries.get(head.leaf);
    return index === undefined ? [] : { ...head, index };
  });
  const byRun = Map.groupBy(logged, ({ run }) => run);
  for (const [run, ofRun] of byRun) {
    const roots = new Map<number, string>();
    for (const { size, root, index } of ofRun) {
      if ((roots.get(size) ?? root) === root) roots.set(size, root);
      else
        problem('rewritten', `the log has two stories of the first ${size} events of the run ${run}`, { run, index });
    }
  }
  // What an anchor keeps too is judged once, and by its place in the storage.
  const distinct = new Map(seals.toReversed().map((seal) => [seal.leaf, seal]));
  for (const { run, heads: named, leaf, place } of distinct.values()) {
    const ofRun = byRun.get(run) ?? [];
    const sealIndex = entries.get(leaf) ?? Infinity;
    for (const { size, root, index } of ofRun) {
      if (named.some((head) => head.size === size && head.root === root)) continue;
      problem('rewritten', `the run ${run} was told anew: entry ${index} of the log commits to its first ${size} events, and the seal in ${place} denies them`, { run, index }); // prettier-ignore
    }
    for (const { size, root } of named) {
      if (ofRun.some((head) => head.size === size && head.root === root && head.index < sealIndex)) continue;
      problem('head-missing', `the seal in ${place} names a head of ${size} events that the log did not have before it`, { run }); // prettier-ignore
    }
  }
  return logged;
}
