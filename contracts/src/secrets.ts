/** Secrets by reference (law 6): where references stand, and how values travel. */
import type { Frozen } from './fragments.ts';
import type { PipelineSpec } from './pipeline.ts';

export const SECRET_REF_PATTERN = '^[A-Za-z0-9][A-Za-z0-9._/:@+=-]{0,511}$';
/** UTF-8 bytes of a value. A shorter one would be found in everything that a block prints. */
export const SECRET_BYTES_MIN = 8;
export const SECRET_BYTES_MAX = 65_536;
/** Different secrets of one attempt. */
export const SECRETS_MAX = 100;

/** The socket under a task's input directory, by which the controller hands the values over, once: a SecretValues as JSON. */
export const SECRETS_SOCKET = 'secrets.sock';
export type SecretValues = Readonly<Record<string, string>>;

/** The references of a pipeline's blocks, sorted and unique. */
export function secretsOf({ blocks }: Frozen<PipelineSpec>): string[] {
  const refs = blocks.flatMap((block) =>
    'secrets' in block && block.secrets ? Object.values(block.secrets).map(({ ref }) => ref) : [],
  );
  return [...new Set(refs)].sort();
}
