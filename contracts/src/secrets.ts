/** Secrets by reference (law 6): where references stand, and how values travel. */
import type { EnvBundle } from './env-bundle.ts';
import type { Frozen } from './fragments.ts';
import type { AgentBlock, PipelineSpec, ScriptBlock, SecretGrants } from './pipeline.ts';

export const SECRET_REF_PATTERN = '^[A-Za-z0-9][A-Za-z0-9._/:@+=-]{0,511}$';
/** UTF-8 bytes of a value. A shorter one would be found in everything that a block prints. */
export const SECRET_BYTES_MIN = 8;
export const SECRET_BYTES_MAX = 65_536;
/** Different secrets of one attempt. */
export const SECRETS_MAX = 100;

/** The socket under a task's input directory, by which the controller hands the values over, once: a SecretValues as JSON. */
export const SECRETS_SOCKET = 'secrets.sock';
export type SecretValues = Readonly<Record<string, string>>;

/** The env bundles of an item that blocks of that kind are given. */
export function bundlesFor(
  bundles: readonly Frozen<EnvBundle>[],
  kind: 'agent' | 'script',
): readonly Frozen<EnvBundle>[] {
  return bundles.filter(({ blocks = ['agent'] }) => blocks.includes(kind));
}

/** Variable → secret that a block is granted: of its bundles the later ones win, and what the block names itself over all. */
export function grantsOf(
  block: Frozen<AgentBlock | ScriptBlock>,
  bundles: readonly Frozen<EnvBundle>[],
): Frozen<SecretGrants> {
  const bundled = bundlesFor(bundles, block.kind).map(({ secrets }) => secrets);
  return Object.assign({}, ...bundled, block.kind === 'script' ? block.secrets : undefined) as Frozen<SecretGrants>;
}

/** The references of a pipeline's blocks, sorted and unique. */
export function secretsOf({ blocks }: Frozen<PipelineSpec>): string[] {
  const refs = blocks.flatMap((block) =>
    'secrets' in block && block.secrets ? Object.values(block.secrets).map(({ ref }) => ref) : [],
  );
  return [...new Set(refs)].sort();
}
