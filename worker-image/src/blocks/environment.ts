/** The environment of a block. */
import { bundlesFor } from '@pangolin/contracts/secrets';
import type { Attempt } from '../attempt.ts';

/** Default deny: this is all that a block gets. A block may set anything but our own names. */
export function environmentOf(
  { assignment, options, staged, egress }: Attempt,
  own: Readonly<Record<string, string>>,
): Record<string, string> {
  const { places } = staged;
  return {
    PATH: options.path,
    LANG: 'C.UTF-8',
    CI: 'true',
    HOME: places.home,
    TMPDIR: places.tmp,
    ...egress.env,
    ...own,
    PANGOLIN_RUN_ID: assignment.runId,
    PANGOLIN_ITEM_ID: assignment.itemId,
    PANGOLIN_ATTEMPT: String(assignment.attempt),
    PANGOLIN_INPUTS: places.inputs,
    PANGOLIN_OUTPUTS: places.outputs,
    PANGOLIN_PARAMS: places.params,
  };
}

/** The values of the env bundles that blocks of that kind are given; later bundles win. */
export function bundledValues({ staged }: Attempt, kind: 'agent' | 'script'): Record<string, string> {
  return Object.assign({}, ...bundlesFor(staged.equipment.env, kind).map(({ values }) => values)) as Record<
    string,
    string
  >;
}
