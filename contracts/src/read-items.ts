/** The items of a submitted document, a Run's or an Extension's: lifted, checked beyond the schema, and in normal form. */
import { checkPipeline } from './check-pipeline.ts';
import { PROBLEMS_MAX, type Finding } from './explain.ts';
import { show } from './formats.ts';
import { checkGraph, type Existing } from './graph.ts';
import { encodeSegment } from './ids.ts';
import { liftItem, liftedPath, type Lifted } from './lift.ts';
import { normaliseItem } from './normalise.ts';
import type { PipelineSpec } from './pipeline.ts';
import type { AdmittedItem, Pins } from './admitted-run.ts';
import type { Item, Run } from './run.ts';
import type { Workspace } from './workspace.ts';
import { pointerTo } from './text-place.ts';

/** An item as admission takes it: everything but the pins. */
export type NormalisedItem = Omit<AdmittedItem, 'pipeline' | 'workspace' | 'needs' | keyof Pins> & {
  readonly subagent?: string;
  readonly subagentShape?: string;
  readonly env?: readonly string[];
  /** Absent: those of the subagent. */
  readonly capabilities?: readonly string[];
  readonly addCapabilities?: readonly string[];
  /** Absent of an approval. */
  readonly pipeline?: string | PipelineSpec;
  readonly workspace?: Workspace;
  readonly needs?: NonNullable<Item['needs']>;
};

export interface ItemPointers {
  /** Where the value of this field of an item comes from: the item itself, the defaults, or the spec. */
  item(index: number, field: PinnedField): string;
  /** A field that only the item itself can have. */
  own(index: number, field: OwnField, rest?: string): string;
}

/** Fields that name something outside of the file. */
export type PinnedField =
  'pipeline' | 'workspace' | 'subagent' | 'subagentShape' | 'env' | 'capabilities' | 'addCapabilities';

export type OwnField = 'role' | 'depends_on' | 'inputs' | 'needs' | 'network';

/** An id is one segment of a storage key, and no file name is longer than 255 bytes. */
export const ENCODED_ID_MAX = 250;

/** What a document says of its items. An Extension has no more than that. */
export type ItemsSpec = Pick<Run['spec'], 'items' | 'defaults' | 'workspace'>;
export type Fields = Readonly<Record<string, unknown>>;
/** Pointer of the spec: `/spec` of an envelope, the document itself of a plan. */
export type SpecPointer = '' | '/spec';

/* ---- the plan form that tucks fields into inputs ---- */

export interface LiftedDocument {
  readonly document: Fields;
  readonly findings: readonly Finding[];
  readonly items: readonly (Lifted | undefined)[];
  /** The pointer into the file for a pointer into `document`. */
  real(pointer: string): string;
}

export function liftItems(document: Fields, specAt: SpecPointer): LiftedDocument {
  const spec = specAt === '/spec' ? document['spec'] : document;
  const items = typeof spec === 'object' && spec !== null ? (spec as Fields)['items'] : undefined;
  if (!Array.isArray(items)) return { document, findings: [], items: [], real: (pointer) => pointer };
  const at = `${specAt}/items`;
  const findings: Finding[] = [];
  const lifted = items.map((item, index) => liftItem(item, pointerTo(at, index), findings));
  const real = (pointer: string): string => {
    const [, index, rest] = new RegExp(`^${at}/(\\d+)(/.*)$`).exec(pointer) ?? [];
    const entry = index === undefined ? undefined : lifted[Number(index)];
    return entry ? `${at}/${index}${liftedPath(entry, rest!)}` : pointer;
  };
  if (lifted.every((entry) => entry === undefined)) return { document, findings, items: [], real };
  const changed = { ...(spec as Fields), items: items.map((item: unknown, index) => lifted[index]?.item ?? item) };
  return { document: specAt === '/spec' ? { ...document, spec: changed } : changed, findings, items: lifted, real };
}

/* ---- checks beyond the schema, and the normal form ---- */

/** With defaults below those of the document, field by field where defaults are merged with items so too. */
export function withDefaults<S extends Omit<ItemsSpec, 'items'>>(spec: S, below: ItemsSpec['defaults']): S {
  if (!below) return spec;
  const { retry, resources, sandbox } = spec.defaults ?? {};
  const merged = <T extends object>(under: T | undefined, above: T | undefined): T | undefined =>
    under && above ? { ...under, ...above } : (above ?? under);
  const both = {
    retry:
      retry?.backoff && below.retry?.backoff
        ? { ...below.retry, ...retry, backoff: { ...below.retry.backoff, ...retry.backoff } }
        : merged(below.retry, retry),
    resources: merged(below.resources, resources),
    sandbox: merged(below.sandbox, sandbox),
  };
  const given = Object.fromEntries(Object.entries(both).filter(([, value]) => value !== undefined));
  return { ...spec, defaults: { ...below, ...spec.defaults, ...given } };
}

/** `existing`: the items of the run that these join. */
export function normaliseItems(
  spec: ItemsSpec,
  specAt: SpecPointer,
  existing?: Existing,
): { readonly items: NormalisedItem[]; readonly findings: Finding[] } {
  const at = `${specAt}/items`;
  const defaultsAt = `${specAt}/defaults`;
  const graph = checkGraph(spec.items, at, existing);
  const findings: Finding[] = [...graph.findings];
  const checked = new Set<unknown>();
  const said = new Set<string>();
  const checkOnce = (pipeline: string | PipelineSpec | undefined, path: string): void => {
    if (typeof pipeline !== 'object' || checked.has(pipeline)) return;
    checked.add(pipeline);
    findings.push(...checkPipeline(pipeline, path));
  };
  checkOnce(spec.defaults?.pipeline, `${defaultsAt}/pipeline`);
  const items = spec.items.flatMap((item: Item, index) => {
    if (findings.length >= PROBLEMS_MAX) return [];
    checkId(item.id, `${pointerTo(at, index)}/id`, findings);
    checkOnce(item.pipeline, `${pointerTo(at, index)}/pipeline`);
    const dependencies = graph.dependencies[index]!;
    const places = { item: pointerTo(at, index), defaults: defaultsAt, spec: specAt };
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
  return { items, findings };
}

export function checkId(id: string, path: string, findings: Finding[]): void {
  if (id.length <= ENCODED_ID_MAX / 3 || encodeSegment(id).length <= ENCODED_ID_MAX) return;
  const message = `the id ${show(id)} has more than ${ENCODED_ID_MAX} characters once its @, : and + are percent-encoded`;
  findings.push({ path, code: 'TooLong', message, hint: 'It becomes a file name; make it shorter.' });
}

export function pointersOf(spec: ItemsSpec, specAt: SpecPointer, lifted: LiftedDocument): ItemPointers {
  return {
    own: (index, field, rest = '') => lifted.real(`${pointerTo(`${specAt}/items`, index)}/${field}${rest}`),
    item(index, field) {
      const own = pointerTo(`${specAt}/items`, index);
      if (spec.items[index]?.[field] !== undefined) return lifted.real(`${own}/${field}`);
      if (spec.defaults?.[field] !== undefined) return `${specAt}/defaults/${field}`;
      return `${specAt}/${field}`;
    },
  };
}
