/**
 * The reference's plan form tucks typed fields into an item's `inputs`:
 *
 *     { "id": "a", "inputs": { "pipeline": "dev.build", "workerInput": { "target": "all" } } }
 *
 * `pipeline` becomes the item's field and `workerInput` joins `inputs`. Fields of both forms whose registries this
 * version does not have are refused by name rather than as unknown.
 */
import { typeName, type Finding } from './explain.ts';
import { show } from './formats.ts';

export interface Lifted {
  readonly item: Readonly<Record<string, unknown>>;
  /** Pointer under the item as validated → pointer under the item as written. */
  readonly moved: ReadonlyMap<string, string>;
}

type Fields = Readonly<Record<string, unknown>>;

/** What needs a registry that does not exist yet, in an item and in `inputs`. */
const unregistered = ['subagent', 'subagentShape', 'env', 'capabilities', 'addCapabilities'] as const;

/** Undefined when there is nothing to lift. `path` is the pointer of the item. */
export function liftItem(item: unknown, path: string, findings: Finding[]): Lifted | undefined {
  if (!isObject(item)) return undefined;
  const inputs = isObject(item['inputs']) ? item['inputs'] : undefined;
  const tucked = inputs !== undefined && isTucked(inputs);
  if (!tucked && !unregistered.some((name) => Object.hasOwn(item, name))) return undefined;

  const own: Record<string, unknown> = { ...item };
  const moved = new Map<string, string>();
  for (const name of unregistered) {
    if (Object.hasOwn(own, name)) findings.push(notRegistered(name, own[name], `${path}/${name}`));
    delete own[name];
  }
  if (tucked) own['inputs'] = liftInputs(own, inputs, path, moved, findings);
  return { item: own, moved };
}

/** The names are also good names for a block's own parameters, so the values must look the part. */
function isTucked(inputs: Fields): boolean {
  const { pipeline, workerInput, subagent } = inputs;
  return (
    isObject(workerInput) ||
    typeof subagent === 'string' ||
    typeof pipeline === 'string' ||
    (isObject(pipeline) && Array.isArray(pipeline['blocks']))
  );
}

function liftInputs(
  own: Record<string, unknown>,
  inputs: Fields,
  path: string,
  moved: Map<string, string>,
  findings: Finding[],
): Fields {
  const { pipeline, workerInput, ...rest } = inputs as Record<string, unknown>;
  const at = `${path}/inputs`;
  for (const name of unregistered) {
    if (Object.hasOwn(rest, name)) findings.push(notRegistered(name, rest[name], `${at}/${name}`));
    delete rest[name];
  }
  if (pipeline !== undefined && own['pipeline'] !== undefined) {
    findings.push(twice('pipeline', 'in the item and in its `inputs`', `${at}/pipeline`));
  } else if (pipeline !== undefined) {
    own['pipeline'] = pipeline;
    moved.set('/pipeline', '/inputs/pipeline');
  }
  if (workerInput === undefined) return rest;
  if (!isObject(workerInput)) {
    const message = `\`workerInput\` must be an object, found ${show(workerInput)}`;
    findings.push({ path: `${at}/workerInput`, code: 'WrongType', message });
    return rest;
  }
  for (const key of Object.keys(workerInput)) {
    if (Object.hasOwn(rest, key))
      findings.push(
        twice(
          key,
          'in `inputs` and in `workerInput`',
          `${at}/workerInput/${key.replaceAll('~', '~0').replaceAll('/', '~1')}`,
        ),
      );
    moved.set(`/inputs/${key}`, `/inputs/workerInput/${key}`);
  }
  return { ...rest, ...workerInput };
}

/** `rest` is a pointer under the item. */
export function liftedPath(lifted: Lifted, rest: string): string {
  for (const [from, to] of lifted.moved) {
    if (rest === from || rest.startsWith(`${from}/`)) return to + rest.slice(from.length);
  }
  return rest;
}

function notRegistered(name: string, value: unknown, path: string): Finding {
  const [first] = Array.isArray(value) ? (value as unknown[]) : [value];
  const what = typeof first === 'string' ? `${show(first)}, which` : 'what';
  return {
    path,
    code: 'NotRegistered',
    message: `\`${name}\` names ${what} is not registered`,
    hint: 'Only pipelines can be registered here; write `pipeline: NAME` or the blocks themselves.',
  };
}

function twice(key: string, where: string, path: string): Finding {
  const message = `${show(key)} is given twice, ${where}`;
  return { path, code: 'GivenTwice', message, hint: 'Keep one of them.', at: 'key' };
}

function isObject(value: unknown): value is Fields {
  return typeName(value) === 'object';
}
