/** What admission has to know of a run that a file extends. */
import type { Existing } from '@pangolin/contracts/graph';
import type { AdmittedItem, Inherited, Pin } from '@pangolin/contracts/admitted-run';
import type { ThingKind } from '@pangolin/contracts/things';
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

/** `inherited`, and what these items of the run were the first to name: the same name is the same thing from now on. */
export function withNamesOf(inherited: Inherited, items: readonly AdmittedItem[]): Inherited {
  const pins = new Map(inherited.pins.map((pin) => [`${pin.kind} ${pin.ref}`, pin]));
  const images = new Map(inherited.images.map((each) => [each.image, each]));
  for (const item of items) {
    const { pipeline, shape, subagent, capabilities = [], env = [], image, pinnedImage } = item;
    const named: readonly (readonly [ThingKind, Partial<Pin> | undefined])[] = [
      ['pipeline', pipeline],
      ['shape', shape],
      ['subagent', subagent],
      ...capabilities.map((pin) => ['capability', pin] as const),
      ...env.map((pin) => ['env', pin] as const),
    ];
    for (const [kind, { ref, sha256 } = {}] of named)
      if (ref !== undefined && sha256 !== undefined && !pins.has(`${kind} ${ref}`))
        pins.set(`${kind} ${ref}`, { kind, ref, sha256 });
    if (pinnedImage && !images.has(image))
      images.set(image, { ...(image !== undefined && { image }), pinned: pinnedImage });
  }
  return { ...inherited, pins: [...pins.values()], images: [...images.values()] };
}
