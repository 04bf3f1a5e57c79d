/** Execution patterns of queues: how their runs are wired, and what is appended to them when an item ends. */
import Type, { type Static } from 'typebox';
import { ID_PATTERN } from './ids.ts';
import type { AdmittedItem } from './admitted-run.ts';
import { NEED_KEY_PATTERN, Select, templateFields } from './run.ts';

const closed = { additionalProperties: false } as const;

/** Attempts of a gate's fix and rounds of a proposal. */
export const CIRCLES_MAX = 10;
export const REVIEWERS_MAX = 20;
/** Splits within each other. */
export const NESTING_MAX = 10;

const Role = Type.String({ pattern: ID_PATTERN });
const by = <T extends Type.TSchema>(what: T, description: string): Type.TRecord<string, T> =>
  Type.Record(Type.String({ pattern: ID_PATTERN }), what, { ...closed, minProperties: 1, description });

/** A template that takes products of the items it is about, by what they are to it. */
const TemplateOf = <const W extends readonly string[]>(...words: W) =>
  Type.Object(
    {
      ...templateFields,
      needs: Type.Optional(
        Type.Record(
          Type.String({ pattern: NEED_KEY_PATTERN }),
          Type.Object(
            { from: Type.Union(words.map((word) => Type.Literal(word)) as [Type.TLiteral<W[number]>]), select: Select },
            closed,
          ),
          { ...closed, description: `Products as inputs/<key>, from: ${words.join(' or ')}.` },
        ),
      ),
    },
    {
      ...closed,
      description: 'An item without id and dependencies. What it leaves open comes from the defaults of the run.',
    },
  );

const Gate = Type.Union([
  Type.Object(
    { onRed: Type.Literal('advance') },
    { ...closed, description: 'Whatever the gate says, the chain goes on.' },
  ),
  Type.Object(
    {
      onRed: Type.Literal('spawn-fix'),
      fix: TemplateOf('gate'),
      replaces: Type.Optional(
        Type.String({
          pattern: NEED_KEY_PATTERN,
          description: 'The need of the gate that a fix makes anew: later items get it from the last fix.',
        }),
      ),
      attempts: Type.Integer({ minimum: 1, maximum: CIRCLES_MAX, description: 'Fixes, each with another check.' }),
    },
    closed,
  ),
]);

const Split = Type.Object(
  {
    outputs: Type.Optional(
      Type.String({ minLength: 1, maxLength: 1024, description: 'Only files under outputs/ that begin with this.' }),
    ),
    map: Type.Object(
      { ...templateFields, role: Type.Optional(Role) },
      { ...closed, description: 'One item for each output of the splitter, which is its inputs/part.' },
    ),
    product: Select,
    reduce: Type.Object(templateFields, {
      ...closed,
      description: 'One item that gets `product` of every map item as inputs/part-00001 and so on.',
    }),
  },
  closed,
);

const Quorum = Type.Object(
  {
    reviewers: Type.Array(TemplateOf('proposal'), { minItems: 1, maxItems: REVIEWERS_MAX }),
    approve: Type.Integer({ minimum: 1, maximum: REVIEWERS_MAX, description: 'Reviewers that have to approve.' }),
    commit: TemplateOf('proposal', 'reviews'),
    revise: Type.Optional(TemplateOf('proposal', 'reviews')),
    rounds: Type.Optional(
      Type.Integer({ minimum: 1, maximum: CIRCLES_MAX, description: 'Revisions at most. Default 1.' }),
    ),
  },
  closed,
);

export const Pattern = Type.Union(
  [
    Type.Literal('static-dag'),
    Type.Object(
      { pipeline: Type.Object({ gates: Type.Optional(by(Gate, 'Gates by the `role` of their items.')) }, closed) },
      closed,
    ),
    Type.Object({ 'map-reduce': by(Split, 'Splits by the `role` of their splitters.') }, closed),
    Type.Object({ quorum: by(Quorum, 'Reviews by the `role` of the proposals.') }, closed),
  ],
  { description: 'How runs of the queue grow. static-dag, the default: they do not.' },
);
export type Pattern = Static<typeof Pattern>;

/* ---- What admission makes of it: pinned, and sealed with the run. ---- */

/** An item that is still without an id; `needs` says what its sources are to it. */
export type AdmittedTemplate = Omit<AdmittedItem, 'id' | 'depends_on' | 'needs'> & {
  readonly needs?: Readonly<Record<string, { readonly from: string; readonly select: Select }>>;
};

export type AdmittedGate =
  | { readonly onRed: 'advance' }
  | {
      readonly onRed: 'spawn-fix';
      readonly fix: AdmittedTemplate;
      readonly replaces?: string;
      readonly attempts: number;
    };

export interface AdmittedSplit {
  readonly outputs?: string;
  readonly map: AdmittedTemplate;
  readonly product: Select;
  readonly reduce: AdmittedTemplate;
}

export interface AdmittedQuorum {
  readonly reviewers: readonly AdmittedTemplate[];
  readonly approve: number;
  readonly commit: AdmittedTemplate;
  readonly revise?: AdmittedTemplate;
  readonly rounds: number;
}

export type AdmittedPattern =
  | {
      readonly kind: 'pipeline';
      readonly gates: Readonly<Record<string, AdmittedGate>>;
      /** The items behind the first gate that may circle back, and that gate: they join the run when it is green. */
      readonly rest: readonly AdmittedItem[];
      readonly gate?: string;
    }
  | { readonly kind: 'map-reduce'; readonly splits: Readonly<Record<string, AdmittedSplit>> }
  | { readonly kind: 'quorum'; readonly quorums: Readonly<Record<string, AdmittedQuorum>> };

/** What an appended item is to another one. */
export interface Spawn {
  /** The splitter, the gate or the first proposal. */
  readonly of: string;
  readonly as: 'map' | 'reduce' | 'fix' | 'check' | 'review' | 'commit' | 'revise';
  /** From 1. */
  readonly n: number;
}
