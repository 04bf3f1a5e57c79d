/** What a worker writes into its attempt prefix. Untrusted: the controller checks every digest (law 4). */
import Type, { type Static } from 'typebox';
import { BlockOutput } from './block-output.ts';
import { NeedsInput } from './needs-input.ts';
import { closed, EveryKey, Hex, OneOf, ProductRef, ReasonName, Size, Time, type Frozen } from './fragments.ts';

export type { ProductRef } from './fragments.ts';
export {
  OUTPUT_BYTES_MAX,
  OUTPUT_DEPTH_MAX,
  OUTPUT_FILES_MAX,
  OUTPUT_JSON_BYTES_MAX,
  OUTPUT_PATH_BYTES_MAX,
  PATCH_BYTES_MAX,
} from './limits.ts';

/** `boot.json`, created exclusively: of two workers of one attempt the second one stops here. */
export const Boot = Type.Object(
  {
    schema: Type.Literal('boot/1'),
    runId: Type.String(),
    itemId: Type.String(),
    attempt: Type.Integer({ minimum: 1 }),
    manifest: Type.Optional(Hex),
    /** Tells two workers of one attempt apart. */
    nonce: Type.Optional(Type.String({ pattern: '^[0-9a-f]{32}$' })),
    worker: Type.Object({ version: Type.String(), node: Type.String(), git: Type.String() }, closed),
    at: Time,
  },
  closed,
);
export type Boot = Static<typeof Boot>;

/** What an agent says it used. Asserted by it, checked by nobody. */
export const Usage = Type.Object(
  {
    runtime: Type.String({ maxLength: 100 }),
    /** As the agent names it; of several the one that wrote most. */
    model: Type.Optional(Type.String({ maxLength: 200 })),
    turns: Type.Optional(Size),
    inputTokens: Type.Optional(Size),
    outputTokens: Type.Optional(Size),
    cacheReadTokens: Type.Optional(Size),
    cacheWriteTokens: Type.Optional(Size),
    /** US dollars as a decimal, such as `0.0013`. */
    costUsd: Type.Optional(Type.String({ pattern: '^\\d{1,9}(\\.\\d{1,9})?$' })),
  },
  closed,
);
export type Usage = Static<typeof Usage>;

export const BlockResult = Type.Object(
  {
    index: Type.Integer({ minimum: 0 }),
    id: Type.Optional(Type.String()),
    kind: Type.String(),
    lens: Type.Optional(OneOf('gate', 'verify')),
    status: OneOf('succeeded', 'failed', 'skipped'),
    exitCode: Type.Optional(Type.Integer()),
    signal: Type.Optional(Type.String()),
    reason: Type.Optional(ReasonName),
    startedAt: Type.Optional(Time),
    durationMs: Type.Optional(Type.Integer({ minimum: 0 })),
    /** Of an agent block. */
    usage: Type.Optional(Usage),
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
    /** `needs_input`: the blocks stopped with a question. */
    status: OneOf('succeeded', 'failed', 'needs_input'),
    /** Why it failed. Absent otherwise. */
    reason: Type.Optional(ReasonName),
    message: Type.Optional(Type.String({ maxLength: 4096 })),
    /** Of ModelRateLimited: when the model takes requests again, as far as it said. */
    resetAt: Type.Optional(Time),
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
    /** What a process that was started as blocks are saw before the first of them. Absent where they share the worker's user. */
    sandbox: Type.Optional(
      Type.Object(
        {
          user: Type.Literal('separate', {
            description: 'It was of the user of blocks, and found no way into the worker.',
          }),
          capabilities: Type.Optional(Type.Literal('none')),
          noNewPrivileges: Type.Optional(Type.Literal(true)),
          seccomp: Type.Optional(
            Type.Literal('filter', { description: 'Some filter of system calls; whose is not seen.' }),
          ),
        },
        closed,
      ),
    ),
    logs: Type.Array(Type.Object({ file: Type.String(), sha256: Hex, size: Size }, closed), { maxItems: 100_000 }),
    /** `.pangolin/needs_input.json` of the workspace, when that is the status. */
    needsInput: Type.Optional(NeedsInput),
    /** `.pangolin/output.json` of the workspace, as the blocks wrote it: asserted by them; of an item with a shape, of the shape's form. */
    asserted: Type.Optional(BlockOutput),
  },
  closed,
);
export type Output = Static<typeof Output>;

/** One line of `log/<seq>.ndjson`: what a block printed, or what the worker says about itself. */
export const LogLine = Type.Object(
  {
    t: Time,
    block: Type.Optional(
      Type.Integer({ minimum: 0, description: "Index of the block; absent for the worker's own lines." }),
    ),
    stream: OneOf('stdout', 'stderr', 'worker'),
    line: Type.String({ description: 'Without its line end. Bytes that are not UTF-8 are replaced by U+FFFD.' }),
  },
  closed,
);
export type LogLine = Frozen<Static<typeof LogLine>>;
