/** A block's question to a person (`.pangolin/needs_input.json`), and the answer that the next attempt gets. */
import Type, { type Static } from 'typebox';
import { closed } from './fragments.ts';
import { OPTION_CHARS_MAX, OPTIONS_MAX, QUESTION_CHARS_MAX } from './limits.ts';

/** As the worker read it and put it into output.json: said by a block, bounded by us. */
export const NeedsInput = Type.Object(
  {
    question: Type.String({ minLength: 1, maxLength: QUESTION_CHARS_MAX }),
    options: Type.Optional(
      Type.Array(Type.String({ minLength: 1, maxLength: OPTION_CHARS_MAX }), {
        minItems: 1,
        maxItems: OPTIONS_MAX,
        description: 'The answer is one of them.',
      }),
    ),
    context: Type.Optional(Type.Unknown({ description: 'For the person who answers.' })),
    partial_state: Type.Optional(Type.Unknown({ description: 'Handed to the next attempt as it is.' })),
  },
  closed,
);
export type NeedsInput = Static<typeof NeedsInput>;

/** `.pangolin/answer.json` of the attempts after the question; its digest is `answer` in the log and in their manifests. */
export interface Answer {
  readonly schema: 'answer/1';
  /** The attempt that asked. */
  readonly attempt: number;
  readonly question: string;
  readonly options?: readonly string[];
  readonly partial_state?: unknown;
  /** null: nobody answered in time, and the item goes on all the same. */
  readonly answer: string | null;
}
