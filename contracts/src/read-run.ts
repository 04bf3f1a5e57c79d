/**
 * A submitted run from bytes to a checked run with its defaults merged and its units resolved. Both spellings are read:
 * the Kubernetes envelope and the bare `plan.json`, and in either the plan form that tucks `pipeline` and `workerInput`
 * into `inputs`. Nothing outside of the file is looked at: names and workspaces are pinned by admission.
 */
import { canonical } from './canonical.ts';
import { checkPipeline, readDuration } from './check-pipeline.ts';
import { sha256, type Sha256 } from './digest.ts';
import { PROBLEMS_MAX, type Finding } from './explain.ts';
import { show } from './formats.ts';
import { checkGraph } from './graph.ts';
import { encodeSegment, isId } from './ids.ts';
import { liftItem, liftedPath, type Lifted } from './lift.ts';
import { located } from './located.ts';
import { normaliseItem } from './normalise.ts';
import { parseDocument } from './parse.ts';
import type { PipelineSpec } from './pipeline.ts';
import { DEFAULTS, type AdmittedItem, type Item, type Run, type Workspace } from './run.ts';
import { conforms, findingsOf, type Kind } from './schema.ts';
import type { Problem } from './status.ts';
import { pointerTo, type Locate } from './text-place.ts';

/** An item as admission takes it: everything but the pins. */
export type NormalisedItem = Omit<AdmittedItem, 'pipeline' | 'workspace' | 'needs'> & {
  /** Absent of an approval. */
  readonly pipeline?: string | PipelineSpec;
  readonly workspace?: Workspace;
  readonly needs?: NonNullable<Item['needs']>;
};

export interface NormalisedRun {
  readonly id: string;
  readonly queue: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly items: readonly NormalisedItem[];
  readonly openEnded?: true;
  readonly timeoutMs?: number;
}

export type ReadRun =
  | {
      readonly ok: true;
      readonly run: NormalisedRun;
      /** Of the submitted spec as canonical JSON in one spelling: the same for YAML and JSON, envelope and plan. */
      readonly digest: Sha256;
      readonly locate: Locate;
      /** Pointers into the document, for problems that are found later. */
      readonly at: RunPointers;
    }
  | { readonly ok: false; readonly id?: string; readonly problems: readonly Problem[] };

export interface RunPointers {
  readonly queue: string;
  /** Where the value of this field of an item comes from: the item itself, the defaults, or the spec. */
  item(index: number, field: 'pipeline' | 'workspace'): string;
}

/** An id is one segment of a storage key, and no file name is longer than 255 bytes. */
const ENCODED_ID_MAX = 250;

type Spec = Run['spec'];
type Fields = Readonly<Record<string, unknown>>;

/** Never throws. `file` is only named in the problems. */
export function readRun(bytes: Uint8Array, file: string): ReadRun {
  const parsed = parseDocument(bytes, file);
  if (!parsed.ok) return parsed;
  const { value, locate } = parsed;
  const form = formOf(value);
  if ('finding' in form) return { ok: false, problems: located([form.finding], file, locate) };

  const lifted = liftItems(value as Fields, form);
  const refuse = (findings: readonly Finding[], id: string | undefined): ReadRun => {
    const real = findings.slice(0, PROBLEMS_MAX).map((finding) => ({ ...finding, path: lifted.real(finding.path) }));
    return { ok: false, ...(id !== undefined && { id }), problems: located(real, file, locate) };
  };
  const id = idOf(value as Fields, form);
  const findings = [...lifted.findings, ...findingsOf(form.kind, lifted.document)];
  if (findings.length > 0 || !conforms(form.kind, lifted.document)) return refuse(findings, id);

  const spelled = spellOnce(lifted.document as unknown as Fields, form);
  const normalised = normalise(spelled.id, spelled.spec, form);
  if (normalised.findings.length > 0) return refuse(normalised.findings, id);
  return {
    ok: true,
    run: {
      id: spelled.id,
      queue: spelled.spec.queue ?? DEFAULTS.queue,
      labels: spelled.labels,
      items: normalised.items,
      ...(spelled.spec.openEnded && { openEnded: true as const }),
      ...(normalised.timeoutMs !== undefined && { timeoutMs: normalised.timeoutMs }),
    },
    digest: sha256(canonical(spelled)),
    locate,
    at: pointersOf(spelled.spec, form, lifted),
  };
}

/* ---- which spelling ---- */

interface Form {
  readonly kind: Kind & ('run' | 'plan');
  /** Pointer of the spec: `/spec` of the envelope, the document itself of a plan. */
  readonly spec: '' | '/spec';
}

function formOf(value: unknown): Form | { readonly finding: Finding } {
  const wrong = (message: string, hint: string, path = ''): { readonly finding: Finding } => ({
    finding: { path, code: 'NotARun', message, hint },
  });
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return wrong('the document is no run', 'Write apiVersion, kind: Run, metadata and spec; or id and items.');
  }
  const kind = (value as Fields)['kind'];
  if (kind === 'Pipeline') {
    return wrong('this is a pipeline, not a run', 'Register it: `pangolin pipeline register FILE`.', '/kind');
  }
  const envelope = ['apiVersion', 'kind', 'metadata', 'spec'].some((key) => Object.hasOwn(value, key));
  return envelope ? { kind: 'run', spec: '/spec' } : { kind: 'plan', spec: '' };
}

function idOf(value: Fields, form: Form): string | undefined {
  const id = form.kind === 'plan' ? value['id'] : (value['metadata'] as Fields | undefined)?.['name'];
  return isId(id) ? id : undefined;
}

/** One spelling of both forms; its canonical JSON is the identity of the submission. */
function spellOnce(
  document: Fields,
  form: Form,
): { readonly id: string; readonly labels: Readonly<Record<string, string>>; readonly spec: Spec } {
  if (form.kind === 'run') {
    const { metadata, spec } = document as unknown as Run;
    return { id: metadata.name, labels: metadata.labels ?? {}, spec };
  }
  const { id, labels, ...spec } = document as unknown as Spec & { id: string; labels?: Record<string, string> };
  return { id, labels: labels ?? {}, spec };
}

/* ---- the plan form that tucks fields into inputs ---- */

interface LiftedDocument {
  readonly document: Fields;
  readonly findings: readonly Finding[];
  readonly items: readonly (Lifted | undefined)[];
  /** The pointer into the file for a pointer into `document`. */
  real(pointer: string): string;
}

function liftItems(document: Fields, form: Form): LiftedDocument {
  const spec = form.kind === 'run' ? document['spec'] : document;
  const items = typeof spec === 'object' && spec !== null ? (spec as Fields)['items'] : undefined;
  if (!Array.isArray(items)) return { document, findings: [], items: [], real: (pointer) => pointer };
  const at = `${form.spec}/items`;
  const findings: Finding[] = [];
  const lifted = items.map((item, index) => liftItem(item, pointerTo(at, index), findings));
  const real = (pointer: string): string => {
    const [, index, rest] = new RegExp(`^${at}/(\\d+)(/.*)$`).exec(pointer) ?? [];
    const entry = index === undefined ? undefined : lifted[Number(index)];
    return entry ? `${at}/${index}${liftedPath(entry, rest!)}` : pointer;
  };
  if (lifted.every((entry) => entry === undefined)) return { document, findings, items: [], real };
  const changed = { ...(spec as Fields), items: items.map((item: unknown, index) => lifted[index]?.item ?? item) };
  return { document: form.kind === 'run' ? { ...document, spec: changed } : changed, findings, items: lifted, real };
}

/* ---- checks beyond the schema, and the normal form ---- */

function normalise(
  runId: string,
  spec: Spec,
  form: Form,
): { readonly items: NormalisedItem[]; readonly timeoutMs: number | undefined; readonly findings: readonly Finding[] } {
  const at = `${form.spec}/items`;
  const defaultsAt = `${form.spec}/defaults`;
  const graph = checkGraph(spec.items, at);
  const findings: Finding[] = [...graph.findings];
  const timeoutMs = readDuration(spec.timeout, `${form.spec}/timeout`, findings);
  const checked = new Set<unknown>();
  const said = new Set<string>();
  const checkOnce = (pipeline: string | PipelineSpec | undefined, path: string): void => {
    if (typeof pipeline !== 'object' || checked.has(pipeline)) return;
    checked.add(pipeline);
    findings.push(...checkPipeline(pipeline, path));
  };
  const checkKey = (id: string, path: string): void => {
    if (id.length <= ENCODED_ID_MAX / 3 || encodeSegment(id).length <= ENCODED_ID_MAX) return;
    const message = `the id ${show(id)} has more than ${ENCODED_ID_MAX} characters once its @, : and + are percent-encoded`;
    findings.push({ path, code: 'TooLong', message, hint: 'It becomes a file name; make it shorter.' });
  };
  checkKey(runId, form.kind === 'run' ? '/metadata/name' : '/id');
  checkOnce(spec.defaults?.pipeline, `${defaultsAt}/pipeline`);
  const items = spec.items.flatMap((item: Item, index) => {
    if (findings.length >= PROBLEMS_MAX) return [];
    checkKey(item.id, `${pointerTo(at, index)}/id`);
    checkOnce(item.pipeline, `${pointerTo(at, index)}/pipeline`);
    const dependencies = graph.dependencies[index]!;
    const places = { item: pointerTo(at, index), defaults: defaultsAt, spec: form.spec };
    const own: Finding[] = [];
    const normalised = normaliseItem(item, dependencies, spec, places, own);
    // What is wrong with a default is wrong with every item, and said once.
    for (const finding of own) {
      const key = `${finding.code} ${finding.path}`;
      if (!said.has(key)) findings.push(finding);
      said.add(key);
    }
    return normalised ?? [];
  });
  return { items, timeoutMs, findings };
}

function pointersOf(spec: Spec, form: Form, lifted: LiftedDocument): RunPointers {
  return {
    queue: `${form.spec}/queue`,
    item(index, field) {
      const own = pointerTo(`${form.spec}/items`, index);
      if (spec.items[index]?.[field] !== undefined) return lifted.real(`${own}/${field}`);
      if (spec.defaults?.[field] !== undefined) return `${form.spec}/defaults/${field}`;
      return `${form.spec}/${field}`;
    },
  };
}
