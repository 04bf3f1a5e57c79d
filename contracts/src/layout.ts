/** Every storage key, in one file (design §5). Keys use `/`, never start with it, and never hold `..`. */
import { sha256, type Sha256 } from './digest.ts';
import { encodeSegment, type AttemptRef } from './ids.ts';

export const INBOX = 'inbox/';
export const CONTROL = 'control/';
export const RECEIPTS = 'receipts/';
export const RUNS = 'runs/';
export const SCHEDULES = 'schedules/';
export const LOG = 'log/';
export const LEASE = 'controller/lease.json';
/** What a deployment says its own keys are (contracts/trust). */
export const TRUST = 'controller/trust.json';
/** The queues as the controller knows them (contracts/queue). */
export const QUEUES = 'controller/queues.json';
/** How far the evidence is behind (contracts/evidence-status); there once somebody outside was configured or a seal failed. */
export const EVIDENCE_STATUS = 'controller/evidence.json';

export const inboxKey = (name: string): string => `${INBOX}${name}`;
export const controlKey = (id: string): string => `${CONTROL}${id}.json`;
/** `submission` is the file name under inbox/ or control/, extension included. */
export const receiptKey = (submission: string): string => `${RECEIPTS}${encodeSegment(submission)}.json`;

export const runPrefix = (runId: string): string => `${RUNS}${encodeSegment(runId)}/`;
export const specKey = (runId: string): string => `${runPrefix(runId)}spec.json`;
export const statusKey = (runId: string): string => `${runPrefix(runId)}status.json`;
export const itemsKey = (runId: string): string => `${runPrefix(runId)}items.ndjson`;

/** The only place that an attempt's worker may write. */
export const attemptPrefix = (ref: AttemptRef): string =>
  `${runPrefix(ref.runId)}attempts/${encodeSegment(ref.itemId)}/${ref.attempt}/`;
/** Names under an attempt prefix. */
export const attemptFile = {
  boot: 'boot.json',
  output: 'output.json',
  patch: 'patch',
  outputs: 'outputs/',
  log: (seq: number): string => `log/${String(seq).padStart(6, '0')}.ndjson`,
} as const;

/**
 * What a task that runs elsewhere is given on a store that cannot be mounted. Whoever reads it can do what the task
 * can, so nobody but the controller may read below TASKS; the task itself has a signed URL.
 */
export const TASKS = 'tasks/';
export const taskKey = (task: string, file: 'task.json' | 'grants.json'): string =>
  `${TASKS}${encodeSegment(task)}/${file}`;
export const scheduleKey = (name: string): string => `${SCHEDULES}${encodeSegment(name)}.json`;

export const evidencePrefix = (runId: string): string => `${runPrefix(runId)}evidence/`;
export const eventsKey = (runId: string): string => `${evidencePrefix(runId)}events.jsonl`;
/** Every signed statement of the run, one DSSE envelope a line: 1 object, not one per item. */
export const statementsKey = (runId: string): string => `${evidencePrefix(runId)}statements.jsonl`;
/** The heads of a run that went on for long, one a line as `{envelope, publicKey}`: those that the deployment's log has, and maybe one that it has not yet. */
export const headsKey = (runId: string): string => `${evidencePrefix(runId)}heads.jsonl`;
/** That the log of the seal continues the checkpoint that the run was opened after, where that was cosigned (contracts/consistency). */
export const historyProofKey = (runId: string): string => `${evidencePrefix(runId)}history.proof`;
export const sealKey = (runId: string): string => `${evidencePrefix(runId)}seal.sigstore.json`;
/** Bytes that readers take of each; what is larger is none of ours. */
export const EVENTS_BYTES_MAX = 2 ** 30;
export const HEADS_BYTES_MAX = 256 * 2 ** 20;
export const SEAL_BYTES_MAX = 32 * 2 ** 20;

/** The newest signed checkpoint of the deployment's log, and its tiles (`tilePath` of contracts/tlog). */
export const CHECKPOINT = `${LOG}checkpoint`;
export const tileKey = (path: string): string => `${LOG}${path}`;

export const casKey = (digest: Sha256): string => `cas/sha256/${digest.slice(0, 2)}/${digest}`;
export const registryKey = (kind: string, name: string): string => `registry/${kind}/${encodeSegment(name)}.json`;

/** Where the seal of a run is kept in an anchor (evidence.md §3.8). Digests, so that no name can end in another's. */
export const anchorKey = (origin: string, runId: string): string =>
  `${sealAnchorPrefix(origin)}${sha256(runId)}/seal.sigstore.json`;
export const sealAnchorPrefix = (origin: string): string => `anchors/v1/${sha256(origin)}/runs/`;

/** Where the checkpoint of that size is kept there, and what all of them begin with. Their order is that of the sizes. */
export const checkpointAnchorPrefix = (origin: string): string => `anchors/v1/${sha256(origin)}/checkpoints/`;
export const checkpointAnchorKey = (origin: string, size: number): string =>
  `${checkpointAnchorPrefix(origin)}${String(size).padStart(20, '0')}`;
