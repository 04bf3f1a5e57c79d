/** Items for an open-ended run as users declare them (`kind: Extension`). */
import Type, { type Static } from 'typebox';
import { ID_PATTERN } from './ids.ts';
import { RunSpec } from './run.ts';

const closed = { additionalProperties: false } as const;
const { workspace, defaults, items } = RunSpec.properties;

export const ExtensionFile = Type.Object(
  {
    apiVersion: Type.Literal('pangolin.dev/v1'),
    kind: Type.Literal('Extension'),
    spec: Type.Object(
      {
        run: Type.String({ pattern: ID_PATTERN, description: 'The id of an open-ended run.' }),
        workspace,
        defaults,
        items,
      },
      { ...closed, description: 'Nothing is taken over from the run: `workspace` and `defaults` are of these items.' },
    ),
  },
  { ...closed, title: 'Pangolin Extension', $id: 'https://pangolin.dev/schema/extension.v1.schema.json' },
);
export type ExtensionFile = Static<typeof ExtensionFile>;
