/** A shape: the interface of an item (what it takes, what it yields, what it may touch), and what runs behind it. */
import Type, { type Static } from 'typebox';
import { closed, EveryKey } from './fragments.ts';
import { ID_PATTERN } from './ids.ts';
import type { JsonSchema } from './json-schema.ts';
import { PipelineSpec } from './pipeline.ts';

/** `pack/what`, such as `dev/patch`. Two are the same type when they are the same text. */
export const EDGE_TYPE_PATTERN = '^[a-z0-9][a-z0-9.-]{0,63}/[a-z0-9][a-z0-9.-]{0,63}$';
/** The name of an input; with `*` behind, every input whose name begins so. */
export const NEED_NAME_PATTERN = '^[A-Za-z0-9][A-Za-z0-9._-]{0,98}\\*?$';

const EdgeType = Type.String({ pattern: EDGE_TYPE_PATTERN, description: 'What it is, such as `dev/patch`.' });
const Schema = (description: string) =>
  Type.Unsafe<JsonSchema>(
    Type.Object({}, { description: `${description} JSON Schema 2020-12, nothing outside of it.` }),
  );

export const Shape = Type.Object(
  {
    description: Type.Optional(Type.String({ maxLength: 4096 })),
    effects: Type.Union([Type.Literal('pure'), Type.Literal('read-impure'), Type.Literal('write-impure')], {
      description:
        'pure: a function of its inputs, without network. read-impure: reads from outside, changes nothing there. write-impure: may ask for changes outside (`intents`).',
    }),
    inputs: Type.Optional(Schema('Of the item’s `inputs`.')),
    output: Type.Optional(Schema('Of `output` in `.pangolin/output.json`, which then has to be there.')),
    needs: Type.Optional(
      Type.Record(
        Type.String({ pattern: NEED_NAME_PATTERN }),
        Type.Object({ type: EdgeType, optional: Type.Optional(Type.Boolean()) }, closed),
        {
          ...closed,
          description: 'Products that it takes, by the key of `needs`; `part-*` stands for all that begin so.',
        },
      ),
    ),
    products: Type.Optional(
      Type.Object(
        {
          patch: Type.Optional(EdgeType),
          outputs: Type.Optional(EveryKey(EdgeType)),
        },
        {
          ...closed,
          description:
            'Types of what it yields: the patch, and outputs by path; `parts/*` stands for all that begin so.',
        },
      ),
    ),
    pipeline: Type.Optional(
      Type.Union([Type.String({ pattern: ID_PATTERN }), PipelineSpec], {
        description: 'What an item of the shape runs that has no pipeline of its own.',
      }),
    ),
    subagent: Type.Optional(
      Type.String({ pattern: ID_PATTERN, description: 'The agent of an item that names no other one.' }),
    ),
    capabilities: Type.Optional(Type.Array(Type.String({ pattern: ID_PATTERN }), { maxItems: 100 })),
  },
  { ...closed, description: 'What items that name it take and yield, and what they run.' },
);
export type Shape = Static<typeof Shape>;

/** A registered shape as a file: `pangolin shape register FILE`. */
export const ShapeFile = Type.Object(
  {
    apiVersion: Type.Literal('pangolin.dev/v1'),
    kind: Type.Literal('Shape'),
    metadata: Type.Object({ name: Type.String({ pattern: ID_PATTERN, description: 'pack.name' }) }, closed),
    spec: Shape,
  },
  closed,
);
