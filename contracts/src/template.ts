/**
 * Prompt templates: `{{name}}` and `{{a.b}}` stand for values of the item's `inputs`. Text goes in as it is, everything
 * else as JSON. There is nothing more to it: no conditions, no code, and what was put in is not looked at again. Braces
 * that hold no name are text.
 */
const PLACEHOLDER = /\{\{\s*([A-Za-z_][A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]+)*)\s*\}\}/g;

export const DEFAULT_PROMPT = '{{prompt}}';

export type Params = Readonly<Record<string, unknown>>;

/** The placeholders that `params` has no value for, in their order. */
export function missingIn(template: string, params: Params): string[] {
  const names = [...template.matchAll(PLACEHOLDER)].map(([, name]) => name!);
  return [...new Set(names)].filter((name) => valueAt(params, name) === undefined);
}

/** @throws RangeError when a value is missing. */
export function renderTemplate(template: string, params: Params): string {
  return template.replace(PLACEHOLDER, (_, name: string) => {
    const value = valueAt(params, name);
    if (value === undefined) throw new RangeError(`the prompt needs ${name}, and the inputs do not have it`);
    return typeof value === 'string' ? value : JSON.stringify(value);
  });
}

function valueAt(params: Params, path: string): unknown {
  let value: unknown = params;
  for (const key of path.split('.')) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return undefined;
    value = (value as Params)[key];
  }
  return value;
}
