/** Identifiers of runs, items and queues, and their one encoding into storage keys and task names. */
import { sha256 } from './digest.ts';

/** Characters of an id. */
export const ID_MAX = 200;
/** Design §4. `..` is refused besides: see `isId`. */
export const ID_PATTERN = '^(?!.*\\.\\.)[A-Za-z0-9][A-Za-z0-9._@:~+-]{0,199}$';
const ID = new RegExp(ID_PATTERN);

export function isId(value: unknown): value is string {
  return typeof value === 'string' && ID.test(value);
}

/** Percent-encodes everything but unreserved characters (RFC 3986), so that a key segment is also a safe file name. */
export function encodeSegment(text: string): string {
  const encoded = encodeURIComponent(text).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
  return /^\.+$/.test(encoded) ? encoded.replaceAll('.', '%2E') : encoded;
}

export function decodeSegment(segment: string): string {
  return decodeURIComponent(segment);
}

/** One attempt of one item: the unit that gets a task. */
export interface AttemptRef {
  readonly runId: string;
  readonly itemId: string;
  /** Numbered from 1. */
  readonly attempt: number;
}

/**
 * The deterministic name of an attempt's task: a legal Docker container, Kubernetes Job and ECS
 * startedBy name (lower case, digits and hyphens, at most 63 characters), readable first, unique by its hash.
 */
export function taskName(deployment: string, ref: AttemptRef): string {
  const readable = `${ref.runId}-${ref.itemId}`
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .slice(0, 30)
    .replace(/^-+|-+$/g, '');
  const hash = sha256(JSON.stringify([deployment, ref.runId, ref.itemId, ref.attempt])).slice(0, 16);
  return `pangolin-${readable}-${ref.attempt}-${hash}`;
}
