/** The block pipeline a worker runs. One schema gives the type, the validation and the published JSON Schema. */
import Type, { type Static } from 'typebox';
import { closed } from './fragments.ts';
import { ID_PATTERN } from './ids.ts';
import { BLOCKS_MAX, COMMAND_BYTES_MAX } from './limits.ts';
import { SECRET_REF_PATTERN } from './secrets.ts';
import { DURATION_PATTERN } from './units.ts';

export const ENV_NAME_PATTERN = '^[A-Za-z_][A-Za-z0-9_]{0,127}$';

export const Duration = Type.String({
  pattern: DURATION_PATTERN,
  description: 'A duration such as 90s, 15m or 1h30m.',
});

export const Command = Type.Union(
  [
    Type.String({ minLength: 1, maxLength: COMMAND_BYTES_MAX }),
    Type.Array(Type.String({ maxLength: COMMAND_BYTES_MAX }), { minItems: 1, maxItems: 1000 }),
  ],
  { description: 'A line for /bin/sh -c, or the program and its arguments as a list.' },
);

export const AgentBlock = Type.Object(
  {
    kind: Type.Literal('agent'),
    id: Type.Optional(Type.String({ pattern: ID_PATTERN, description: 'Names the block in logs and evidence.' })),
    timeout: Type.Optional(Duration),
  },
  { ...closed, description: 'Runs the subagent of the item in the workspace.' },
);
export type AgentBlock = Static<typeof AgentBlock>;

export const SecretGrants = Type.Record(
  Type.String({ pattern: ENV_NAME_PATTERN }),
  Type.Object(
    {
      ref: Type.String({ pattern: SECRET_REF_PATTERN, description: 'Names the secret in the secret store.' }),
      as: Type.Optional(
        Type.Union([Type.Literal('env'), Type.Literal('file')], {
          description: 'env (the default): the variable holds the value. file: it holds the path of a file in memory.',
        }),
      ),
    },
    closed,
  ),
  { ...closed, description: 'Secrets of this block alone, by reference. Values are never written down.' },
);
export type SecretGrants = Static<typeof SecretGrants>;

export const ScriptBlock = Type.Object(
  {
    kind: Type.Literal('script'),
    id: Type.Optional(Type.String({ pattern: ID_PATTERN, description: 'Names the block in logs and evidence.' })),
    command: Command,
    lens: Type.Optional(
      Type.Union([Type.Literal('gate'), Type.Literal('verify')], {
        description: 'gate (the default): a non-zero exit fails the attempt. verify: it is only reported.',
      }),
    ),
    timeout: Type.Optional(Duration),
    env: Type.Optional(
      Type.Record(Type.String({ pattern: ENV_NAME_PATTERN }), Type.String({ maxLength: 32_768 }), {
        ...closed,
        description: 'Plain environment values of this block. Secrets are never written here.',
      }),
    ),
    secrets: Type.Optional(SecretGrants),
  },
  { ...closed, description: 'Runs a command in the workspace.' },
);
export type ScriptBlock = Static<typeof ScriptBlock>;

export const CaptureBlock = Type.Object(
  {
    kind: Type.Literal('capture'),
    id: Type.Optional(Type.String({ pattern: ID_PATTERN })),
    what: Type.Union([Type.Literal('patch'), Type.Literal('outputs')], {
      description: 'patch: the workspace against its baseline. outputs: the files under outputs/.',
    }),
    required: Type.Optional(
      Type.Boolean({ description: 'true: an empty product fails the attempt with ProductMissing.' }),
    ),
  },
  { ...closed, description: 'Fixes a product at this point of the pipeline, after every block process is dead.' },
);
export type CaptureBlock = Static<typeof CaptureBlock>;

export const Block = Type.Union([AgentBlock, ScriptBlock, CaptureBlock]);
export type Block = Static<typeof Block>;

export const PipelineSpec = Type.Object(
  {
    description: Type.Optional(Type.String({ maxLength: 4096 })),
    blocks: Type.Array(Block, { minItems: 1, maxItems: BLOCKS_MAX }),
  },
  { ...closed, description: 'The typed steps of a worker. `seal` always comes last and is never authored.' },
);
export type PipelineSpec = Static<typeof PipelineSpec>;

/** A registered pipeline as a file: `pangolin pipeline register FILE`. */
export const PipelineFile = Type.Object(
  {
    apiVersion: Type.Literal('pangolin.dev/v1'),
    kind: Type.Literal('Pipeline'),
    metadata: Type.Object({ name: Type.String({ pattern: ID_PATTERN, description: 'pack.name' }) }, closed),
    spec: PipelineSpec,
  },
  closed,
);
export type PipelineFile = Static<typeof PipelineFile>;
