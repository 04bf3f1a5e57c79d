/** The Run spec as users write it (design §4). */
import Type, { type Static } from 'typebox';
import { closed } from './fragments.ts';
import { ID_PATTERN } from './ids.ts';
import { Duration, PipelineSpec } from './pipeline.ts';
import { policyFields } from './policy.ts';
import { Workspace } from './workspace.ts';

export const ITEMS_MAX = 100_000;
/** Bytes of one submitted file. */
export const SPEC_BYTES_MAX = 256 * 2 ** 20;
export const LOCK_PATTERN = '^[^\\u0000-\\u001f\\u007f]{1,512}$';
export const NEED_KEY_PATTERN = '^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$';
export const LABEL_KEY_PATTERN = '^[A-Za-z0-9]([A-Za-z0-9._/-]{0,251}[A-Za-z0-9])?$';

const Id = Type.String({ pattern: ID_PATTERN, description: 'Letters, digits and ._@:~+-, at most 200, never `..`.' });
export const Labels = Type.Record(Type.String({ pattern: LABEL_KEY_PATTERN }), Type.String({ maxLength: 256 }), closed);

export const Select = Type.Union([
  Type.Object({ kind: Type.Literal('patch') }, closed),
  Type.Object(
    {
      kind: Type.Literal('output'),
      path: Type.String({ minLength: 1, maxLength: 1024, description: 'Relative to outputs/.' }),
    },
    closed,
  ),
]);
export type Select = Static<typeof Select>;

export const Need = Type.Object(
  { from: Id, select: Select },
  { ...closed, description: 'A product of another item, laid out as inputs/<key>.' },
);
export type Need = Static<typeof Need>;

const OneOf = Type.Object(
  { oneOf: Type.Array(Need, { minItems: 2, maxItems: 20 }) },
  { ...closed, description: 'The first of these that is done, in this order.' },
);

const Dependency = Type.Union([
  Id,
  Type.Object(
    {
      item: Id,
      when: Type.Union([Type.Literal('done'), Type.Literal('failed'), Type.Literal('always')], {
        description: 'How that item has to end. done is the default.',
      }),
    },
    closed,
  ),
]);

const Lock = Type.Union([
  Type.String({ pattern: LOCK_PATTERN }),
  Type.Object(
    {
      key: Type.String({ pattern: LOCK_PATTERN }),
      mode: Type.Union([Type.Literal('exclusive'), Type.Literal('shared')]),
      limit: Type.Optional(
        Type.Integer({ minimum: 1, maximum: 100_000, description: 'Items that may share it; no limit by default.' }),
      ),
    },
    closed,
  ),
]);

const References = (description: string) =>
  Type.Array(Type.String({ pattern: ID_PATTERN }), { maxItems: 100, description });

const itemFields = {
  executor: Type.Optional(Type.Literal('dispatch')),
  pipeline: Type.Optional(
    Type.Union([Id, PipelineSpec], { description: 'A registered pipeline by name, or one written here.' }),
  ),
  subagent: Type.Optional(
    Type.String({ pattern: ID_PATTERN, description: 'A registered subagent; it needs no pipeline of its own.' }),
  ),
  subagentShape: Type.Optional(
    Type.String({
      pattern: ID_PATTERN,
      description: 'A registered shape: what the item takes and yields, and what it runs.',
    }),
  ),
  env: Type.Optional(References('Registered env bundles, besides those of the subagent; later ones win.')),
  capabilities: Type.Optional(References('Registered capabilities, instead of those of the subagent.')),
  addCapabilities: Type.Optional(References('Registered capabilities, besides those.')),
  workspace: Type.Optional(Workspace),
  ...policyFields,
};

/** What an item has beside its id and what it waits for. */
export const templateFields = {
  ...itemFields,
  inputs: Type.Optional(
    Type.Record(Type.String(), Type.Unknown(), { description: 'JSON for the blocks: .pangolin/inputs.json.' }),
  ),
  resourceLocks: Type.Optional(Type.Array(Lock, { maxItems: 100 })),
  labels: Type.Optional(Labels),
};

export const Item = Type.Object(
  {
    id: Id,
    ...templateFields,
    role: Type.Optional(
      Type.String({
        pattern: ID_PATTERN,
        description: 'What the pattern of the queue takes it for: a gate, a splitter.',
      }),
    ),
    executor: Type.Optional(
      Type.Union([Type.Literal('dispatch'), Type.Literal('approval')], {
        description: 'dispatch (the default) runs the pipeline; approval waits for a person and runs nothing.',
      }),
    ),
    approval: Type.Optional(
      Type.Object(
        {
          timeout: Type.Optional(Duration),
          onTimeout: Type.Optional(Type.Union([Type.Literal('approve'), Type.Literal('reject')])),
        },
        { ...closed, description: 'Of `executor: approval`. When nobody decides in time it is rejected by default.' },
      ),
    ),
    needsInput: Type.Optional(
      Type.Object(
        {
          timeout: Type.Optional(Duration),
          onTimeout: Type.Optional(Type.Union([Type.Literal('fail'), Type.Literal('continue')])),
        },
        {
          ...closed,
          description:
            'When a block asks something. Without an answer in time it fails by default; or goes on without.',
        },
      ),
    ),
    onExit: Type.Optional(
      Type.Boolean({ description: 'Runs when every other item of the run has ended, whatever happened.' }),
    ),
    needs: Type.Optional(Type.Record(Type.String({ pattern: NEED_KEY_PATTERN }), Type.Union([Need, OneOf]), closed)),
    depends_on: Type.Optional(Type.Array(Dependency, { maxItems: ITEMS_MAX })),
  },
  { ...closed, description: 'One node of the Run.' },
);
export type Item = Static<typeof Item>;

export const RunSpec = Type.Object(
  {
    queue: Type.Optional(Id),
    openEnded: Type.Optional(Type.Boolean({ description: 'Takes extensions until it is closed.' })),
    timeout: Type.Optional(Duration),
    workspace: Type.Optional(Workspace),
    defaults: Type.Optional(
      Type.Object(itemFields, { ...closed, description: 'Used by every item that does not say otherwise.' }),
    ),
    items: Type.Array(Item, { minItems: 1, maxItems: ITEMS_MAX }),
  },
  closed,
);

export type RunSpec = Static<typeof RunSpec>;

/** The Kubernetes envelope. */
export const Run = Type.Object(
  {
    apiVersion: Type.Literal('pangolin.dev/v1'),
    kind: Type.Literal('Run'),
    metadata: Type.Object({ name: Id, labels: Type.Optional(Labels) }, closed),
    spec: RunSpec,
  },
  { ...closed, title: 'Pangolin Run', $id: 'https://pangolin.dev/schema/run.v1.schema.json' },
);
export type Run = Static<typeof Run>;

/** The bare `plan.json` of the reference. */
export const Plan = Type.Object(
  { id: Id, ...RunSpec.properties, labels: Type.Optional(Labels) },
  { ...closed, title: 'Pangolin plan' },
);
export type Plan = Static<typeof Plan>;

export const DEFAULTS = {
  queue: 'default',
  timeoutMs: 60 * 60_000,
  retry: { maxAttempts: 1, initialMs: 1000, factor: 2, maxMs: 5 * 60_000, jitter: true },
  priority: 0,
  /** Of an approval and of a question that name none: nothing waits for ever. */
  decisionTimeoutMs: 7 * 24 * 60 * 60_000,
} as const;
