/**
 * RFC 8785 (JCS) canonical JSON and the strict reader that goes with it: bytes are accepted only when
 * canonicalising what they parse to gives the same bytes back. That one comparison refuses duplicate
 * keys, white space, alternative escapes, `1.0`, invalid UTF-8 and a byte order mark.
 */
import { PangolinError } from './errors.ts';

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** How deep a document may nest; deeper is hostile and would exhaust the stack. */
const DEPTH_MAX = 200;

/** @throws PangolinError INVALID for undefined, non-finite numbers, lone surrogates, cycles and non-JSON values. */
export function canonical(value: unknown): string {
  return write(value, 0);
}

function write(value: unknown, depth: number): string {
  if (depth > DEPTH_MAX) throw new PangolinError('INVALID', `JSON nests deeper than ${DEPTH_MAX} levels`);
  if (value === null || typeof value === 'boolean') return String(value);
  if (typeof value === 'string') {
    if (!value.isWellFormed()) throw new PangolinError('INVALID', 'a string holds a lone surrogate');
    return JSON.stringify(value);
  }
  if (typeof value === 'number') {
    if (!Number.isFinite(value)) throw new PangolinError('INVALID', `${value} is not a JSON number`);
    return JSON.stringify(value);
  }
  if (Array.isArray(value)) return `[${value.map((entry) => write(entry, depth + 1)).join(',')}]`;
  if (typeof value === 'object') {
    let members = '';
    for (const key of Object.keys(value).sort()) {
      const member = (value as Record<string, unknown>)[key];
      if (member === undefined) continue;
      members += `${members === '' ? '' : ','}${write(key, depth)}:${write(member, depth + 1)}`;
    }
    return `{${members}}`;
  }
  throw new PangolinError('INVALID', `${typeof value} is not a JSON value`);
}

export function canonicalBytes(value: unknown): Buffer {
  return Buffer.from(canonical(value), 'utf8');
}

/** @throws PangolinError INVALID unless `bytes` are exactly the canonical form of what they say. */
export function parseCanonical(bytes: Uint8Array): unknown {
  let value: unknown;
  let text: string;
  try {
    text = utf8.decode(bytes);
    value = JSON.parse(text);
  } catch (cause) {
    throw new PangolinError('INVALID', 'not UTF-8 JSON', { cause });
  }
  if (canonical(value) !== text) throw new PangolinError('INVALID', 'not canonical JSON (RFC 8785)');
  return value;
}
