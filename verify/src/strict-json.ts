/** `parseCanonical` of the contracts for many short documents: the same answer, without building the text twice. */
import { canonical } from '@pangolin/contracts/canonical';
import { Refusal, reading, refuse } from './refusal.ts';

/** As in contracts/canonical. */
const DEPTH_MAX = 200;

/** @param text decoded from valid UTF-8. @throws Refusal unless it is the canonical form (RFC 8785) of what it says. */
export function parseStrict(what: string, text: string): unknown {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new Refusal(`${what} is not JSON`, { cause });
  }
  if (!looksCanonical(text, value) && reading(what, () => canonical(value)) !== text) {
    refuse(`${what} is not canonical JSON (RFC 8785)`);
  }
  return value;
}

/**
 * True is certain, false is not: keys that look like integers are iterated in another order than they sort in, and
 * JSON.stringify lets the escape of a lone surrogate through. Both take the long way.
 */
function looksCanonical(text: string, value: unknown): boolean {
  return !text.includes('\\ud') && hasSortedKeys(value, 0) && JSON.stringify(value) === text;
}

function hasSortedKeys(value: unknown, depth: number): boolean {
  if (typeof value !== 'object' || value === null) return true;
  if (depth > DEPTH_MAX) return false;
  if (Array.isArray(value)) return value.every((entry) => hasSortedKeys(entry, depth + 1));
  let previous: string | undefined;
  // What JSON.parse makes has no enumerable key but its own.
  for (const key in value) {
    if (previous !== undefined && previous >= key) return false;
    previous = key;
    if (!hasSortedKeys((value as Record<string, unknown>)[key], depth + 1)) return false;
  }
  return true;
}
