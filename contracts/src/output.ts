/** What a worker writes into its attempt prefix. Untrusted: the controller checks every digest (law 4). */
import Type, { type Static, type TSchema } from 'typebox';
import { reasons, type Reason } from './reasons.ts';

export {
  OUTPUT_BYTES_MAX,
  OUTPUT_DEPTH_MAX,
  OUTPUT_FILES_MAX,
  OUTPUT_JSON_BYTES_MAX,
  OUTPUT_PATH_BYTES_MAX,
  PATCH_BYTES_MAX,
} from './limits.ts';

const closed = { additionalProperties: false } as const;
const Hex = Type.String({ pattern: '^[0-9a-f]{64}$' });
const Size = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });
const Time = Type.String({ pattern: '^\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d\\.\\d{3}Z$' });
const ReasonName = Type.Unsafe<Reason>(Type.String({ enum: Object.keys(reasons) }));
/** A map whose every value is checked. `Type.Record(Type.String(), …)` skips keys that hold a line end. */
const EveryKey = <T extends TSchema>(value: T) =>
  Type.Unsafe<Record<string, Static<T>>>(Type.Object({}, { additionalProperties: value }));
const ProductRef = Type.Object({ sha256: Hex, size: Size }, closed);
export type ProductRef = Static<typeof ProductRef>;

/** `boot.json`, created exclusively: of two workers of one attempt the second one stops here. */
export const Boot = Type.Object(
  {
    schema: Type.Literal('boot/1'),
    runId: Type.String(),
    itemId: Type.String(),
    attempt: Type.Integer({ minimum: 1 }),
    manifest: Type.Optional(Hex),
    worker: Type.Object({ version: Type.String(), node: Type.String(), git: Type.String() }, closed),
    at: Time,
  },
  closed,
);
export type Boot = Static<typeof Boot>;

export const BlockResult = Type.Object(
  {
    index: Type.Integer({ minimum: 0 }),
    id: Type.Optional(Type.String()),
    kind: Type.String(),
    lens: Type.Optional(Type.Union([Type.Literal('gate'), Type.Literal('verify')])),
    status: Type.Union([Type.Literal('succeeded'), Type.Literal('failed'), Type.Literal('skipped')]),
    exitCode: Type.Optional(Type.Integer()),
    signal: Type.Optional(Type.String()),
    reason: Type.Optional(ReasonName),
    startedAt: Type.Optional(Time),
    durationMs: Type.Optional(Type.Integer({ minimum: 0 })),
  },
  closed,
);
export type BlockResult = Static<typeof BlockResult>;

/** `output.json`, the sentinel, written last. */
export const Output = Type.Object(
  {
    schema: Type.Literal('output/1'),
    runId: Type.String(),
    itemId: Type.String(),
    attempt: Type.Integer({ minimum: 1 }),
    manifest: Type.Optional(Hex),
    status: Type.Union([Type.Literal('succeeded'), Type.Literal('failed')]),
    /** Why it failed. Absent on success. */
    reason: Type.Optional(ReasonName),
    message: Type.Optional(Type.String({ maxLength: 4096 })),
    /** true: the attempt was cut short and its products are what existed then. */
    partial: Type.Boolean(),
    startedAt: Time,
    finishedAt: Time,
    blocks: Type.Array(BlockResult, { maxItems: 100 }),
    products: Type.Object(
      {
        patch: Type.Optional(Type.Object({ sha256: Hex, size: Size, files: Size, baseTree: Type.String() }, closed)),
        /** Path relative to outputs/ → its bytes. */
        outputs: EveryKey(ProductRef),
      },
      closed,
    ),
    logs: Type.Array(Type.Object({ file: Type.String(), sha256: Hex, size: Size }, closed), { maxItems: 100_000 }),
    /** `.pangolin/output.json` of the workspace, as the blocks wrote it: asserted by them, checked by nobody. */
    asserted: Type.Optional(
      Type.Object(
        { summary: Type.Optional(Type.String({ maxLength: 65_536 })), output: Type.Optional(Type.Unknown()) },
        closed,
      ),
    ),
  },
  closed,
);
export type Output = Static<typeof Output>;

/** One line of `log/<seq>.ndjson`: what a block printed, or what the worker says about itself. */
export interface LogLine {
  /** RFC 3339. */
  readonly t: string;
  /** Index of the block; absent for the worker's own lines. */
  readonly block?: number;
  readonly stream: 'stdout' | 'stderr' | 'worker';
  /** Without its line end. Bytes that are not UTF-8 are replaced by U+FFFD. */
  readonly line: string;
}
