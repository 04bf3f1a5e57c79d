/** The Run spec as users write it (design §4), and the admitted form that everything after admission reads. */
import Type, { type Static } from 'typebox';
import type { Sha256 } from './digest.ts';
import { closed, Hex, Size, type Frozen } from './fragments.ts';
import { ID_PATTERN } from './ids.ts';
import type { AdmittedPattern, Spawn } from './pattern.ts';
import { Duration, PipelineSpec } from './pipeline.ts';
import { reasons, type Reason } from './reasons.ts';
import type { ThingKind } from './things.ts';
import { CPU_PATTERN, SIZE_PATTERN } from './units.ts';

export const ITEMS_MAX = 100_000;
/** Bytes of one submitted file. */
export const SPEC_BYTES_MAX = 256 * 2 ** 20;
/** A host name or address, `*.` in front for its subdomains, a port behind. */
export const HOST_PATTERN = '^(\\*\\.)?[A-Za-z0-9][A-Za-z0-9.-]{0,252}(:\\d{1,5})?$';
export const COMMIT_PATTERN = '^[0-9a-f]{7,64}$';
export const LOCK_PATTERN = '^[^\\u0000-\\u001f\\u007f]{1,512}$';
export const IMAGE_PATTERN = '^[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,511}$';
export const NEED_KEY_PATTERN = '^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$';
export const LABEL_KEY_PATTERN = '^[A-Za-z0-9]([A-Za-z0-9._/-]{0,251}[A-Za-z0-9])?$';
export const DIGEST_PATTERN = '^sha256:[0-9a-f]{64}$';

const Id = Type.String({ pattern: ID_PATTERN, description: 'Letters, digits and ._@:~+-, at most 200, never `..`.' });
export const Labels = Type.Record(Type.String({ pattern: LABEL_KEY_PATTERN }), Type.String({ maxLength: 256 }), closed);

export const Network = Type.Union(
  [
    Type.Literal('none'),
    Type.Literal('open'),
    Type.Object({ allow: Type.Array(Type.String({ pattern: HOST_PATTERN }), { minItems: 1, maxItems: 200 }) }, closed),
  ],
  { description: 'none, {allow: [host…]} or open. A backend that cannot enforce it refuses the item.' },
);

/** Those with which an attempt can fail. */
const failures = (Object.keys(reasons) as Reason[]).filter((name) =>
  ['item', 'infrastructure'].includes(reasons[name][0]),
);

const Rule = Type.Object(
  {
    reasons: Type.Optional(
      Type.Array(
        Type.Union(
          failures.map((name) => Type.Literal(name)),
          { description: 'The reason of a failed attempt.' },
        ),
        { minItems: 1, maxItems: 100 },
      ),
    ),
    exitCodes: Type.Optional(
      Type.Array(Type.Integer({ minimum: 0, maximum: 255 }), {
        minItems: 1,
        maxItems: 256,
        description: 'Of the block that failed.',
      }),
    ),
    action: Type.Union([Type.Literal('retry'), Type.Literal('fail'), Type.Literal('park')], {
      description: 'park: wait `delay` without a task and without a charge, then try again.',
    }),
    delay: Type.Optional(Duration),
  },
  closed,
);

export const Retry = Type.Object(
  {
    maxAttempts: Type.Optional(
      Type.Integer({ minimum: 1, maximum: 100, description: 'Attempts charged to the item. Default 1.' }),
    ),
    backoff: Type.Optional(
      Type.Object(
        {
          initial: Type.Optional(Duration),
          factor: Type.Optional(Type.Integer({ minimum: 1, maximum: 10 })),
          max: Type.Optional(Duration),
          jitter: Type.Optional(
            Type.Boolean({ description: 'Spread each delay over 50 to 100 % of itself. Default true.' }),
          ),
        },
        closed,
      ),
    ),
    rules: Type.Optional(
      Type.Array(Rule, { maxItems: 100, description: 'The first that matches decides; else the class of the reason.' }),
    ),
  },
  closed,
);

export const Resources = Type.Object(
  {
    cpu: Type.Optional(
      Type.Union([Type.String({ pattern: CPU_PATTERN }), Type.Number({ exclusiveMinimum: 0, maximum: 1000 })]),
    ),
    memory: Type.Optional(Type.String({ pattern: SIZE_PATTERN })),
  },
  closed,
);

/** What of the sandbox is asked for beside `network` and `resources`. */
export const SandboxFields = Type.Object(
  {
    rootfs: Type.Optional(
      Type.Union([Type.Literal('read-only'), Type.Literal('writable')], { description: 'The image, for the blocks.' }),
    ),
    user: Type.Optional(Type.Literal('separate', { description: 'Blocks run as another user than the worker.' })),
    capabilities: Type.Optional(Type.Literal('none', { description: 'Blocks hold none and can gain none.' })),
    seccomp: Type.Optional(
      Type.Literal('default', { description: 'System calls are filtered by the profile of the backend.' }),
    ),
    pids: Type.Optional(
      Type.Integer({ minimum: 16, maximum: 100_000, description: 'Processes and threads together.' }),
    ),
    disk: Type.Optional(
      Type.String({
        pattern: SIZE_PATTERN,
        description: 'What the task may write to its workspace and scratch space.',
      }),
    ),
    runtime: Type.Optional(
      Type.String({
        pattern: '^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$',
        description: 'Runtime class: runc, runsc, … as the backend names them.',
      }),
    ),
  },
  { ...closed, description: 'A backend that cannot honour a field refuses the item.' },
);

export const Workspace = Type.Union(
  [
    Type.Object(
      {
        git: Type.Object(
          {
            url: Type.String({
              minLength: 1,
              maxLength: 4096,
              description:
                'A local path (folder storage only) or an allowed remote. Uncommitted changes are not part of it: use `path`.',
            }),
            commit: Type.Optional(
              Type.String({ pattern: COMMIT_PATTERN, description: 'A commit, shortened or in full.' }),
            ),
            ref: Type.Optional(
              Type.String({
                minLength: 1,
                maxLength: 255,
                description: 'A branch or tag; pinned to its commit at admission.',
              }),
            ),
          },
          closed,
        ),
      },
      closed,
    ),
    Type.Object(
      { ref: Type.String({ pattern: DIGEST_PATTERN, description: 'A workspace pack that is in cas/ already.' }) },
      closed,
    ),
    Type.Object(
      {
        path: Type.String({
          minLength: 1,
          maxLength: 4096,
          description: 'A local folder as it is now (folder storage only), without .git and what .gitignore ignores.',
        }),
      },
      closed,
    ),
  ],
  { description: 'What the item starts from: { git: … }, { path: … } or { ref: … }. Without one, an empty directory.' },
);
export type Workspace = Static<typeof Workspace>;

export const Select = Type.Union([
  Type.Object({ kind: Type.Literal('patch') }, closed),
  Type.Object(
    {
      kind: Type.Literal('output'),
      path: Type.String({ minLength: 1, maxLength: 1024, description: 'Relative to outputs/.' }),
    },
    closed,
  ),
]);
export type Select = Static<typeof Select>;

export const Need = Type.Object(
  { from: Id, select: Select },
  { ...closed, description: 'A product of another item, laid out as inputs/<key>.' },
);
export type Need = Static<typeof Need>;

const OneOf = Type.Object(
  { oneOf: Type.Array(Need, { minItems: 2, maxItems: 20 }) },
  { ...closed, description: 'The first of these that is done, in this order.' },
);

const Dependency = Type.Union([
  Id,
  Type.Object(
    {
      item: Id,
      when: Type.Union([Type.Literal('done'), Type.Literal('failed'), Type.Literal('always')], {
        description: 'How that item has to end. done is the default.',
      }),
    },
    closed,
  ),
]);

const Lock = Type.Union([
  Type.String({ pattern: LOCK_PATTERN }),
  Type.Object(
    {
      key: Type.String({ pattern: LOCK_PATTERN }),
      mode: Type.Union([Type.Literal('exclusive'), Type.Literal('shared')]),
      limit: Type.Optional(
        Type.Integer({ minimum: 1, maximum: 100_000, description: 'Items that may share it; no limit by default.' }),
      ),
    },
    closed,
  ),
]);

const References = (description: string) =>
  Type.Array(Type.String({ pattern: ID_PATTERN }), { maxItems: 100, description });

/** How an item runs, whatever it does: what a queue may set for its runs. */
const policyFields = {
  image: Type.Optional(
    Type.String({ pattern: IMAGE_PATTERN, description: 'Worker image; the provider has a default.' }),
  ),
  resources: Type.Optional(Resources),
  network: Type.Optional(Network),
  sandbox: Type.Optional(SandboxFields),
  timeout: Type.Optional(Duration),
  idleTimeout: Type.Optional(Duration),
  queueTimeout: Type.Optional(Duration),
  bootTimeout: Type.Optional(Duration),
  retry: Type.Optional(Retry),
  priority: Type.Optional(Type.Integer({ minimum: -1000, maximum: 1000, description: 'Higher first. Default 0.' })),
};

export const QueueDefaults = Type.Object(policyFields, {
  ...closed,
  description: 'For items of runs of this queue that neither say otherwise nor have it in the defaults of their run.',
});
export type QueueDefaults = Static<typeof QueueDefaults>;

const itemFields = {
  executor: Type.Optional(Type.Literal('dispatch')),
  pipeline: Type.Optional(
    Type.Union([Id, PipelineSpec], { description: 'A registered pipeline by name, or one written here.' }),
  ),
  subagent: Type.Optional(
    Type.String({ pattern: ID_PATTERN, description: 'A registered subagent; it needs no pipeline of its own.' }),
  ),
  subagentShape: Type.Optional(
    Type.String({
      pattern: ID_PATTERN,
      description: 'A registered shape: what the item takes and yields, and what it runs.',
    }),
  ),
  env: Type.Optional(References('Registered env bundles, besides those of the subagent; later ones win.')),
  capabilities: Type.Optional(References('Registered capabilities, instead of those of the subagent.')),
  addCapabilities: Type.Optional(References('Registered capabilities, besides those.')),
  workspace: Type.Optional(Workspace),
  ...policyFields,
};

/** What an item has beside its id and what it waits for. */
export const templateFields = {
  ...itemFields,
  inputs: Type.Optional(
    Type.Record(Type.String(), Type.Unknown(), { description: 'JSON for the blocks: .pangolin/inputs.json.' }),
  ),
  resourceLocks: Type.Optional(Type.Array(Lock, { maxItems: 100 })),
  labels: Type.Optional(Labels),
};

export const Item = Type.Object(
  {
    id: Id,
    ...templateFields,
    role: Type.Optional(
      Type.String({
        pattern: ID_PATTERN,
        description: 'What the pattern of the queue takes it for: a gate, a splitter.',
      }),
    ),
    executor: Type.Optional(
      Type.Union([Type.Literal('dispatch'), Type.Literal('approval')], {
        description: 'dispatch (the default) runs the pipeline; approval waits for a person and runs nothing.',
      }),
    ),
    approval: Type.Optional(
      Type.Object(
        {
          timeout: Type.Optional(Duration),
          onTimeout: Type.Optional(Type.Union([Type.Literal('approve'), Type.Literal('reject')])),
        },
        { ...closed, description: 'Of `executor: approval`. When nobody decides in time it is rejected by default.' },
      ),
    ),
    needsInput: Type.Optional(
      Type.Object(
        {
          timeout: Type.Optional(Duration),
          onTimeout: Type.Optional(Type.Union([Type.Literal('fail'), Type.Literal('continue')])),
        },
        {
          ...closed,
          description:
            'When a block asks something. Without an answer in time it fails by default; or goes on without.',
        },
      ),
    ),
    onExit: Type.Optional(
      Type.Boolean({ description: 'Runs when every other item of the run has ended, whatever happened.' }),
    ),
    needs: Type.Optional(Type.Record(Type.String({ pattern: NEED_KEY_PATTERN }), Type.Union([Need, OneOf]), closed)),
    depends_on: Type.Optional(Type.Array(Dependency, { maxItems: ITEMS_MAX })),
  },
  { ...closed, description: 'One node of the Run.' },
);
export type Item = Static<typeof Item>;

export const RunSpec = Type.Object(
  {
    queue: Type.Optional(Id),
    openEnded: Type.Optional(Type.Boolean({ description: 'Takes extensions until it is closed.' })),
    timeout: Type.Optional(Duration),
    workspace: Type.Optional(Workspace),
    defaults: Type.Optional(
      Type.Object(itemFields, { ...closed, description: 'Used by every item that does not say otherwise.' }),
    ),
    items: Type.Array(Item, { minItems: 1, maxItems: ITEMS_MAX }),
  },
  closed,
);

export type RunSpec = Static<typeof RunSpec>;

/** The Kubernetes envelope. */
export const Run = Type.Object(
  {
    apiVersion: Type.Literal('pangolin.dev/v1'),
    kind: Type.Literal('Run'),
    metadata: Type.Object({ name: Id, labels: Type.Optional(Labels) }, closed),
    spec: RunSpec,
  },
  { ...closed, title: 'Pangolin Run', $id: 'https://pangolin.dev/schema/run.v1.schema.json' },
);
export type Run = Static<typeof Run>;

/** The bare `plan.json` of the reference. */
export const Plan = Type.Object(
  { id: Id, ...RunSpec.properties, labels: Type.Optional(Labels) },
  { ...closed, title: 'Pangolin plan' },
);
export type Plan = Static<typeof Plan>;

/* ---- What admission makes of it. Everything below is written by us, read by us, and sealed. ---- */

/**
 * A workspace pinned to bytes in cas/: a git pack that holds exactly one commit (no history) and its trees and blobs.
 * A plain folder becomes such a pack too, under a commit with fixed author and dates; `url` says where it came from.
 */
export const PinnedWorkspace = Type.Object(
  {
    kind: Type.Literal('git'),
    url: Type.Optional(Type.String()),
    commit: Type.String({ pattern: '^([0-9a-f]{40}|[0-9a-f]{64})$' }),
    sha256: Hex,
    size: Size,
  },
  closed,
);
export type PinnedWorkspace = Frozen<Static<typeof PinnedWorkspace>>;

/**
 * A product of an item of this run; the first of several that is done when the item fires; or an object given at
 * submission (a retry hands over products this way).
 */
export type AdmittedNeed =
  | Need
  | { readonly oneOf: readonly Need[] }
  | { readonly submission: { readonly sha256: Sha256; readonly size: number } };

/** A string is an exclusive lock. An object is shared: up to `limit` items hold it together, and nobody exclusively. */
export type AdmittedLock = string | { readonly key: string; readonly limit?: number };

export const lockKey = (lock: AdmittedLock): string => (typeof lock === 'string' ? lock : lock.key);

/** How a dependency has to end for the item to go on; `done` is the default and is not written. */
export type When = 'failed' | 'always';

/** A registered thing as it was named, and the version that was admitted: the digest of its canonical spec in cas/. */
export const Pin = Type.Object({ ref: Type.String({ pattern: ID_PATTERN }), sha256: Hex }, closed);
export type Pin = Frozen<Static<typeof Pin>>;
const PinList = Type.Array(Pin, { minItems: 1 });

/** What an item takes from the registry besides its pipeline; sealed in the dispatch manifest as it stands here. */
export const pins = {
  /** Its interface; what it brings to run is pinned like everything else. */
  shape: Type.Optional(Pin),
  subagent: Type.Optional(Pin),
  /** Laid over the workspace in this order. */
  capabilities: Type.Optional(PinList),
  /** Of two values of one name the later one counts. */
  env: Type.Optional(PinList),
} as const;
const Pins = Type.Object(pins);
export type Pins = Frozen<Static<typeof Pins>>;

export interface AdmittedItem extends Pins {
  readonly id: string;
  /** `approval` waits for a person and runs nothing. */
  readonly executor: 'dispatch' | 'approval';
  /**
   * `sha256` is the digest of the canonical PipelineSpec; the spec itself is in `AdmittedRun.pipelines`.
   * An approval has none.
   */
  readonly pipeline?: { readonly ref?: string; readonly sha256: Sha256 };
  readonly needs?: Readonly<Record<string, AdmittedNeed>>;
  /** Sorted and unique; the sources of plain `needs` are already in it, those of `oneOf` are not. */
  readonly depends_on: readonly string[];
  /** Of `depends_on`: those that need not end well. */
  readonly when?: Readonly<Record<string, When>>;
  /** Runs when every other item of the run is terminal, whatever happened. */
  readonly onExit?: true;
  /** Sorted by key and unique. */
  readonly resourceLocks: readonly AdmittedLock[];
  readonly approval?: { readonly timeoutMs?: number; readonly onTimeout: 'approve' | 'reject' };
  readonly needsInput?: { readonly timeoutMs?: number; readonly onTimeout: 'fail' | 'continue' };
  readonly workspace?: PinnedWorkspace;
  readonly params?: Readonly<Record<string, unknown>>;
  readonly image?: string;
  /** What the backend knew the image as at admission. */
  readonly pinnedImage?: { readonly ref: string; readonly id?: string };
  readonly cpuMillis?: number;
  readonly memoryBytes?: number;
  readonly network?: Static<typeof Network>;
  readonly sandbox?: Omit<Static<typeof SandboxFields>, 'disk'> & { readonly diskBytes?: number };
  readonly timeoutMs: number;
  readonly idleTimeoutMs?: number;
  /** Longest wait for a slot and locks once it is ready. */
  readonly queueTimeoutMs?: number;
  /** From the start of the task to its boot record. */
  readonly bootTimeoutMs?: number;
  readonly retry: {
    readonly maxAttempts: number;
    readonly initialMs: number;
    readonly factor: number;
    readonly maxMs: number;
    readonly jitter: boolean;
    /** First match wins; without a match the reason's class decides. */
    readonly rules?: readonly RetryRule[];
  };
  readonly priority: number;
  readonly labels?: Readonly<Record<string, string>>;
  /** What the pattern of the run takes it for. */
  readonly role?: string;
  /** Of an item that a pattern has appended. */
  readonly spawn?: Spawn;
}

export interface RetryRule {
  readonly reasons?: readonly string[];
  /** Exit codes of the block that failed. */
  readonly exitCodes?: readonly number[];
  /** `park`: wait `parkMs` without a task and without a charge, then try again. */
  readonly action: 'retry' | 'fail' | 'park';
  readonly parkMs?: number;
}

/** `runs/<run>/spec.json`, canonical JSON. Its digest is `plan` in the run log. */
export interface AdmittedRun {
  readonly schema: 'admitted-run/1';
  readonly id: string;
  readonly queue: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Digest of the canonical submitted spec, before pinning: what makes a second submission a no-op or a conflict. */
  readonly spec: Sha256;
  readonly pipelines: Readonly<Record<Sha256, PipelineSpec>>;
  readonly items: readonly AdmittedItem[];
  /** Stays open for extensions until somebody closes it. */
  readonly openEnded?: true;
  /** Of an open-ended run. */
  readonly inherited?: Inherited;
  /** From submission to the last item; then the run is cancelled. */
  readonly timeoutMs?: number;
  /** Of its queue, when it was admitted; absent of static-dag. */
  readonly pattern?: AdmittedPattern;
}

/** What items take over from an open-ended run that join it later. */
export interface Inherited {
  /** As written, those of its queue included. */
  readonly defaults?: Omit<NonNullable<RunSpec['defaults']>, 'workspace'>;
  /** Of items that have none otherwise. */
  readonly workspace?: PinnedWorkspace;
  /** Whatever the run has named of the registry. The same name is the same thing later. */
  readonly pins: readonly (Pin & { readonly kind: ThingKind })[];
}

/** What was appended to a run, canonical JSON in cas/; `run.extended` names its digest. */
export interface Extension {
  readonly schema: 'extension/1';
  readonly items: readonly AdmittedItem[];
  readonly pipelines: Readonly<Record<Sha256, PipelineSpec>>;
}

export const DEFAULTS = {
  queue: 'default',
  timeoutMs: 60 * 60_000,
  retry: { maxAttempts: 1, initialMs: 1000, factor: 2, maxMs: 5 * 60_000, jitter: true },
  priority: 0,
  /** Of an approval and of a question that name none: nothing waits for ever. */
  decisionTimeoutMs: 7 * 24 * 60 * 60_000,
} as const;
