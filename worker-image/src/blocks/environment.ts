/** The environment of a block. */
import type { SecretGrants } from '@pangolin/contracts/pipeline';
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
  return Object.assign({}, ...bundlesFor(staged, kind).map(({ values }) => values)) as Record<string, string>;
}

/** Their secrets: those of a bundle for agents are the agent's alone. */
export function bundledSecrets({ staged }: Attempt, kind: 'agent' | 'script'): SecretGrants {
  return Object.assign({}, ...bundlesFor(staged, kind).map(({ secrets }) => secrets)) as SecretGrants;
}

function bundlesFor({ equipment }: Attempt['staged'], kind: 'agent' | 'script') {
  return equipment.env.filter(({ blocks = ['agent'] }) => blocks.includes(kind));
}
