/** Closed object shapes: every key is known, every value checked. Anything else is refused, with its path. */
import { isSha256 } from '@pangolin/contracts/digest';

/** Undefined when the value is right, else what is wrong with it, starting with the path below it. */
export type Check = (value: unknown) => string | undefined;

/** A rule for one value as a predicate. */
export const is =
  (what: string, test: (value: unknown) => boolean): Check =>
  (value) =>
    test(value) ? undefined : ` is not ${what}`;

/** Closed object; keys that end in `?` may be absent. `__proto__` is a key as any other. */
export function object(members: Readonly<Record<string, Check>>): Check {
  const rules = new Map<string, { readonly check: Check; readonly required: boolean }>();
  for (const [key, check] of Object.entries(members)) {
    const required = !key.endsWith('?');
    rules.set(required ? key : key.slice(0, -1), { check, required });
  }
  const required = [...rules.keys()].filter((key) => rules.get(key)!.required);
  return (value) => {
    if (!isObject(value)) return ' is not an object';
    let seen = 0;
    // What JSON.parse makes has no enumerable key but its own.
    for (const key in value) {
      const rule = rules.get(key);
      if (rule === undefined) return ` has an unknown field ${JSON.stringify(key.slice(0, 100))}`;
      const problem = rule.check(value[key]);
      if (problem !== undefined) return `.${key}${problem}`;
      if (rule.required) seen++;
    }
    if (seen === required.length) return undefined;
    return ` lacks ${required.filter((key) => !Object.hasOwn(value, key)).join(', ')}`;
  };
}

export function array(element: Check, limits: { readonly min?: number; readonly max: number }): Check {
  return (value) => {
    if (!Array.isArray(value)) return ' is not a list';
    if (value.length < (limits.min ?? 0) || value.length > limits.max) return ` has ${value.length} elements`;
    for (const [at, each] of value.entries()) {
      const problem = element(each);
      if (problem !== undefined) return `[${at}]${problem}`;
    }
    return undefined;
  };
}

export function record(key: (key: string) => boolean, element: Check): Check {
  return (value) => {
    if (!isObject(value)) return ' is not an object';
    for (const name in value) {
      if (!key(name)) return ` has a field that may not be called ${JSON.stringify(name.slice(0, 100))}`;
      const problem = element(value[name]);
      if (problem !== undefined) return `.${name.slice(0, 100)}${problem}`;
    }
    return undefined;
  };
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export const literal = (...values: readonly unknown[]): Check =>
  is(values.map((value) => JSON.stringify(value)).join(' or '), (value) => values.includes(value));
export const anything: Check = () => undefined;
export const text = (max: number): Check =>
  is(`a text of at most ${max} characters`, (value) => typeof value === 'string' && value.length <= max);
export const count: Check = is('a whole number', (value) => Number.isSafeInteger(value) && (value as number) >= 0);
export const hex64: Check = is('64 hexadecimal digits', isSha256);
export const digest: Check = object({ sha256: hex64 });
export const time: Check = is('a time (YYYY-MM-DDTHH:MM:SS.mmmZ)', isTime);

const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;

/** The last good one: neighbouring events mostly share their time. */
let lastTime = '';

export function isTime(value: unknown): value is string {
  if (value === lastTime) return true;
  if (typeof value !== 'string' || !TIME.test(value)) return false;
  const at = Date.parse(value);
  if (Number.isNaN(at) || new Date(at).toISOString() !== value) return false;
  lastTime = value;
  return true;
}
