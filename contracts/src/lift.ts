/**
 * The reference's plan form tucks typed fields into an item's `inputs`:
 *
 *     { "id": "a", "inputs": { "subagent": "dev.editor", "env": "models", "workerInput": { "target": "all" } } }
 *
 * `subagent`, `env`, `capabilities`, `addCapabilities` and `pipeline` become the item's fields, and `workerInput` joins
 * `inputs`.
 */
import { typeName, type Finding } from './explain.ts';
import { show } from './formats.ts';

export interface Lifted {
  readonly item: Readonly<Record<string, unknown>>;
  /** Pointer under the item as validated → pointer under the item as written. */
  readonly moved: ReadonlyMap<string, string>;
}

type Fields = Readonly<Record<string, unknown>>;

const tuckedFields = ['pipeline', 'subagent', 'env', 'capabilities', 'addCapabilities'] as const;
/** Of these the reference takes one name for a list of one. */
const lists: ReadonlySet<string> = new Set(['env', 'capabilities', 'addCapabilities']);

/** Undefined when there is nothing to lift. `path` is the pointer of the item. */
export function liftItem(item: unknown, path: string, findings: Finding[]): Lifted | undefined {
  if (!isObject(item)) return undefined;
  const inputs = isObject(item['inputs']) ? item['inputs'] : undefined;
  if (inputs === undefined || !isTucked(inputs)) return undefined;
  const own: Record<string, unknown> = { ...item };
  const moved = new Map<string, string>();
  own['inputs'] = liftInputs(own, inputs, path, moved, findings);
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
  const { workerInput, ...rest } = inputs as Record<string, unknown>;
  const at = `${path}/inputs`;
  for (const name of tuckedFields) {
    const value = rest[name];
    delete rest[name];
    if (value === undefined) continue;
    if (own[name] !== undefined) {
      findings.push(twice(name, 'in the item and in its `inputs`', `${at}/${name}`));
      continue;
    }
    own[name] = lists.has(name) && typeof value === 'string' ? [value] : value;
    moved.set(`/${name}`, `/inputs/${name}`);
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

function twice(key: string, where: string, path: string): Finding {
  const message = `${show(key)} is given twice, ${where}`;
  return { path, code: 'GivenTwice', message, hint: 'Keep one of them.', at: 'key' };
}

function isObject(value: unknown): value is Fields {
  return typeName(value) === 'object';
}
