/** `.pangolin/output.json`: what the blocks of an attempt say about their own work, for programs and people that go on from it. */
import Type, { type Static } from 'typebox';
import { Anything, closed } from './fragments.ts';
import { ID_PATTERN } from './ids.ts';
import { INTENTS_MAX, SIGNALS_MAX, SUMMARY_CHARS_MAX } from './limits.ts';

const Name = Type.String({ pattern: ID_PATTERN });

const Intent = Type.Object(
  {
    kind: Type.String({ pattern: ID_PATTERN, description: 'What is wanted, for example `dev.open-pr`.' }),
    summary: Type.Optional(Type.String({ maxLength: SUMMARY_CHARS_MAX })),
    params: Type.Optional(Anything),
  },
  {
    ...closed,
    description:
      'An effect outside of the task that the blocks ask for and do not have themselves. Nothing here acts on it.',
  },
);

const Signal = Type.Object(
  {
    name: Name,
    value: Type.Optional(Type.Unknown()),
    message: Type.Optional(Type.String({ maxLength: SUMMARY_CHARS_MAX })),
  },
  { ...closed, description: 'A named fact about the work, for whoever watches.' },
);

export const BlockOutput = Type.Object(
  {
    summary: Type.Optional(Type.String({ maxLength: SUMMARY_CHARS_MAX, description: 'For people.' })),
    output: Type.Optional(
      Type.Unknown({ description: 'For programs: what the `output` schema of the shape describes.' }),
    ),
    intents: Type.Optional(Type.Array(Intent, { maxItems: INTENTS_MAX })),
    signals: Type.Optional(Type.Array(Signal, { maxItems: SIGNALS_MAX })),
  },
  closed,
);
export type BlockOutput = Static<typeof BlockOutput>;
