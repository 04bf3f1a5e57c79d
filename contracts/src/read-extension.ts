/** A submitted `kind: Extension` from bytes to checked items. What it names is pinned by admission. */
import { PROBLEMS_MAX, type Finding } from './explain.ts';
import type { Existing } from './graph.ts';
import { isId } from './ids.ts';
import { located } from './located.ts';
import { parseDocument } from './parse.ts';
import {
  liftItems,
  normaliseItems,
  withDefaults,
  pointersOf,
  type Fields,
  type ItemPointers,
  type ItemsSpec,
  type NormalisedItem,
} from './read-items.ts';
import { conforms, findingsOf } from './schema.ts';
import type { Problem } from './status.ts';
import type { Locate } from './text-place.ts';

export type ReadExtension =
  | {
      readonly ok: true;
      /** The run to extend. */
      readonly run: string;
      readonly items: readonly NormalisedItem[];
      readonly locate: Locate;
      readonly at: ItemPointers;
    }
  | { readonly ok: false; readonly run?: string; readonly problems: readonly Problem[] };

/**
 * Undefined when the document is no Extension: somebody else reads it then. Never throws.
 * @param existingOf what is known of the run that is to be extended; while it is unknown, items may leave open what to run
 * @param defaultsOf what items of that run have in common
 */
export function readExtension(
  bytes: Uint8Array,
  file: string,
  existingOf: (run: string) => Existing,
  defaultsOf: (run: string) => ItemsSpec['defaults'] = () => undefined,
): ReadExtension | undefined {
  // Runs may be large and are parsed by their own reader; an extension says so somewhere.
  if (!Buffer.from(bytes).includes('Extension')) return undefined;
  const parsed = parseDocument(bytes, file);
  if (!parsed.ok) return undefined;
  const { value, locate } = parsed;
  if (typeof value !== 'object' || value === null || (value as Fields)['kind'] !== 'Extension') return undefined;

  const given = ((value as Fields)['spec'] as Fields | null | undefined)?.['run'];
  const lifted = liftItems(value as Fields, '/spec');
  const refuse = (findings: readonly Finding[]): ReadExtension => {
    const real = findings.slice(0, PROBLEMS_MAX).map((finding) => ({ ...finding, path: lifted.real(finding.path) }));
    return { ok: false, ...(isId(given) && { run: given }), problems: located(real, file, locate) };
  };
  const findings = [...lifted.findings, ...findingsOf('extension', lifted.document)];
  if (findings.length > 0 || !conforms('extension', lifted.document)) return refuse(findings);
  const { run, ...written } = lifted.document.spec;
  const spec = withDefaults(written, defaultsOf(run));
  const existing = existingOf(run);
  const normalised = normaliseItems(spec, '/spec', existing);
  const wrong = normalised.findings.filter(({ code }) => existing !== 'unknown' || code !== 'MissingPipeline');
  if (wrong.length > 0) return refuse(wrong);
  return { ok: true, run, items: normalised.items, locate, at: pointersOf(spec, '/spec', lifted) };
}
