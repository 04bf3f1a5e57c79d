/** An env bundle: environment values and references to secrets, and which blocks of an item get them. */
import Type, { type Static } from 'typebox';
import { closed } from './fragments.ts';
import { ID_PATTERN } from './ids.ts';
import { ENV_NAME_PATTERN } from './pipeline.ts';

const Name = Type.String({ pattern: ENV_NAME_PATTERN });

export const EnvBundle = Type.Object(
  {
    description: Type.Optional(Type.String({ maxLength: 4096 })),
    blocks: Type.Optional(
      Type.Array(Type.Union([Type.Literal('agent'), Type.Literal('script')]), {
        minItems: 1,
        maxItems: 2,
        description: 'The kinds of blocks that get it. Default: agent only.',
      }),
    ),
    values: Type.Optional(
      Type.Record(Name, Type.String({ maxLength: 32_768 }), {
        ...closed,
        description: 'Plain values. One that looks like a credential is refused.',
      }),
    ),
    secrets: Type.Optional(
      Type.Record(
        Name,
        Type.Object(
          { ref: Type.String({ minLength: 1, maxLength: 1024, description: 'Names the secret in the secret store.' }) },
          closed,
        ),
        { ...closed, description: 'Secrets by reference; values are never written down.' },
      ),
    ),
  },
  { ...closed, description: 'Environment that items may be given by name.' },
);
export type EnvBundle = Static<typeof EnvBundle>;

/** A registered env bundle as a file: `pangolin env register FILE`. */
export const EnvBundleFile = Type.Object(
  {
    apiVersion: Type.Literal('pangolin.dev/v1'),
    kind: Type.Literal('EnvBundle'),
    metadata: Type.Object({ name: Type.String({ pattern: ID_PATTERN }) }, closed),
    spec: EnvBundle,
  },
  closed,
);
