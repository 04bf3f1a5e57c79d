/** `control/<uuid>.json`: what an operator asks of the controller. */
import Type, { type Static } from 'typebox';
import { closed } from './fragments.ts';
import { ID_PATTERN } from './ids.ts';
import { ANSWER_CHARS_MAX } from './limits.ts';
import { ACTOR_PATTERN } from './submission.ts';

const Id = Type.String({ pattern: ID_PATTERN });

export const Control = Type.Object(
  {
    schema: Type.Literal('control/1'),
    verb: Type.Union(
      [
        Type.Literal('cancel'),
        Type.Literal('retry'),
        Type.Literal('pause'),
        Type.Literal('resume'),
        Type.Literal('approve'),
        Type.Literal('reject'),
        Type.Literal('answer'),
        Type.Literal('close'),
        Type.Literal('trigger'),
        Type.Literal('remove'),
      ],
      {
        description:
          'pause and resume take a run, a queue or a schedule, approve, reject and answer an item; close ends an open-ended run; trigger and remove take a schedule.',
      },
    ),
    run: Type.Optional(Id),
    /** Only this item; for retry, it and its descendants. */
    item: Type.Optional(Id),
    /** pause and resume: every run of this queue. */
    queue: Type.Optional(Id),
    /** pause, resume, trigger, remove: this schedule. */
    schedule: Type.Optional(Id),
    /** retry: the id of the new run. */
    as: Type.Optional(Id),
    /** `human:NAME`, `agent:NAME` or `service:NAME`. */
    actor: Type.String({ pattern: ACTOR_PATTERN }),
    reason: Type.Optional(Type.String({ maxLength: 4096 })),
    /** answer: what the item is told. */
    answer: Type.Optional(Type.String({ maxLength: ANSWER_CHARS_MAX })),
  },
  closed,
);
export type Control = Static<typeof Control>;
