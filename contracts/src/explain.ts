/**
 * What is wrong with a value, in sentences. A walk over the schema and the value together: of a union only the arm that
 * the author evidently meant is reported, an unknown field comes with the field it was probably meant to be.
 * The compiled check decides (contracts/schema); this only says why.
 */
import { formatOf, show } from './formats.ts';
import { nearest } from './nearest.ts';
import type { Problem } from './status.ts';
import { pointerSegments, pointerTo } from './text-place.ts';

/** Problems reported of one document; a file with more has one cause. */
export const PROBLEMS_MAX = 100;

/** A problem without its place in a file. `at` says whether the key or the value is the place. */
export type Finding = Omit<Problem, 'file' | 'line' | 'column'> & { readonly at?: 'key' | 'value' };

/** The JSON Schema keywords that our schemas use. */
export interface Schema {
  readonly type?: string;
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly anyOf?: readonly Schema[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly patternProperties?: Readonly<Record<string, Schema>>;
  readonly additionalProperties?: boolean | Schema;
  readonly items?: Schema;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly pattern?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly exclusiveMinimum?: number;
  readonly description?: string;
}

type Fields = Readonly<Record<string, unknown>>;

export function explain(schema: Schema, value: unknown): Finding[] {
  const walk = new Walk();
  walk.value(schema, value, '');
  return walk.findings;
}

export function typeName(value: unknown): string {
  if (value === null) return 'null';
  return Array.isArray(value) ? 'array' : typeof value;
}

const names: Readonly<Record<string, string>> = {
  object: 'an object',
  array: 'a list',
  string: 'text',
  number: 'a number',
  integer: 'a whole number',
  boolean: 'true or false',
};

function fits(type: string | undefined, value: unknown): boolean {
  if (type === undefined) return true;
  const found = typeName(value);
  return type === found || (type === 'integer' && found === 'number' && Number.isInteger(value));
}

const regexes = new Map<string, RegExp>();
function matches(pattern: string, text: string): boolean {
  let regex = regexes.get(pattern);
  if (!regex) regexes.set(pattern, (regex = new RegExp(pattern)));
  return regex.test(text);
}

/** The last name of a pointer, with the place in its list: `` `timeout` ``, `` `items[3]` ``. The whole is in `path`. */
function nameOf(pointer: string): string {
  const segments = pointerSegments(pointer);
  let name = segments.pop();
  if (name === undefined) return 'the document';
  if (/^\d+$/.test(name)) name = `${segments.pop() ?? ''}[${name}]`;
  return `\`${name.slice(0, 60)}\``;
}

/** How this very value could be what is wanted, or what a right one looks like. */
function hintForType(schemas: readonly Schema[], value: unknown): string | undefined {
  const text = schemas.find(({ type }) => type === 'string');
  const pattern = schemas.find((schema) => schema.pattern)?.pattern;
  const isPlain = typeof value === 'number' || typeof value === 'boolean';
  if (text && isPlain && (pattern === undefined || matches(pattern, String(value)))) return 'Put it in quotes.';
  const wantsNumber = schemas.some(({ type }) => type === 'number' || type === 'integer');
  if (wantsNumber && typeof value === 'string' && /^\d+$/.test(value)) return 'Remove the quotes.';
  if (pattern !== undefined) return formatOf(pattern).hint;
  const [only] = schemas;
  if (schemas.length > 1) return undefined;
  if (only?.type === 'array' && typeof value === 'string')
    return 'Write a list, in [brackets] or a line each after a dash.';
  const fields = only?.type === 'object' ? Object.keys(only.properties ?? {}) : [];
  return fields.length === 0
    ? undefined
    : `Write { ${fields
        .sort()
        .map((name) => `${name}: …`)
        .join(', ')} }, or some of these.`;
}

class Walk {
  readonly findings: Finding[] = [];

  #add(path: string, code: string, message: string, hint?: string, at?: 'key'): void {
    if (this.findings.length >= PROBLEMS_MAX) return;
    this.findings.push({ path, code, message, ...(hint !== undefined && { hint }), ...(at && { at }) });
  }

  value(schema: Schema, value: unknown, path: string): void {
    if (this.findings.length >= PROBLEMS_MAX) return;
    if (schema.anyOf) return this.#union(schema, schema.anyOf, value, path);
    if (schema.const !== undefined || schema.enum) return this.#choice(schema.enum ?? [schema.const], value, path);
    if (!fits(schema.type, value)) return this.#wrongType([schema], value, path);
    if (schema.type === 'object') this.#object(schema, value as Fields, path);
    else if (schema.type === 'array') this.#list(schema, value as readonly unknown[], path);
    else if (schema.type === 'string') this.#text(schema, value as string, path);
    else if (schema.type === 'number' || schema.type === 'integer') this.#number(schema, value as number, path);
  }

  #wrongType(schemas: readonly Schema[], value: unknown, path: string, about?: string): void {
    const wanted = [...new Set(schemas.map((s) => (s.pattern ? formatOf(s.pattern).what : names[s.type ?? 'object'])))];
    const hint = value === null ? 'Write a value, or remove the field.' : (hintForType(schemas, value) ?? about);
    this.#add(path, 'WrongType', `${nameOf(path)} must be ${wanted.join(' or ')}, found ${show(value)}`, hint);
  }

  #choice(options: readonly unknown[], value: unknown, path: string): void {
    if (options.includes(value)) return;
    const texts = options.map(String);
    const meant = typeof value === 'string' && texts.length > 1 ? nearest(value, texts) : undefined;
    const wanted = texts.length === 1 ? `\`${texts[0]}\`` : `one of ${texts.map((text) => `\`${text}\``).join(', ')}`;
    const hint = meant === undefined ? undefined : `Did you mean \`${meant}\`?`;
    this.#add(path, 'InvalidValue', `${nameOf(path)} must be ${wanted}, found ${show(value)}`, hint);
  }

  #union(schema: Schema, arms: readonly Schema[], value: unknown, path: string): void {
    const fitting = arms.filter((arm) => fits(arm.type, value));
    if (fitting.length === 0) {
      return arms.every((arm) => arm.const !== undefined)
        ? this.#choice(
            arms.map((arm) => arm.const),
            value,
            path,
          )
        : this.#wrongType(arms, value, path, schema.description);
    }
    const [only] = fitting;
    if (fitting.every((arm) => arm.const !== undefined)) {
      if (fitting.some((arm) => arm.const === value)) return;
      return this.#choice(
        fitting.map((arm) => arm.const),
        value,
        path,
      );
    }
    if (fitting.length === 1) return this.value(only!, value, path);
    if (typeName(value) === 'object') return this.#objectUnion(schema, fitting, value as Fields, path);
    if (fitting.some((arm) => new Walk().#holds(arm, value))) return;
    this.value(only!, value, path);
  }

  #holds(schema: Schema, value: unknown): boolean {
    this.value(schema, value, '');
    return this.findings.length === 0;
  }

  #objectUnion(schema: Schema, arms: readonly Schema[], value: Fields, path: string): void {
    // The field that tells the arms apart: a constant in every one of them.
    const tag = Object.keys(arms[0]!.properties ?? {}).find((key) =>
      arms.every((arm) => arm.properties?.[key]?.const !== undefined),
    );
    if (tag !== undefined) {
      const constants = arms.map((arm) => arm.properties![tag]!.const);
      const arm = arms[constants.indexOf(value[tag])];
      if (arm) return this.value(arm, value, path);
      if (Object.hasOwn(value, tag)) return this.#choice(constants, value[tag], pointerTo(path, tag));
      const hint = `Write \`${tag}: ${constants.map(String).join(`\` or \`${tag}: `)}\`.`;
      return this.#add(path, 'MissingField', `${nameOf(path)} lacks \`${tag}\``, hint);
    }
    const scores = arms.map(
      (arm) => Object.keys(value).filter((key) => Object.hasOwn(arm.properties ?? {}, key)).length,
    );
    const best = scores.indexOf(Math.max(...scores));
    if (scores[best]! > 0) return this.value(arms[best]!, value, path);
    const forms = arms
      .map((arm) => `{ ${(arm.required ?? Object.keys(arm.properties ?? {})).join(', ')} }`)
      .join(' or ');
    const [key] = Object.keys(value);
    const meant =
      key === undefined
        ? undefined
        : nearest(
            key,
            arms.flatMap((arm) => Object.keys(arm.properties ?? {})),
          );
    const hint = meant === undefined ? schema.description : `Did you mean \`${meant}\`?`;
    this.#add(path, 'InvalidValue', `${nameOf(path)} must be ${forms}`, hint);
  }

  #object(schema: Schema, value: Fields, path: string): void {
    const properties = schema.properties ?? {};
    for (const key of schema.required ?? []) {
      if (Object.hasOwn(value, key)) continue;
      const about = properties[key]?.description;
      this.#add(path, 'MissingField', `${nameOf(path)} lacks \`${key}\``, about);
    }
    const patterns = Object.entries(schema.patternProperties ?? {});
    for (const key of Object.keys(value)) {
      const own = Object.hasOwn(properties, key) ? properties[key] : undefined;
      const child = own ?? patterns.find(([pattern]) => matches(pattern, key))?.[1] ?? schema.additionalProperties;
      if (typeof child === 'object') this.value(child, value[key], pointerTo(path, key));
      else if (child === false) this.#unknown(Object.keys(properties), patterns[0]?.[0], key, value, path);
    }
  }

  #unknown(known: readonly string[], pattern: string | undefined, key: string, value: Fields, path: string): void {
    const at = pointerTo(path, key);
    if (pattern !== undefined) {
      const { what, hint, why } = formatOf(pattern);
      const reason = why ? `: ${why(key)}` : '';
      return this.#add(at, 'InvalidKey', `${show(key)} is not ${what}${reason}`, hint, 'key');
    }
    const meant = nearest(
      key,
      known.filter((name) => !Object.hasOwn(value, name)),
    );
    const list = known.length === 0 ? 'It takes no fields.' : `Fields here: ${[...known].sort().join(', ')}.`;
    const hint = meant === undefined ? list : `Did you mean \`${meant}\`?`;
    this.#add(at, 'UnknownField', `${nameOf(path)} has no field ${show(key)}`, hint, 'key');
  }

  #list(schema: Schema, value: readonly unknown[], path: string): void {
    const { minItems = 0, maxItems = Number.POSITIVE_INFINITY, items } = schema;
    if (value.length < minItems) {
      this.#add(path, 'TooFew', `${nameOf(path)} must have at least ${minItems}, found ${value.length}`);
    } else if (value.length > maxItems) {
      return this.#add(path, 'TooMany', `${nameOf(path)} has ${value.length} entries, and ${maxItems} are the most`);
    }
    if (items) for (const [index, item] of value.entries()) this.value(items, item, pointerTo(path, index));
  }

  #text(schema: Schema, value: string, path: string): void {
    const { minLength = 0, maxLength = Number.POSITIVE_INFINITY, pattern } = schema;
    if (pattern !== undefined && !matches(pattern, value)) {
      const { what, hint, why } = formatOf(pattern);
      const reason = why ? `: ${why(value)}` : '';
      return this.#add(path, 'InvalidValue', `${nameOf(path)} must be ${what}, found ${show(value)}${reason}`, hint);
    }
    if (value.length < minLength) this.#add(path, 'InvalidValue', `${nameOf(path)} is empty`);
    else if (value.length > maxLength) {
      this.#add(path, 'TooLong', `${nameOf(path)} has ${value.length} characters, and ${maxLength} are the most`);
    }
  }

  #number(schema: Schema, value: number, path: string): void {
    const { minimum = -Infinity, maximum = Infinity, exclusiveMinimum = -Infinity } = schema;
    if (value >= minimum && value <= maximum && value > exclusiveMinimum) return;
    const bounds = [
      ...(Number.isFinite(minimum) ? [`at least ${minimum}`] : []),
      ...(Number.isFinite(exclusiveMinimum) ? [`more than ${exclusiveMinimum}`] : []),
      ...(Number.isFinite(maximum) ? [`at most ${maximum}`] : []),
    ];
    this.#add(path, 'InvalidValue', `${nameOf(path)} must be ${bounds.join(' and ')}, found ${value}`);
  }
}
