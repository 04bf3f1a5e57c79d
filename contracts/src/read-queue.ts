/** A submitted `kind: Queue` from bytes to its admitted form. */
import type { Finding } from './explain.ts';
import { located } from './located.ts';
import { normaliseItem } from './normalise.ts';
import { parseDocument } from './parse.ts';
import { checkPattern } from './read-pattern.ts';
import type { AdmittedQueue } from './queue.ts';
import type { QueueDefaults } from './policy.ts';
import { conforms, findingsOf } from './schema.ts';
import type { Problem } from './status.ts';
import { parseDuration } from './units.ts';

export type ReadQueue =
  | { readonly ok: true; readonly name: string; readonly queue: AdmittedQueue; readonly paused?: boolean }
  | { readonly ok: false; readonly problems: readonly Problem[] };

/** Undefined when the document is no Queue: somebody else reads it then. Never throws. */
export function readQueue(bytes: Uint8Array, file: string): ReadQueue | undefined {
  // Runs may be large and are parsed by their own reader; a queue says so in its first lines.
  if (!Buffer.from(bytes.subarray(0, 4096)).includes('Queue')) return undefined;
  const parsed = parseDocument(bytes, file);
  if (!parsed.ok) return undefined;
  const { value, locate } = parsed;
  if (typeof value !== 'object' || value === null || (value as { kind?: unknown }).kind !== 'Queue') return undefined;
  if (!conforms('queue', value)) return { ok: false, problems: located(findingsOf('queue', value), file, locate) };
  const { concurrency, rateLimit, pattern, defaults, paused } = value.spec;
  const perMs = rateLimit && parseDuration(rateLimit.per);
  if (perMs !== undefined && perMs < 1) {
    const finding = {
      path: '/spec/rateLimit/per',
      code: 'InvalidValue',
      message: 'the duration is zero',
      hint: 'Write one such as 1s or 1m.',
    };
    return { ok: false, problems: located([finding], file, locate) };
  }
  const growing = pattern === 'static-dag' ? undefined : pattern;
  const wrong = [
    ...(growing ? checkPattern(growing, '/spec/pattern') : []),
    ...(defaults ? checkDefaults(defaults, '/spec/defaults') : []),
  ];
  if (wrong.length > 0) return { ok: false, problems: located(wrong, file, locate) };
  const queue = {
    concurrency,
    ...(growing && { pattern: growing }),
    ...(defaults && { defaults }),
    ...(rateLimit && { rateLimit: { starts: rateLimit.starts, perMs: perMs! } }),
  };
  return { ok: true, name: value.metadata.name, queue, ...(paused !== undefined && { paused }) };
}

/** What would be wrong with an item that has nothing else. */
function checkDefaults(defaults: QueueDefaults, path: string): readonly Finding[] {
  const findings: Finding[] = [];
  const item = { id: 'item', pipeline: { blocks: [{ kind: 'agent' as const }] }, ...defaults };
  normaliseItem(item, [], { items: [] }, { item: path, defaults: path, spec: '/spec' }, findings);
  return findings;
}
