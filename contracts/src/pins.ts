/** The names that registered things have in the subject of a dispatch statement. */
import type { Sha256 } from './digest.ts';
import type { Pins } from './admitted-run.ts';

/** Every thing that a dispatch pins besides its pipeline, with its digest. */
export function pinsOf({ shape, subagent, capabilities = [], env = [] }: Pins): readonly (readonly [string, Sha256])[] {
  return [
    ...(shape ? [['shape', shape.sha256] as const] : []),
    ...(subagent ? [['subagent', subagent.sha256] as const] : []),
    ...capabilities.map(({ ref, sha256 }) => [`capability:${ref}`, sha256] as const),
    ...env.map(({ ref, sha256 }) => [`env:${ref}`, sha256] as const),
  ];
}
