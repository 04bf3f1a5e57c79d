/** What a task is given: the dispatch manifest (the predicate of a signed in-toto Statement) and its grants. */
import Type, { type Static } from 'typebox';
import { PAYLOAD_TYPE } from './dsse.ts';
import { Anything, closed, EveryKey, Hex, OneOf, Size, type Frozen } from './fragments.ts';
import { ID_PATTERN } from './ids.ts';
import { Duration, PipelineSpec } from './pipeline.ts';
import { pins } from './admitted-run.ts';
import { Network } from './policy.ts';
import { PinnedWorkspace } from './workspace.ts';

const Id = Type.String({ pattern: ID_PATTERN });
const DigestSet = Type.Object({ sha256: Hex }, closed);

/** Where a consumed product comes from (evidence.md §3.2). `output` is `patch` or `outputs/<path>`. */
export const InputRef = Type.Object(
  {
    sha256: Hex,
    from: Type.Union([Type.Literal('submission'), Type.Object({ itemId: Id, output: Type.String() }, closed)]),
  },
  closed,
);
export type InputRef = Frozen<Static<typeof InputRef>>;

/** One sandbox profile, as asked by the item or as the backend enforces it. Integers only: it is sealed. */
export const Sandbox = Type.Object(
  {
    network: Network,
    rootfs: OneOf('read-only', 'writable', 'host'),
    /** `separate`: blocks run as another uid than the runner. `same`: they do not. */
    user: OneOf('separate', 'same'),
    noNewPrivileges: Type.Boolean(),
    /** Of blocks. Absent: as the host has it. */
    capabilities: Type.Optional(OneOf('none')),
    seccomp: Type.Optional(OneOf('default')),
    cpuMillis: Type.Optional(Size),
    memoryBytes: Type.Optional(Size),
    pids: Type.Optional(Size),
    /** Of workspace and scratch space: bytes, and files of every kind. */
    diskBytes: Type.Optional(Size),
    diskFiles: Type.Optional(Size),
    runtime: Type.String(),
  },
  closed,
);
export type Sandbox = Frozen<Static<typeof Sandbox>>;

/** Predicate of `<ns>/dispatch/v1`. Sealed and durable before the task starts (law 1). */
export const DispatchManifest = Type.Object(
  {
    schema: Type.Literal('dispatch/1'),
    runId: Id,
    itemId: Id,
    attempt: Type.Integer({ minimum: 1 }),
    engine: Type.Object({ name: Type.String(), version: Type.String() }, closed),
    provider: Type.String(),
    task: Type.String(),
    /**
     * How the runner, and no block of another uid, reaches a store that is not mounted: over a unix socket that leads
     * nowhere else, which a task without network has too, or over the network of the task.
     */
    store: Type.Optional(OneOf('socket', 'network')),
    pipeline: Type.Object({ ref: Type.Optional(Type.String()), sha256: Hex, spec: PipelineSpec }, closed),
    image: Type.Optional(Type.Object({ ref: Type.String(), id: Type.Optional(Type.String()) }, closed)),
    workspace: Type.Optional(PinnedWorkspace),
    ...pins,
    inputs: EveryKey(InputRef),
    params: Type.Optional(DigestSet),
    /** Names of the secrets that the attempt is granted, sorted. */
    secrets: Type.Optional(Type.Array(Type.String())),
    answer: Type.Optional(
      Type.Object({ sha256: Hex }, { ...closed, description: 'Of the answer to the question of an earlier attempt.' }),
    ),
    limits: Type.Object({ timeoutMs: Size, idleTimeoutMs: Type.Optional(Size), graceMs: Size }, closed),
    sandbox: Type.Object({ asked: Type.Partial(Sandbox), enforced: Sandbox }, closed),
  },
  closed,
);
export type DispatchManifest = Frozen<Static<typeof DispatchManifest>>;

/** A place to read from: a path relative to the task's input directory, or a URL that needs no credential. */
const Grant = Type.Union([Type.Object({ path: Type.String() }, closed), Type.Object({ url: Type.String() }, closed)]);
export type Grant = Frozen<Static<typeof Grant>>;

const Strings = EveryKey(Type.String());

/** A request that is signed already: sent with exactly these headers besides its body. */
const RequestGrant = Type.Object({ url: Type.String(), headers: Strings }, closed);
export type RequestGrant = Frozen<Static<typeof RequestGrant>>;

/** A form for HTTP POST (multipart/form-data) that writes any number of objects below one prefix. */
const PostGrant = Type.Object(
  {
    url: Type.String(),
    /**
     * Sent as they are, except that the sender sets `key` to a key below the prefix and adds
     * `x-amz-checksum-sha256`, the base64 digest that the server checks; `file` comes last.
     */
    fields: Strings,
    /** The `key` field starts with it. */
    keyPrefix: Type.String(),
    /** Of each object. */
    maxBytes: Size,
  },
  closed,
);
export type PostGrant = Frozen<Static<typeof PostGrant>>;

/** The attempt prefix of a store that is not mounted. */
const AttemptGrant = Type.Object(
  {
    /** PUT of boot.json, which the store refuses when it is there: the fence. */
    boot: RequestGrant,
    /** GET of boot.json: whose it is, when the answer to the PUT was lost. */
    bootRead: Type.Object({ url: Type.String() }, closed),
    /** Everything else. */
    files: PostGrant,
  },
  closed,
);
export type AttemptGrant = Frozen<Static<typeof AttemptGrant>>;

/** What a task may read and write, and nothing else. */
const Grants = Type.Object(
  {
    workspace: Type.Optional(Grant),
    inputs: EveryKey(Grant),
    /** Digest of a registered thing that the manifest pins → its canonical spec. */
    things: Type.Optional(EveryKey(Grant)),
    /** Absent where the attempt prefix is a directory of the task. */
    attempt: Type.Optional(AttemptGrant),
    /** RFC 3339. What is signed ends then; newer grants, of this same form, appear at `renewed` before that. */
    expiresAt: Type.Optional(Type.String()),
    renewed: Type.Optional(Grant),
  },
  closed,
);
export type Grants = Frozen<Static<typeof Grants>>;

const Envelope = Type.Object(
  {
    payload: Type.String(),
    payloadType: Type.Literal(PAYLOAD_TYPE),
    signatures: Type.Tuple([Type.Object({ keyid: Type.String(), sig: Type.String() }, closed)]),
  },
  closed,
);

/** `task.json` in the task's input directory. */
export const Task = Type.Object(
  {
    schema: Type.Literal('task/1'),
    manifest: Envelope,
    grants: Grants,
    /** The item's `inputs`; the manifest holds its digest. */
    params: Type.Optional(Anything),
    /** The answer to the question of an earlier attempt; the manifest holds its digest. */
    answer: Type.Optional(Anything),
  },
  closed,
);
export type Task = Frozen<Static<typeof Task>>;

/**
 * `task.json` of a standalone worker, with no controller and no manifest. The workspace is `in/workspace/`
 * when that directory exists, and each file of `in/inputs/` is one input.
 */
export const StandaloneTask = Type.Object(
  {
    schema: Type.Literal('standalone-task/1'),
    pipeline: PipelineSpec,
    params: Type.Optional(Anything),
    timeout: Type.Optional(Duration),
    idleTimeout: Type.Optional(Duration),
  },
  closed,
);
export type StandaloneTask = Frozen<Static<typeof StandaloneTask>>;
