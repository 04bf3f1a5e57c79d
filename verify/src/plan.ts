/**
 * What a run was admitted to do (`AdmittedRun` and `Extension` of contracts/run), as far as its evidence has to agree
 * with it. Read as plain JSON by rules of our own.
 */
import type { Sha256 } from '@pangolin/contracts/digest';
import { isId } from '@pangolin/contracts/ids';
import { isOutputName } from './event-shapes.ts';
import { quote, refuse } from './refusal.ts';
import { array, hex64, is, isObject, literal, type Check } from './shape.ts';
import { parseStrict } from './strict-json.ts';

export interface PlannedProduct {
  readonly itemId: string;
  readonly output: string;
}

/** Products in order of preference, or an object given at submission. */
export type PlannedInput =
  { readonly anyOf: readonly [PlannedProduct, ...PlannedProduct[]] } | { readonly submission: Sha256 };

export interface PlannedItem {
  readonly id: string;
  /** `approval`: decided by a person, never fired. */
  readonly executor: 'dispatch' | 'approval';
  readonly dependsOn: readonly string[];
  /** How a dependency has to end; the others have to be done. */
  readonly when: Readonly<Record<string, unknown>>;
  /** It may run only when everything else has ended. */
  readonly onExit: boolean;
  readonly needs: ReadonlyMap<string, PlannedInput>;
  /** The item as admitted; its fields are compared with the dispatch manifest. */
  readonly raw: Readonly<Record<string, unknown>>;
  /** Digest → pipeline, of the document that it was admitted with. */
  readonly pipelines: Readonly<Record<string, unknown>>;
}

export interface Plan {
  readonly queue: unknown;
  readonly items: readonly PlannedItem[];
  /** It may be extended by people, until it is closed. */
  readonly openEnded: boolean;
  /** Milliseconds from its submission; only a run that has them can time out. */
  readonly timeoutMs: number | undefined;
}

const ITEMS_MAX = 1_000_000;
const ids = array(is('an id', isId), { max: ITEMS_MAX });

/** @throws Refusal unless `bytes` are the canonical plan of the run `runId`. */
export function readPlan(bytes: Buffer, runId: string): Plan {
  const value = parseStrict('the plan', bytes.toString('utf8'));
  if (!isObject(value) || value.schema !== 'admitted-run/1') return refuse('the plan is not an admitted run');
  if (value.id !== runId) refuse(`the plan is of another run than ${quote(runId)}`);
  return {
    queue: value.queue,
    items: readItems('the plan', value),
    openEnded: value.openEnded === true,
    timeoutMs: readTimeout(value.timeoutMs),
  };
}

function readTimeout(ms: unknown): number | undefined {
  if (ms !== undefined && !Number.isSafeInteger(ms)) refuse('timeoutMs of the plan is no number of milliseconds');
  return ms as number | undefined;
}

/** @throws Refusal unless `bytes` are a canonical extension. */
export function readExtension(bytes: Buffer): readonly PlannedItem[] {
  const value = parseStrict('the extension', bytes.toString('utf8'));
  if (!isObject(value) || value.schema !== 'extension/1') return refuse('the extension is none');
  return readItems('the extension', value);
}

/** The digest of the workspace that an item starts from. */
export function workspaceOf({ raw: { workspace } }: PlannedItem): Sha256 | undefined {
  return isObject(workspace) && hex64(workspace.sha256) === undefined ? (workspace.sha256 as Sha256) : undefined;
}

/** The digests of what an item has of the registry: shape, subagent, capabilities, env bundles. Its pipeline is in the plan. */
export function pinnedBy({ raw: { shape, subagent, capabilities, env } }: PlannedItem): Sha256[] {
  return [shape, subagent, capabilities, env].flat().flatMap((pin) => {
    const digest = isObject(pin) ? pin.sha256 : undefined;
    return hex64(digest) === undefined ? [digest as Sha256] : [];
  });
}

function readItems(what: string, { items, pipelines }: Record<string, unknown>): PlannedItem[] {
  if (!Array.isArray(items) || items.length > ITEMS_MAX) return refuse(`${what} has no list of items`);
  if (!isObject(pipelines)) return refuse(`${what} has no pipelines`);
  return items.map((raw, at) => readItem(`item ${at} of ${what}`, raw, pipelines));
}

/** Shared by the many items that need nothing. */
const NO_NEEDS: ReadonlyMap<string, PlannedInput> = new Map();
const NO_CONDITIONS = {};
const executors = literal('dispatch', 'approval');
const conditions = literal('failed', 'always');

function readItem(where: string, raw: unknown, pipelines: PlannedItem['pipelines']): PlannedItem {
  if (!isObject(raw) || !isId(raw.id)) return refuse(`${where} has no id`);
  demand(`depends_on of ${where}`, ids, raw.depends_on);
  const dependsOn = raw.depends_on as string[];
  if (raw.executor !== undefined) demand(`executor of ${where}`, executors, raw.executor);
  return {
    id: raw.id,
    executor: raw.executor === 'approval' ? 'approval' : 'dispatch',
    dependsOn,
    when: raw.when === undefined ? NO_CONDITIONS : readConditions(`when of ${where}`, raw.when, dependsOn),
    onExit: raw.onExit === true,
    needs: raw.needs === undefined ? NO_NEEDS : readNeeds(where, raw.needs),
    raw,
    pipelines,
  };
}

function readConditions(where: string, when: unknown, dependsOn: readonly string[]): Record<string, unknown> {
  if (!isObject(when)) return refuse(`${where} is not an object`);
  for (const [source, condition] of Object.entries(when)) {
    demand(`${where} for ${quote(source)}`, conditions, condition);
    if (!dependsOn.includes(source)) refuse(`${where} names ${quote(source)}, which is no dependency`);
  }
  return when;
}

function readNeeds(where: string, needs: unknown): Map<string, PlannedInput> {
  if (!isObject(needs)) return refuse(`needs of ${where} is not an object`);
  return new Map(Object.entries(needs).map(([key, need]) => [key, readNeed(`needs.${key} of ${where}`, need)]));
}

function readNeed(where: string, need: unknown): PlannedInput {
  if (!isObject(need)) return refuse(`${where} is not an object`);
  if (isObject(need.submission)) {
    demand(`${where}.submission.sha256`, hex64, need.submission.sha256);
    return { submission: need.submission.sha256 as Sha256 };
  }
  const alternatives: unknown[] = Array.isArray(need.oneOf) ? need.oneOf : [need];
  const [first, ...rest] = alternatives.map((each) => readProduct(where, each));
  return first ? { anyOf: [first, ...rest] } : refuse(`${where} names no product`);
}

function readProduct(where: string, need: unknown): PlannedProduct {
  const select = isObject(need) && isObject(need.select) ? need.select : undefined;
  const output = select?.kind === 'patch' ? 'patch' : `outputs/${String(select?.path)}`;
  const known = select?.kind === 'patch' || select?.kind === 'output';
  if (!known || !isObject(need) || !isId(need.from) || !isOutputName(output))
    return refuse(`${where} names no product`);
  return { itemId: need.from, output };
}

function demand(where: string, check: Check, value: unknown): void {
  const problem = check(value);
  if (problem !== undefined) refuse(where + problem);
}
