/**
 * JSON Schemas (2020-12) that operators write into shapes: bounded, and closed in themselves. Nothing is ever fetched: a
 * `$ref` leads to a place in the same schema. `format` is an annotation, as the standard has it.
 */
import { runInNewContext } from 'node:vm';
import { Ajv2020, type ErrorObject, type ValidateFunction } from 'ajv/dist/2020.js';
import { SCHEMA_BYTES_MAX, SCHEMA_DEPTH_MAX } from './limits.ts';

export type JsonSchema = Readonly<Record<string, unknown>>;

export interface Mismatch {
  /** RFC 6901 pointer into the value. */
  readonly path: string;
  /** Completes "the value at that place …". */
  readonly message: string;
}

/** Of one value. */
const CHECK_MS_MAX = 2000;
/** Compiled schemas that are kept, by their text. */
const COMPILED_MAX = 200;
const compiled = new Map<string, ValidateFunction>();

/** Why it is no schema that can be used here, or undefined. */
export function schemaProblem(schema: JsonSchema): string | undefined {
  if (depthOf(schema) > SCHEMA_DEPTH_MAX) return `nests deeper than ${SCHEMA_DEPTH_MAX} levels`;
  const bytes = Buffer.byteLength(JSON.stringify(schema));
  if (bytes > SCHEMA_BYTES_MAX) return `has ${bytes} bytes, and ${SCHEMA_BYTES_MAX} are the most`;
  try {
    validatorOf(schema, true);
    return undefined;
  } catch (error) {
    const missing = (error as { missingRef?: string }).missingRef;
    if (missing === undefined) return `is no JSON Schema 2020-12: ${(error as Error).message}`;
    return `refers to ${JSON.stringify(missing)}, which is not in it; nothing is fetched`;
  }
}

/**
 * At most `max` of what does not match; empty when the value conforms. A value may be made to be slow: `pattern` and
 * `uniqueItems` can take for ever, so what takes longer than CHECK_MS_MAX does not match.
 */
export function mismatches(schema: JsonSchema, value: unknown, max: number): Mismatch[] {
  const validate = validatorOf(schema, max > 1);
  try {
    if (runInNewContext('validate(value)', { validate, value }, { timeout: CHECK_MS_MAX })) return [];
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ERR_SCRIPT_EXECUTION_TIMEOUT')
      return [{ path: '', message: `takes longer than ${CHECK_MS_MAX} ms to check` }];
    if (!(error instanceof RangeError)) throw error;
    return [{ path: '', message: 'nests too deep for its schema' }];
  }
  const all = (validate.errors ?? []).map((error) => ({ path: error.instancePath, message: sentence(error) }));
  const distinct = new Map(all.map((each) => [`${each.path} ${each.message}`, each] as const));
  return [...distinct.values()].slice(0, max);
}

/** `all`: goes on after the first mismatch. @throws Error when it cannot be compiled. */
function validatorOf(schema: JsonSchema, all: boolean): ValidateFunction {
  const text = `${all} ${JSON.stringify(schema)}`;
  const known = compiled.get(text);
  if (known) return known;
  // One instance a schema: an `$id` in one is nothing to another one.
  const ajv = new Ajv2020({
    strict: true,
    strictTypes: false,
    strictTuples: false,
    strictRequired: false,
    validateFormats: false,
    allErrors: all,
    logger: false,
  });
  const validate = ajv.compile(schema);
  if (compiled.size >= COMPILED_MAX) compiled.clear();
  compiled.set(text, validate);
  return validate;
}

function sentence({ keyword, message, params }: ErrorObject): string {
  const given = params as Readonly<Record<string, unknown>>;
  if (keyword === 'additionalProperties')
    return `must not have a property ${JSON.stringify(given['additionalProperty'])}`;
  if (keyword === 'unevaluatedProperties')
    return `must not have a property ${JSON.stringify(given['unevaluatedProperty'])}`;
  if (keyword === 'enum') return `must be one of ${JSON.stringify(given['allowedValues'])}`;
  if (keyword === 'const') return `must be ${JSON.stringify(given['allowedValue'])}`;
  return message ?? `fails ${keyword}`;
}

/** Levels of nesting, counted no further than it matters. */
function depthOf(value: unknown, depth = 0): number {
  if (typeof value !== 'object' || value === null || depth > SCHEMA_DEPTH_MAX) return depth;
  return Math.max(depth, ...Object.values(value).map((child) => depthOf(child, depth + 1)));
}
