/** What the controller publishes for readers: receipts, the run's status and its items. */
import Type, { type Static } from 'typebox';
import { closed, EveryKey, Hex, OneOf, ProductRef, ReasonName, Size, Time, type Frozen } from './fragments.ts';
import { phases, type Phase } from './reasons.ts';

const PhaseName = OneOf(...phases);

export const Problem = Type.Object(
  {
    file: Type.Optional(Type.String()),
    line: Type.Optional(Type.Integer({ minimum: 1, description: 'With column, whenever the text has a place.' })),
    column: Type.Optional(Type.Integer({ minimum: 1 })),
    path: Type.String({ description: 'RFC 6901 pointer into the document, empty for the document itself.' }),
    code: Type.String({ pattern: '^[A-Z][A-Za-z0-9]*$', description: 'E.g. UnknownField, DuplicateKey, Cycle.' }),
    message: Type.String(),
    hint: Type.Optional(Type.String()),
  },
  { ...closed, description: 'One problem in a submitted file.' },
);
export type Problem = Frozen<Static<typeof Problem>>;

/** `receipts/<submission>.json`: every dropped file, good or bad, gets one. */
export const Receipt = Type.Object(
  {
    schema: Type.Literal('receipt/1'),
    submission: Type.String({ description: 'File name under inbox/ or control/.' }),
    sha256: Hex,
    at: Time,
    verdict: OneOf('accepted', 'rejected'),
    kind: OneOf('Run', 'Queue', 'Schedule', 'Extension', 'Control', 'unknown'),
    run: Type.Optional(Type.String()),
    duplicate: Type.Optional(
      Type.Boolean({ description: 'The same spec under the same id was admitted before; nothing changed.' }),
    ),
    actor: Type.String(),
    errors: Type.Array(Problem),
  },
  closed,
);
export type Receipt = Frozen<Static<typeof Receipt>>;

const RunPhase = OneOf('running', 'succeeded', 'failed', 'cancelled');
export type RunPhase = Static<typeof RunPhase>;

const Condition = Type.Object(
  {
    type: OneOf('Admitted', 'Completed', 'Sealed'),
    status: OneOf('True', 'False'),
    reason: Type.String(),
    message: Type.String(),
    lastTransitionTime: Time,
  },
  closed,
);
export type Condition = Frozen<Static<typeof Condition>>;

/** `runs/<run>/status.json`. */
export const RunStatus = Type.Object(
  {
    schema: Type.Literal('status/1'),
    run: Type.String(),
    phase: RunPhase,
    queue: Type.String(),
    labels: EveryKey(Type.String()),
    actor: Type.String(),
    submittedAt: Time,
    finishedAt: Type.Optional(Time),
    sealedAt: Type.Optional(Time),
    /** Every phase that has items, and `total`. */
    counts: Type.Unsafe<Partial<Record<Phase, number>> & { total: number }>(
      Type.Object({ total: Size, ...Object.fromEntries(phases.map((phase) => [phase, Type.Optional(Size)])) }, closed),
    ),
    paused: Type.Optional(
      Type.Unsafe<'run' | 'queue'>({
        ...OneOf('run', 'queue'),
        description: 'What is paused, so that nothing more of it starts.',
      }),
    ),
    conditions: Type.Array(Condition),
    failed: Type.Array(
      Type.Object({ id: Type.String(), phase: PhaseName, reason: ReasonName, message: Type.String() }, closed),
      { description: 'The first items that did not succeed.' },
    ),
    updatedAt: Time,
  },
  closed,
);
export type RunStatus = Frozen<Static<typeof RunStatus>>;

/** One line of `runs/<run>/items.ndjson`, in the order of the spec. */
export const ItemStatus = Type.Object(
  {
    id: Type.String(),
    phase: PhaseName,
    reason: ReasonName,
    message: Type.Optional(Type.String()),
    attempts: Type.Integer({ minimum: 0, description: 'How many attempts were started.' }),
    depends_on: Type.Optional(Type.Array(Type.String())),
    startedAt: Type.Optional(Time),
    finishedAt: Type.Optional(Time),
    durationMs: Type.Optional(Size),
    retryAt: Type.Optional(Time),
    /** What it asks, while it waits for input; `attempt` asks it. */
    asks: Type.Optional(
      Type.Object(
        {
          question: Type.String(),
          options: Type.Optional(Type.Array(Type.String())),
          context: Type.Optional(Type.Unknown()),
          deadline: Type.Optional(Time),
        },
        closed,
      ),
    ),
    partial: Type.Optional(Type.Boolean()),
    result: Type.Optional(
      Type.String({ pattern: '^[0-9a-f]{64}$', description: 'Of the output.json that was accepted; cas/ has it.' }),
    ),
    egress: Type.Optional(
      Type.String({ pattern: '^[0-9a-f]{64}$', description: 'Of the egress log of the last attempt; cas/ has it.' }),
    ),
    patch: Type.Optional(ProductRef),
    outputs: Type.Optional(EveryKey(ProductRef)),
  },
  closed,
);
export type ItemStatus = Frozen<Static<typeof ItemStatus>>;
