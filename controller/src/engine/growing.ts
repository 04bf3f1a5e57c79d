/** What admission has to know of a run that a file extends. */
import type { Existing } from '@pangolin/contracts/graph';
import type { Inherited } from '@pangolin/contracts/admitted-run';
import type { StateStore } from '../store/state.ts';

export const growing = (
  state: StateStore,
): { itemsOf(run: string): Existing; inheritedFrom(run: string): Inherited | undefined } => ({
  itemsOf(runId) {
    const run = state.run(runId);
    if (!run) return 'unknown';
    return (id) => {
      const item = state.item(run.rn, id);
      return item && { onExit: item.on_exit === 1 };
    };
  },
  inheritedFrom(runId) {
    const run = state.run(runId);
    return run && state.patterns.inherited(run.rn);
  },
});
