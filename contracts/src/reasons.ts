/** Why an item is where it is: the closed list (design §3), each with its class and what to do about it. */

/**
 * - `progress`: where a healthy item stands. - `item`: the item's own doing, charged to `maxAttempts`.
 * - `infrastructure`: retried on its own budget. - `decision`: somebody or a rule decided; never retried.
 */
export type ReasonClass = 'progress' | 'item' | 'infrastructure' | 'decision';

export const reasons = {
  WaitingForDependencies: ['progress', 'Its dependencies are not terminal yet; look at those first.'],
  WaitingForSlot: ['progress', 'The queue is at its concurrency; raise it or wait.'],
  WaitingForLock: ['progress', 'Another item holds a resource lock that this one names.'],
  WaitingForRetry: ['progress', 'The backoff of its retry policy has not passed yet.'],
  WaitingForApproval: ['progress', 'Somebody decides with `pangolin orch approve` or `reject`.'],
  WaitingForInput: ['progress', 'A block asks something; `pangolin orch answer RUN/ITEM TEXT` lets it go on.'],
  QueuePaused: ['progress', 'The queue or the run is paused; `pangolin orch resume` lets it go on.'],
  Dispatched: ['progress', 'The manifest is sealed and the task is being started.'],
  Running: ['progress', 'The worker has booted; follow it with `pangolin orch logs RUN/ITEM -f`.'],
  Cancelling: ['progress', 'The task was told to stop and has its grace period left.'],
  Succeeded: ['progress', 'Nothing to do.'],

  ExitNonZero: ['item', 'A gate block exited non-zero; read its log, fix the command or its input.'],
  TimedOut: ['item', 'The item ran longer than `timeout`; raise it or make the work smaller.'],
  IdleTimedOut: ['item', 'No output for `idleTimeout`; print progress or raise it.'],
  OOMKilled: ['item', 'The task exceeded its memory limit; raise `resources.memory`.'],
  DiskFull: ['item', 'The workspace or the attempt storage ran out of space; free it or write less.'],
  DiskQuotaExceeded: [
    'item',
    'The task wrote more than its `sandbox.disk`, or too many files; write less or raise it.',
  ],
  OutputTooLarge: ['item', 'A product exceeds a documented limit; write less or split the item.'],
  ProductMissing: ['item', 'A required product was not written; check the block that should write it.'],
  ProductInvalid: ['item', 'What the worker reported and what it wrote differ; the product was not accepted.'],
  SecretInProduct: [
    'item',
    'A patch or an output holds a secret of the item; nothing of it was kept. Rotate the secret if it went elsewhere too.',
  ],
  OutputSchemaMismatch: ['item', 'The output does not match its declared schema; the message names the field.'],
  InputMissing: ['item', 'The needed product does not exist on its source item; check `select`.'],
  StageFailed: ['item', 'The workspace or an input could not be laid out; the message names the file.'],
  CaptureFailed: ['item', 'The workspace could not be captured; the message names the step.'],
  NeedsInputInvalid: [
    'item',
    'A block wrote a `.pangolin/needs_input.json` that is none, or asks without end; the message says what is wrong.',
  ],
  BlockKilled: ['item', 'A block died by a signal; the message names it.'],
  ContextMissing: ['item', 'The subagent requires something that the workspace or image lacks; the message names it.'],
  AgentFailed: ['item', 'The agent ended its turn without finishing; the message has its words.'],
  ModelRateLimited: ['item', 'The model refused further requests; the item waits without a task and is tried again.'],
  WorkerFailed: ['item', 'The worker ended without an output; read the attempt log.'],

  ImageUnavailable: [
    'infrastructure',
    'The image cannot be found or pulled; check its name and the registry credentials.',
  ],
  CapacityUnavailable: ['infrastructure', 'The backend had no room for the task; wait or add capacity.'],
  BootTimedOut: ['infrastructure', 'The task did not boot in time; check the backend and the image.'],
  StartFailed: ['infrastructure', 'The backend refused to start the task; the message has its words.'],
  Lost: ['infrastructure', 'The task disappeared without an output; it is started again on the infrastructure budget.'],
  SpotInterrupted: ['infrastructure', 'The cloud took its spare capacity back; the next attempt uses other capacity.'],
  StorageUnavailable: ['infrastructure', 'The storage did not answer; check `pangolin doctor`.'],

  Approved: ['decision', 'Nothing to do.'],
  Rejected: ['decision', 'Somebody rejected it; the message has their reason.'],
  ApprovalTimedOut: ['decision', 'Nobody decided in time; raise `approval.timeout` or decide sooner.'],
  Answered: ['decision', 'Nothing to do.'],
  InputTimedOut: ['decision', 'Nobody answered in time; raise `needsInput.timeout` or answer sooner.'],
  QueueTimedOut: ['decision', 'It waited longer than `queueTimeout` for a slot; raise it or the concurrency.'],
  RunTimedOut: [
    'decision',
    'The run took longer than its `timeout`; raise it, or retry the run: it takes over what is done.',
  ],
  NothingToMap: [
    'decision',
    'The splitter yielded no output to map; check `outputs` of the pattern and what it wrote.',
  ],
  GateRed: ['decision', 'The gate said no and no fix is left; read its log, raise `attempts` or fix it by hand.'],
  QuorumNotReached: ['decision', 'Too few reviewers approved, and no revision is left; read what they wrote.'],
  GrowthRefused: ['decision', 'The pattern of its queue cannot append what follows from it; the message says why.'],
  DependencyFailed: [
    'decision',
    'A dependency did not end as it has to; the message names it. Fix it and retry the run, unless it waits for a failure.',
  ],
  Cancelled: ['decision', 'Somebody cancelled it; the receipt of the control names the actor.'],
  SecretUnavailable: [
    'decision',
    'A secret that the item names is not in the store or cannot be used; the message says which and where.',
  ],
  SandboxUnsupported: ['decision', 'The backend cannot honour a safety setting of the item; use another backend.'],
  ManifestRejected: ['decision', 'The worker refused its manifest; check the trust settings of the worker.'],
} as const satisfies Record<string, readonly [ReasonClass, string]>;

export type Reason = keyof typeof reasons;

export function isReason(value: unknown): value is Reason {
  return typeof value === 'string' && Object.hasOwn(reasons, value);
}
export const classOf = (reason: Reason): ReasonClass => reasons[reason][0];
export const remedyOf = (reason: Reason): string => reasons[reason][1];

/** With which an item ends as `cancelled`, and what its run was cancelled for. */
export type Cancellation = 'Cancelled' | 'RunTimedOut';
export const isCancellation = (reason: unknown): reason is Cancellation =>
  reason === 'Cancelled' || reason === 'RunTimedOut';

/** Item phases (design §3), in the order in which an item can meet them. */
export const phases = [
  'pending',
  'ready',
  'starting',
  'running',
  'waiting',
  'done',
  'failed',
  'skipped',
  'cancelled',
  'denied',
] as const;
export type Phase = (typeof phases)[number];
const terminal: ReadonlySet<Phase> = new Set(['done', 'failed', 'skipped', 'cancelled', 'denied']);
export const isTerminal = (phase: Phase): boolean => terminal.has(phase);
