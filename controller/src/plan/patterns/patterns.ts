/** The execution patterns of queues: how a run is wired at admission, and what is appended when one of its items ends. */
import type { AdmittedPattern, AdmittedTemplate } from '@pangolin/contracts/pattern';
import type { AdmittedItem } from '@pangolin/contracts/admitted-run';
import type { Decision, Ended, RunView } from './growth.ts';
import { mapReduce } from './map-reduce.ts';
import { chain, pipeline } from './pipeline.ts';
import { quorum } from './quorum.ts';

/** The items that a run begins with, and its pattern with those that join later. */
export function planRun(
  items: readonly AdmittedItem[],
  pattern: AdmittedPattern,
): { readonly items: readonly AdmittedItem[]; readonly pattern: AdmittedPattern } {
  if (pattern.kind !== 'pipeline') return { items, pattern };
  const { items: now, ...later } = chain(items, pattern.gates);
  return { items: now, pattern: { ...pattern, ...later } };
}

export function templatesOf(pattern: AdmittedPattern): AdmittedTemplate[] {
  switch (pattern.kind) {
    case 'pipeline':
      return Object.values(pattern.gates).flatMap((gate) => (gate.onRed === 'spawn-fix' ? [gate.fix] : []));
    case 'map-reduce':
      return Object.values(pattern.splits).flatMap(({ map, reduce }) => [map, reduce]);
    case 'quorum':
      return Object.values(pattern.quorums).flatMap(({ reviewers, commit, revise }) => [
        ...reviewers,
        commit,
        ...(revise ? [revise] : []),
      ]);
  }
}

/** The roles that items may have which join by an extension. A chain is as the run was submitted. */
export function rolesOf(pattern: AdmittedPattern): string[] {
  if (pattern.kind === 'pipeline') return [];
  return Object.keys(pattern.kind === 'quorum' ? pattern.quorums : pattern.splits);
}

/** What follows from the end of an item. The same for the same run, so that a replay appends the same. */
export function onItemEnd(pattern: AdmittedPattern, ended: Ended, view: RunView): Decision {
  switch (pattern.kind) {
    case 'pipeline':
      return pipeline(pattern, ended, view);
    case 'map-reduce':
      return mapReduce(pattern, ended, view);
    case 'quorum':
      return quorum(pattern, ended, view);
  }
}
