/** `control/<uuid>.json`: what an operator asks of the controller. */
import Type, { type Static } from 'typebox';
import { ID_PATTERN } from './ids.ts';
import { ACTOR_PATTERN } from './submission.ts';

const closed = { additionalProperties: false } as const;
const Id = Type.String({ pattern: ID_PATTERN });

export const Control = Type.Object(
  {
    schema: Type.Literal('control/1'),
    verb: Type.Union([Type.Literal('cancel'), Type.Literal('retry')]),
    run: Id,
    /** Only this item; for retry, it and its descendants. */
    item: Type.Optional(Id),
    /** retry: the id of the new run. */
    as: Type.Optional(Id),
    /** `human:NAME`, `agent:NAME` or `service:NAME`. */
    actor: Type.String({ pattern: ACTOR_PATTERN }),
    reason: Type.Optional(Type.String({ maxLength: 4096 })),
  },
  closed,
);
export type Control = Static<typeof Control>;
