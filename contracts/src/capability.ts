/** A capability: files that are laid over the workspace before the blocks run, and are no part of the patch. */
import Type, { type Static } from 'typebox';
import { closed } from './fragments.ts';
import { ID_PATTERN } from './ids.ts';
import { CAPABILITY_BYTES_MAX } from './limits.ts';

const File = Type.Object(
  {
    mode: Type.Optional(Type.Union([Type.Literal('0644'), Type.Literal('0755')], { description: 'Default 0644.' })),
    text: Type.Optional(Type.String({ maxLength: CAPABILITY_BYTES_MAX })),
    base64: Type.Optional(
      Type.String({ maxLength: 2 * CAPABILITY_BYTES_MAX, description: 'For bytes that are no text.' }),
    ),
  },
  closed,
);

export const Capability = Type.Object(
  {
    description: Type.Optional(Type.String({ maxLength: 4096 })),
    files: Type.Unsafe<Record<string, Static<typeof File>>>(
      Type.Object({}, { additionalProperties: File, description: 'Path in the workspace → file.' }),
    ),
  },
  { ...closed, description: 'Files for the workspace: tools, skills, instructions.' },
);
export type Capability = Static<typeof Capability>;

/** A registered capability as a file: `pangolin capability register FILE`. */
export const CapabilityFile = Type.Object(
  {
    apiVersion: Type.Literal('pangolin.dev/v1'),
    kind: Type.Literal('Capability'),
    metadata: Type.Object({ name: Type.String({ pattern: ID_PATTERN }) }, closed),
    spec: Capability,
  },
  closed,
);
