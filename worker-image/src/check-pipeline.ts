/**
 * PipelineSpec by hand: the same rules as the schema in contracts/pipeline, without its library, because a task must
 * start fast. A test holds both to the same verdicts.
 */
import { BLOCKS_MAX, COMMAND_BYTES_MAX } from '@pangolin/contracts/limits';
import { ID_PATTERN } from '@pangolin/contracts/ids';
import type { PipelineSpec } from '@pangolin/contracts/pipeline';
import { SECRET_REF_PATTERN } from '@pangolin/contracts/secrets';
import { DURATION_PATTERN } from '@pangolin/contracts/units';

type Check = (value: unknown) => boolean;
type Fields = Readonly<Record<string, { readonly check: Check; readonly required?: true }>>;

/** JSON Schema counts characters, not UTF-16 units. */
const text =
  (min: number, max: number, pattern?: RegExp): Check =>
  (value) =>
    typeof value === 'string' &&
    [...value].length >= min &&
    [...value].length <= max &&
    (pattern === undefined || pattern.test(value));
const oneOf =
  (...values: readonly string[]): Check =>
  (value) =>
    typeof value === 'string' && values.includes(value);
const flag: Check = (value) => typeof value === 'boolean';

const id: Check = text(0, Infinity, new RegExp(ID_PATTERN, 'u'));
const duration: Check = text(0, Infinity, new RegExp(DURATION_PATTERN, 'u'));
const argument = text(0, COMMAND_BYTES_MAX);
const command: Check = (value) =>
  Array.isArray(value)
    ? value.length >= 1 && value.length <= 1000 && value.every(argument)
    : text(1, COMMAND_BYTES_MAX)(value);
const ENV_NAME = /^[A-Za-z_][A-Za-z0-9_]{0,127}$/;
const environment: Check = (value) =>
  isObject(value) && Object.entries(value).every(([name, entry]) => ENV_NAME.test(name) && text(0, 32_768)(entry));

const secrets: Check = (value) =>
  isObject(value) &&
  Object.entries(value).every(
    ([name, grant]) =>
      ENV_NAME.test(name) &&
      isObject(grant) &&
      Object.keys(grant).every((key) => key === 'ref' || key === 'as') &&
      text(0, Infinity, new RegExp(SECRET_REF_PATTERN))(grant['ref']) &&
      (grant['as'] === undefined || grant['as'] === 'env' || grant['as'] === 'file'),
  );

const blockFields: Readonly<Record<string, Fields>> = {
  agent: {
    kind: { check: oneOf('agent'), required: true },
    id: { check: id },
    timeout: { check: duration },
  },
  script: {
    kind: { check: oneOf('script'), required: true },
    id: { check: id },
    command: { check: command, required: true },
    lens: { check: oneOf('gate', 'verify') },
    timeout: { check: duration },
    env: { check: environment },
    secrets: { check: secrets },
  },
  capture: {
    kind: { check: oneOf('capture'), required: true },
    id: { check: id },
    what: { check: oneOf('patch', 'outputs'), required: true },
    required: { check: flag },
  },
};

/** The first thing that is wrong with it, or undefined: then `value` is a PipelineSpec. */
export function pipelineProblem(value: unknown): string | undefined {
  if (!isObject(value)) return 'the pipeline is not an object';
  const unknown = Object.keys(value).find((key) => key !== 'blocks' && key !== 'description');
  if (unknown !== undefined) return `the pipeline has an unknown field ${JSON.stringify(unknown)}`;
  if (value['description'] !== undefined && !text(0, 4096)(value['description'])) return 'its description is too long';
  const blocks = value['blocks'];
  if (!Array.isArray(blocks) || blocks.length < 1 || blocks.length > BLOCKS_MAX) {
    return `the pipeline needs 1 to ${BLOCKS_MAX} blocks`;
  }
  for (const [index, block] of blocks.entries()) {
    const problem = blockProblem(block);
    if (problem !== undefined) return `block ${index}: ${problem}`;
  }
  return undefined;
}

function blockProblem(block: unknown): string | undefined {
  if (!isObject(block)) return 'is not an object';
  const kind = block['kind'];
  const fields = typeof kind === 'string' && Object.hasOwn(blockFields, kind) ? blockFields[kind] : undefined;
  if (fields === undefined) return `has no kind that this worker knows (${Object.keys(blockFields).join(', ')})`;
  for (const [name, field] of Object.entries(fields)) {
    const value = block[name];
    if (value === undefined ? field.required : !field.check(value)) return `its ${name} is missing or malformed`;
  }
  const unknown = Object.keys(block).find((name) => !Object.hasOwn(fields, name));
  return unknown === undefined ? undefined : `has an unknown field ${JSON.stringify(unknown)}`;
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function isPipeline(value: unknown): value is PipelineSpec {
  return pipelineProblem(value) === undefined;
}
