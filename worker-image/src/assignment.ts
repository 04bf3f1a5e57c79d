/** task.json → what this worker is to do. Anything that is not exactly as it should be is ManifestRejected. */
import { canonicalBytes, parseCanonical } from '@pangolin/contracts/canonical';
import { isSha256, sha256, type Sha256 } from '@pangolin/contracts/digest';
import { decodeBase64, PAYLOAD_TYPE } from '@pangolin/contracts/dsse';
import { messageOf } from '@pangolin/contracts/errors';
import { isId, type AttemptRef } from '@pangolin/contracts/ids';
import type { PipelineSpec } from '@pangolin/contracts/pipeline';
import type { Pin } from '@pangolin/contracts/admitted-run';
import type { PinnedWorkspace } from '@pangolin/contracts/workspace';
import { secretsOf } from '@pangolin/contracts/secrets';
import { predicateTypes } from '@pangolin/contracts/statement';
import type { DispatchManifest, Grants, Sandbox, StandaloneTask, Task } from '@pangolin/contracts/task';
import { parseDuration } from '@pangolin/contracts/units';
import { isObject, pipelineProblem } from './check-pipeline.ts';
import type { DiskLimits } from './disk-watch.ts';
import { ManifestRejected } from './failure.ts';
import { checkGrant, checkGrants } from './task-grants.ts';

/** A standalone task that names no timeout; the same as the default of an item. */
const STANDALONE_TIMEOUT_MS = 60 * 60_000;
const INPUT_KEY = /^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/;
const DURATION = /^(?=.)(\d{1,6}d)?(\d{1,6}h)?(\d{1,6}m)?(\d{1,6}s)?(\d{1,6}ms)?$/;

export interface Assignment extends AttemptRef {
  /** Digest of the manifest's payload; absent on a standalone task. */
  readonly manifest?: Sha256;
  readonly pipeline: PipelineSpec;
  readonly timeoutMs: number;
  readonly idleTimeoutMs?: number;
  /** From SIGTERM to SIGKILL for a block that ran out of time; the worker's own grace where absent. */
  readonly blockGraceMs?: number;
  /** The manifest promises that blocks run as another uid than the runner. */
  readonly separateUser: boolean;
  /** What it promises of blocks besides. */
  readonly promised: Partial<Pick<Sandbox, 'capabilities' | 'noNewPrivileges' | 'seccomp'>>;
  /** Blocks get a proxy to the hosts of an allow-list. */
  readonly hasAllowList: boolean;
  /** Absent: nobody keeps one. */
  readonly disk?: DiskLimits;
  /** Names of the secrets that are handed over. */
  readonly secrets: readonly string[];
  readonly params: Readonly<Record<string, unknown>> | undefined;
  /** What `params` must digest to; undefined on a standalone task, null when the manifest has none. */
  readonly paramsSha256: Sha256 | null | undefined;
  /** To the question of an earlier attempt; has the digest of the manifest. */
  readonly answer?: Readonly<Record<string, unknown>>;
  readonly grants: Grants;
  /** What the manifest pins of the registry, by digest. */
  readonly pins: {
    readonly shape?: Sha256;
    readonly subagent?: Sha256;
    readonly capabilities: readonly Sha256[];
    readonly env: readonly Sha256[];
  };
  /** `copy`: what lies in `in/workspace` and `in/inputs`, pinned by nobody. */
  readonly source:
    | {
        readonly kind: 'pinned';
        readonly workspace?: PinnedWorkspace;
        readonly inputs: ReadonlyMap<string, Sha256>;
      }
    | { readonly kind: 'copy' };
}

/**
 * @param manifest digest that the caller knows the manifest by; needed unless the task is a standalone one
 * @throws ManifestRejected
 */
export function parseAssignment(bytes: Uint8Array, manifest: Sha256 | undefined): Assignment {
  let task: unknown;
  try {
    task = JSON.parse(Buffer.from(bytes).toString('utf8'));
  } catch {
    throw new ManifestRejected('task.json is not JSON');
  }
  must(isObject(task), 'task.json is not an object');
  if (task['schema'] === 'standalone-task/1') {
    must(manifest === undefined, 'task.json is a standalone task, but a manifest was announced');
    return standalone(task as unknown as StandaloneTask);
  }
  must(task['schema'] === 'task/1', 'task.json has no schema that this worker knows');
  must(manifest !== undefined, 'PANGOLIN_MANIFEST_SHA256 is not set');
  return dispatched(task as unknown as Task, manifest);
}

function standalone(task: StandaloneTask): Assignment {
  const known = ['schema', 'pipeline', 'params', 'timeout', 'idleTimeout'];
  const unknown = Object.keys(task).find((key) => !known.includes(key));
  must(unknown === undefined, `task.json has an unknown field ${JSON.stringify(unknown)}`);
  checkPipeline(task.pipeline);
  must(!hasAgent(task.pipeline), 'a standalone task has no subagent that an agent block could run');
  must(task.params === undefined || isObject(task.params), 'its params are not an object');
  for (const name of ['timeout', 'idleTimeout'] as const) {
    must(task[name] === undefined || DURATION.test(task[name]), `its ${name} is not a duration`);
  }
  return {
    runId: 'standalone',
    itemId: 'task',
    attempt: 1,
    pipeline: task.pipeline,
    timeoutMs: task.timeout === undefined ? STANDALONE_TIMEOUT_MS : parseDuration(task.timeout),
    ...(task.idleTimeout === undefined ? {} : { idleTimeoutMs: parseDuration(task.idleTimeout) }),
    separateUser: false,
    promised: {},
    hasAllowList: false,
    secrets: secretsOf(task.pipeline),
    params: task.params,
    paramsSha256: undefined,
    grants: { inputs: {} },
    pins: { capabilities: [], env: [] },
    source: { kind: 'copy' },
  };
}

function dispatched(task: Task, digest: Sha256): Assignment {
  const predicate = openManifest(task.manifest, digest);
  const { runId, itemId, attempt, limits, pipeline } = predicate;
  must(isId(runId) && isId(itemId) && Number.isSafeInteger(attempt) && attempt >= 1, 'the manifest names no attempt');
  checkPipeline(pipeline?.spec);
  must(sha256(canonicalBytes(pipeline.spec)) === pipeline.sha256, 'the pipeline does not have its digest');
  must(isObject(limits) && isCount(limits.timeoutMs) && isCount(limits.graceMs), 'the manifest has no limits');
  must(limits.idleTimeoutMs === undefined || isCount(limits.idleTimeoutMs), 'its idle timeout is malformed');
  const grants = checkGrants(task.grants);
  must(task.params === undefined || isObject(task.params), 'its params are not an object');
  const { answer } = task;
  const answerDigest = answer === undefined ? undefined : sha256(canonicalBytes(answer));
  must(answerDigest === predicate.answer?.sha256, 'the answer of task.json does not have the digest of the manifest');
  return {
    runId,
    itemId,
    attempt,
    manifest: digest,
    pipeline: pipeline.spec,
    timeoutMs: limits.timeoutMs,
    ...(limits.idleTimeoutMs === undefined ? {} : { idleTimeoutMs: limits.idleTimeoutMs }),
    blockGraceMs: limits.graceMs,
    separateUser: predicate.sandbox?.enforced?.user === 'separate',
    promised: predicate.sandbox?.enforced ?? {},
    ...diskLimits(predicate),
    secrets: grantedSecrets(predicate),
    hasAllowList: isObject(predicate.sandbox?.enforced?.network),
    params: task.params,
    paramsSha256: predicate.params?.sha256 ?? null,
    ...(answer === undefined ? {} : { answer }),
    grants,
    pins: pinnedThings(predicate, task),
    source: { kind: 'pinned', ...pinnedWorkspace(predicate, task), inputs: pinnedInputs(predicate, task) },
  };
}

function openManifest(envelope: Task['manifest'], digest: Sha256): DispatchManifest {
  must(isObject(envelope) && envelope.payloadType === PAYLOAD_TYPE, 'task.json holds no manifest envelope');
  const payload = decodeBase64(envelope.payload);
  must(payload !== undefined, 'the payload of the manifest is not base64');
  must(sha256(payload) === digest, 'the manifest is not the one that was announced');
  let statement: unknown;
  try {
    statement = parseCanonical(payload);
  } catch (error) {
    throw new ManifestRejected(`the manifest is ${messageOf(error)}`);
  }
  must(isObject(statement) && statement['predicateType'] === predicateTypes.dispatch, 'it is no dispatch statement');
  const predicate = statement['predicate'];
  must(isObject(predicate) && predicate['schema'] === 'dispatch/1', 'it is no dispatch/1 manifest');
  return predicate as unknown as DispatchManifest;
}

function diskLimits({ sandbox }: DispatchManifest): { disk?: DiskLimits } {
  const { diskBytes, diskFiles } = sandbox?.enforced ?? {};
  if (diskBytes === undefined || diskFiles === undefined) return {};
  must(isCount(diskBytes) && isCount(diskFiles), 'its disk quota is malformed');
  return { disk: { bytes: diskBytes, files: diskFiles } };
}

function grantedSecrets({ secrets = [], pipeline }: DispatchManifest): readonly string[] {
  must(Array.isArray(secrets) && secrets.every((ref) => typeof ref === 'string'), 'its secrets are malformed');
  must(
    secretsOf(pipeline.spec).every((ref) => secrets.includes(ref)),
    'a block names a secret that the manifest does not grant',
  );
  return secrets;
}

function pinnedWorkspace(manifest: DispatchManifest, task: Task) {
  const { workspace } = manifest;
  if (workspace === undefined) return {};
  const { kind, commit, sha256: digest, size } = workspace;
  must(
    kind === 'git' && /^([0-9a-f]{40}|[0-9a-f]{64})$/.test(commit) && isSha256(digest) && Number.isSafeInteger(size),
    'the workspace of the manifest is malformed',
  );
  checkGrant(task.grants.workspace, 'the workspace');
  return { workspace };
}

function pinnedInputs(manifest: DispatchManifest, task: Task): ReadonlyMap<string, Sha256> {
  must(isObject(manifest.inputs), 'the manifest has no inputs');
  const inputs = new Map<string, Sha256>();
  for (const [key, ref] of Object.entries(manifest.inputs)) {
    must(INPUT_KEY.test(key) && isSha256(ref?.sha256), `the input ${JSON.stringify(key)} is malformed`);
    const grant = Object.hasOwn(task.grants.inputs, key) ? task.grants.inputs[key] : undefined;
    checkGrant(grant, `the input ${key}`);
    inputs.set(key, ref.sha256);
  }
  return inputs;
}

function pinnedThings(manifest: DispatchManifest, task: Task): Assignment['pins'] {
  const digestOf = (pin: Pin, what: string): Sha256 => {
    must(
      isObject(pin) && typeof pin.ref === 'string' && isSha256(pin.sha256),
      `the ${what} of the manifest is malformed`,
    );
    checkGrant(task.grants.things?.[pin.sha256], `the ${what} ${pin.ref}`);
    return pin.sha256;
  };
  const list = (pins: readonly Pin[] | undefined, what: string): Sha256[] => {
    must(pins === undefined || Array.isArray(pins), `the list of ${what}s of the manifest is malformed`);
    return (pins ?? []).map((pin) => digestOf(pin, what));
  };
  const { shape, subagent } = manifest;
  must(
    subagent !== undefined || !hasAgent(manifest.pipeline.spec),
    'the manifest has an agent block and names no subagent',
  );
  return {
    ...(shape && { shape: digestOf(shape, 'shape') }),
    ...(subagent && { subagent: digestOf(subagent, 'subagent') }),
    capabilities: list(manifest.capabilities, 'capability'),
    env: list(manifest.env, 'env bundle'),
  };
}

const hasAgent = ({ blocks }: DispatchManifest['pipeline']['spec']): boolean =>
  blocks.some(({ kind }) => kind === 'agent');

function checkPipeline(spec: unknown): asserts spec is PipelineSpec {
  const problem = pipelineProblem(spec);
  must(problem === undefined, problem ?? '');
}

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

function must(condition: boolean, message: string): asserts condition {
  if (!condition) throw new ManifestRejected(message);
}
