/**
 * A submitted run from bytes to a checked run with its defaults merged and its units resolved. Both spellings are read:
 * the Kubernetes envelope and the bare `plan.json`, and in either the plan form that tucks typed fields into `inputs`.
 * Nothing outside of the file is looked at: names and workspaces are pinned by admission.
 */
import { canonical } from './canonical.ts';
import { readDuration } from './check-pipeline.ts';
import { sha256, type Sha256 } from './digest.ts';
import { PROBLEMS_MAX, type Finding } from './explain.ts';
import { isId } from './ids.ts';
import { located } from './located.ts';
import { normaliseItem } from './normalise.ts';
import { parseDocument } from './parse.ts';
import {
  checkId,
  liftItems,
  normaliseItems,
  pointersOf,
  withDefaults,
  type Fields,
  type ItemPointers,
  type NormalisedItem,
  type SpecPointer,
} from './read-items.ts';
import type { QueueDefaults } from './policy.ts';
import { DEFAULTS, type Item, type Run } from './run.ts';
import { conforms, findingsOf, type Kind } from './schema.ts';
import type { Problem } from './status.ts';
import type { Locate } from './text-place.ts';

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
      /** A template of a pattern as an item of this run would be: with its defaults. Undefined exactly when findings were added. */
      template(template: Omit<Item, 'id'>, findings: Finding[]): NormalisedItem | undefined;
      /** What its items have in common, for those that join it later. */
      readonly common: Pick<Spec, 'defaults' | 'workspace'>;
    }
  | { readonly ok: false; readonly id?: string; readonly problems: readonly Problem[] };

export interface RunPointers extends ItemPointers {
  readonly queue: string;
  /** Where the workspace of items without one of their own is written. */
  readonly workspace: string;
}

type Spec = Run['spec'];

/** Never throws. `file` is only named in the problems. `queueDefaults`: what the queue of that name sets for its runs. */
export function readRun(
  bytes: Uint8Array,
  file: string,
  queueDefaults: (queue: string) => QueueDefaults | undefined = () => undefined,
): ReadRun {
  const parsed = parseDocument(bytes, file);
  if (!parsed.ok) return parsed;
  const { value, locate } = parsed;
  const form = formOf(value);
  if ('finding' in form) return { ok: false, problems: located([form.finding], file, locate) };

  const lifted = liftItems(value as Fields, form.spec);
  const refuse = (findings: readonly Finding[], id: string | undefined): ReadRun => {
    const real = findings.slice(0, PROBLEMS_MAX).map((finding) => ({ ...finding, path: lifted.real(finding.path) }));
    return { ok: false, ...(id !== undefined && { id }), problems: located(real, file, locate) };
  };
  const id = idOf(value as Fields, form);
  const findings = [...lifted.findings, ...findingsOf(form.kind, lifted.document)];
  if (findings.length > 0 || !conforms(form.kind, lifted.document)) return refuse(findings, id);

  const spelled = spellOnce(lifted.document as unknown as Fields, form);
  const queue = spelled.spec.queue ?? DEFAULTS.queue;
  const spec = withDefaults(spelled.spec, queueDefaults(queue));
  const normalised = normalise(spelled.id, spec, form);
  if (normalised.findings.length > 0) return refuse(normalised.findings, id);
  return {
    ok: true,
    run: {
      id: spelled.id,
      queue,
      labels: spelled.labels,
      items: normalised.items,
      ...(spelled.spec.openEnded && { openEnded: true as const }),
      ...(normalised.timeoutMs !== undefined && { timeoutMs: normalised.timeoutMs }),
    },
    digest: sha256(canonical(spelled)),
    locate,
    common: {
      ...(spec.defaults && { defaults: spec.defaults }),
      ...(spec.workspace && { workspace: spec.workspace }),
    },
    template: (template, findings) => {
      const places = { item: '', defaults: `${form.spec}/defaults`, spec: form.spec };
      return normaliseItem({ id: 'template', ...template }, [], spec, places, findings);
    },
    at: {
      queue: `${form.spec}/queue`,
      workspace: `${form.spec}${spec.defaults?.workspace ? '/defaults' : ''}/workspace`,
      ...pointersOf(spelled.spec, form.spec, lifted),
    },
  };
}

/* ---- which spelling ---- */

interface Form {
  readonly kind: Kind & ('run' | 'plan');
  /** Pointer of the spec: `/spec` of the envelope, the document itself of a plan. */
  readonly spec: SpecPointer;
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
  if (kind === 'Extension') {
    return wrong('this is an extension, not a run', 'Add it to its run: `pangolin orch extend RUN FILE`.', '/kind');
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

/* ---- checks beyond the schema ---- */

function normalise(
  runId: string,
  spec: Spec,
  form: Form,
): { readonly items: NormalisedItem[]; readonly timeoutMs: number | undefined; readonly findings: readonly Finding[] } {
  const { items, findings } = normaliseItems(spec, form.spec);
  const timeoutMs = readDuration(spec.timeout, `${form.spec}/timeout`, findings);
  checkId(runId, form.kind === 'run' ? '/metadata/name' : '/id', findings);
  return { items, timeoutMs, findings };
}
