/**
 * Dispatch and provenance statements of one attempt, checked field by field against the events and the plan
 * (evidence.md §3.4). Where a part follows from others it is made again and compared, so nothing can hide in it.
 */
import { canonical, canonicalBytes } from '@pangolin/contracts/canonical';
import { sha256, type Sha256 } from '@pangolin/contracts/digest';
import { isId } from '@pangolin/contracts/ids';
import type { RunEvent } from '@pangolin/contracts/run-log';
import {
  BUILD_TYPE,
  BUILDER_ID,
  predicateTypes,
  STATEMENT_TYPE,
  type Statement,
  type Subject,
} from '@pangolin/contracts/statement';
import type { DispatchManifest } from '@pangolin/contracts/task';
import { inputs } from './event-shapes.ts';
import type { PlannedItem } from './plan.ts';
import { quote, refuse } from './refusal.ts';
import { anything, array, count, digest, hex64, is, literal, object, record, text, time, type Check } from './shape.ts';
import { parseStrict } from './strict-json.ts';

export interface AttemptView {
  readonly fired: Extract<RunEvent, { kind: 'item.fired' }>;
  readonly reconciled?: Extract<RunEvent, { kind: 'item.reconciled' }>;
  readonly planned?: PlannedItem;
}

export type DispatchStatement = Statement<DispatchManifest>;

interface Provenance {
  readonly buildDefinition: {
    readonly buildType: string;
    readonly externalParameters: Readonly<Record<string, unknown>>;
    readonly internalParameters: Readonly<Record<string, unknown>>;
    readonly resolvedDependencies: readonly Subject[];
  };
  readonly runDetails: {
    readonly builder: { readonly id: string; readonly version: Readonly<Record<string, string>> };
    readonly metadata: { readonly invocationId: string; readonly startedOn: string; readonly finishedOn: string };
    readonly byproducts?: readonly Subject[];
  };
}
export type ProvenanceStatement = Statement<Provenance>;

const boolean = literal(true, false);
const id = is('an id', isId);
const attempt = is('an attempt number', (value) => Number.isSafeInteger(value) && (value as number) >= 1);
const image = object({ ref: text(1000), 'id?': text(1000) });
const network: Check = (value) =>
  typeof value === 'string'
    ? literal('none', 'open')(value)
    : object({ allow: array(text(253), { min: 1, max: 200 }) })(value);
const sandbox = {
  network,
  rootfs: literal('read-only', 'writable', 'host'),
  user: literal('separate', 'same'),
  noNewPrivileges: boolean,
  runtime: text(100),
};
const optional = (members: Readonly<Record<string, Check>>): Record<string, Check> =>
  Object.fromEntries(Object.entries(members).map(([key, check]) => [`${key}?`, check]));
const amounts = optional({
  cpuMillis: count,
  memoryBytes: count,
  pids: count,
  diskBytes: count,
  diskFiles: count,
  capabilities: literal('none'),
  seccomp: literal('default'),
});

const limits = object({ timeoutMs: count, 'idleTimeoutMs?': count, graceMs: count });
const sandboxes = object({
  asked: object({ ...optional(sandbox), ...amounts }),
  enforced: object({ ...sandbox, ...amounts }),
});
const subjects = array(object({ name: text(4096), digest }), { min: 1, max: 100_000 });

const pin = object({ ref: text(400), sha256: hex64 });
const pins = array(pin, { min: 1, max: 1000 });

const dispatchShape = object({
  _type: literal(STATEMENT_TYPE),
  subject: subjects,
  predicateType: literal(predicateTypes.dispatch),
  predicate: object({
    schema: literal('dispatch/1'),
    runId: id,
    itemId: id,
    attempt,
    engine: object({ name: text(100), version: text(100) }),
    provider: text(100),
    task: text(200),
    'store?': literal('socket', 'network'),
    pipeline: object({ 'ref?': text(400), sha256: hex64, spec: anything }),
    'image?': image,
    'shape?': pin,
    'subagent?': pin,
    'capabilities?': pins,
    'env?': pins,
    'workspace?': object({ kind: literal('git'), 'url?': text(8192), commit: text(64), sha256: hex64, size: count }),
    inputs,
    'params?': digest,
    'secrets?': array(text(1024), { min: 1, max: 1000 }),
    'answer?': digest,
    limits,
    sandbox: sandboxes,
  }),
});

const provenanceShape = object({
  _type: literal(STATEMENT_TYPE),
  subject: subjects,
  predicateType: literal(predicateTypes.provenance),
  predicate: object({
    buildDefinition: object({
      buildType: literal(BUILD_TYPE),
      externalParameters: object({ runId: id, itemId: id, attempt, 'params?': anything }),
      internalParameters: object({ provider: text(100), limits, sandbox: sandboxes }),
      resolvedDependencies: subjects,
    }),
    runDetails: object({
      builder: object({ id: literal(BUILDER_ID), version: record(() => true, text(100)) }),
      metadata: object({ invocationId: text(2000), startedOn: time, finishedOn: time }),
      'byproducts?': subjects,
    }),
  }),
});

function readStatement(what: string, payload: string, shape: Check): unknown {
  const value = parseStrict(quote(what), payload);
  const problem = shape(value);
  if (problem !== undefined) refuse(quote(what) + problem);
  return value;
}

/** @throws Refusal */
export function readDispatch(what: string, payload: string): DispatchStatement {
  return readStatement(what, payload, dispatchShape) as DispatchStatement;
}

/** @throws Refusal */
export function readProvenance(what: string, payload: string): ProvenanceStatement {
  return readStatement(what, payload, provenanceShape) as ProvenanceStatement;
}

const same = (left: unknown, right: unknown): boolean =>
  left === undefined || right === undefined ? left === right : canonical(left) === canonical(right);
const digestOf = (value: unknown): Sha256 => sha256(canonicalBytes(value));
const subject = (name: string, digest: Sha256): Subject => ({ name, digest: { sha256: digest } });

/** What one dispatch brings together: the subject of its statement. */
function materialsOf({
  image,
  pipeline,
  workspace,
  params,
  answer,
  inputs,
  ...registered
}: DispatchManifest): Subject[] {
  const imageDigest = image?.id?.startsWith('sha256:') ? image.id.slice(7) : undefined;
  return [
    ...(imageDigest === undefined ? [] : [subject('image', imageDigest)]),
    subject('pipeline', pipeline.sha256),
    ...pinSubjects(registered),
    ...(workspace ? [subject('workspace', workspace.sha256)] : []),
    ...(params ? [subject('params', params.sha256)] : []),
    ...(answer ? [subject('answer', answer.sha256)] : []),
    ...inputSubjects(inputs),
  ];
}

function pinSubjects({
  shape,
  subagent,
  capabilities = [],
  env = [],
}: Pick<DispatchManifest, 'shape' | 'subagent' | 'capabilities' | 'env'>): Subject[] {
  return [
    ...(shape ? [subject('shape', shape.sha256)] : []),
    ...(subagent ? [subject('subagent', subagent.sha256)] : []),
    ...capabilities.map((each) => subject(`capability:${each.ref}`, each.sha256)),
    ...env.map((each) => subject(`env:${each.ref}`, each.sha256)),
  ];
}

function inputSubjects(inputs: DispatchManifest['inputs']): Subject[] {
  const keys = Object.keys(inputs).sort();
  return keys.map((key) => subject(`input:${key}`, inputs[key]!.sha256));
}

/** What does not agree, or undefined. */
export function dispatchProblem(
  { subject, predicate: manifest }: DispatchStatement,
  { fired, reconciled, planned }: AttemptView,
): string | undefined {
  const { runId, itemId, attempt } = fired;
  if (manifest.runId !== runId || manifest.itemId !== itemId || manifest.attempt !== attempt)
    return 'is of another attempt';
  if (!same(manifest.inputs, fired.inputs)) return 'has other inputs than the log';
  if (!same(manifest.answer, fired.answer)) return 'has another answer than the log';
  if (digestOf(manifest.pipeline.spec) !== manifest.pipeline.sha256) return 'has a pipeline with another digest';
  if (!same(subject, materialsOf(manifest))) return 'has a subject that its manifest does not make';
  if (reconciled?.egress && typeof manifest.sandbox.enforced.network === 'string')
    return 'lets through no list of hosts, but the log has a record of what was let through';
  return planned && plannedProblem(manifest, planned);
}

function plannedProblem(manifest: DispatchManifest, { raw: item, pipelines }: PlannedItem): string | undefined {
  const { ref, sha256: pipeline, spec } = manifest.pipeline;
  if (!same({ ref, sha256: pipeline }, item.pipeline)) return 'has another pipeline than the plan';
  if (!Object.hasOwn(pipelines, pipeline) || !same(pipelines[pipeline], spec))
    return 'has a pipeline that the plan lacks';
  for (const field of ['shape', 'subagent', 'capabilities', 'env'] as const) {
    if (!same(manifest[field], item[field])) return `has another ${field} than the plan`;
  }
  if (!same(manifest.workspace, item.workspace)) return 'has another workspace than the plan';
  if (item.pinnedImage !== undefined && !same(manifest.image, item.pinnedImage))
    return 'has another image than the plan';
  if (manifest.params?.sha256 !== (item.params === undefined ? undefined : digestOf(item.params))) {
    return 'has other params than the plan';
  }
  const { timeoutMs, idleTimeoutMs } = manifest.limits;
  if (timeoutMs !== item.timeoutMs || idleTimeoutMs !== item.idleTimeoutMs)
    return 'has other time limits than the plan';
  const { network, cpuMillis, memoryBytes, sandbox } = item;
  return same(manifest.sandbox.asked, { network, cpuMillis, memoryBytes, ...(sandbox as object | undefined) })
    ? undefined
    : 'asks for another sandbox than the plan';
}

/** What does not agree, or undefined. @param dispatch undefined when the bundle withholds it. */
export function provenanceProblem(
  statement: ProvenanceStatement,
  { fired, reconciled, planned }: AttemptView,
  logOrigin: string,
  dispatch: DispatchStatement | undefined,
): string | undefined {
  const { runId, itemId, attempt } = fired;
  const { buildDefinition, runDetails } = statement.predicate;
  const outputs = reconciled!.outputs;
  const products = Object.keys(outputs).sort();
  if (
    !same(
      statement.subject,
      products.map((name) => subject(name, outputs[name]!.sha256)),
    )
  ) {
    return 'has other products than the log';
  }
  const { params, ...external } = buildDefinition.externalParameters;
  if (!same(external, { runId, itemId, attempt })) return 'is of another attempt';
  if (planned && !same(params, planned.raw.params)) return 'has other params than the plan';
  const invocation = `${logOrigin}/${runId}/${itemId}/${attempt}`;
  if (runDetails.metadata.invocationId !== invocation) return `has another invocation id than ${quote(invocation)}`;
  if (runDetails.metadata.finishedOn > reconciled!.at) return 'ends later than the log says';
  const byproducts = reconciled!.result && [subject('output.json', reconciled!.result.sha256)];
  if (!same(runDetails.byproducts, byproducts)) return 'names another result than the log';
  return dependenciesProblem(statement.predicate, fired, dispatch?.predicate);
}

function dependenciesProblem(
  { buildDefinition, runDetails }: Provenance,
  fired: AttemptView['fired'],
  manifest: DispatchManifest | undefined,
): string | undefined {
  const dependencies = buildDefinition.resolvedDependencies;
  if (!manifest) {
    const expected = [subject('dispatch', fired.dispatch.sha256), ...inputSubjects(fired.inputs)];
    const relevant = dependencies.filter(({ name }) => name === 'dispatch' || name.startsWith('input:'));
    return same(relevant, expected) ? undefined : 'depends on another dispatch or other inputs than the log';
  }
  const materials = materialsOf(manifest).filter(({ name }) => name !== 'params');
  if (!same(dependencies, [subject('dispatch', fired.dispatch.sha256), ...materials])) {
    return 'depends on something else than was dispatched';
  }
  const { provider, limits, sandbox, engine } = manifest;
  if (!same(buildDefinition.internalParameters, { provider, limits, sandbox }))
    return 'has other settings than were dispatched';
  const version = { [engine.name]: engine.version };
  return same(runDetails.builder.version, version) ? undefined : 'was made by another engine than was dispatched';
}
