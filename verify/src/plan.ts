/** What a run was admitted to do (`AdmittedRun` of contracts/run.ts), as far as its evidence has to agree with it. */
import type { Sha256 } from '@pangolin/contracts/digest';
import { isId } from '@pangolin/contracts/ids';
import { isOutputName } from './event-shapes.ts';
import { quote, refuse } from './refusal.ts';
import { array, hex64, is, isObject, type Check } from './shape.ts';
import { parseStrict } from './strict-json.ts';

export type PlannedInput = { readonly itemId: string; readonly output: string } | { readonly submission: Sha256 };

export interface PlannedItem {
  readonly id: string;
  readonly dependsOn: readonly string[];
  readonly needs: ReadonlyMap<string, PlannedInput>;
  /** The item as admitted; its fields are compared with the dispatch manifest. */
  readonly raw: Readonly<Record<string, unknown>>;
}

export interface Plan {
  readonly items: ReadonlyMap<string, PlannedItem>;
  /** Digest → the pipeline itself. */
  readonly pipelines: Readonly<Record<string, unknown>>;
  /** Digests of the workspaces that items start from. */
  readonly workspaces: ReadonlySet<Sha256>;
}

const ITEMS_MAX = 1_000_000;
const ids = array(is('an id', isId), { max: ITEMS_MAX });

/** @throws Refusal unless `bytes` are the canonical plan of the run `runId`. */
export function readPlan(bytes: Buffer, runId: string): Plan {
  const value = parseStrict('the plan', bytes.toString('utf8'));
  if (!isObject(value) || value.schema !== 'admitted-run/1') return refuse('the plan is not an admitted run');
  if (value.id !== runId) refuse(`the plan is of another run than ${quote(runId)}`);
  if (!Array.isArray(value.items) || value.items.length > ITEMS_MAX) return refuse('the plan has no list of items');
  const pipelines = isObject(value.pipelines) ? value.pipelines : refuse('the plan has no pipelines');
  const items = new Map<string, PlannedItem>();
  const workspaces = new Set<Sha256>();
  for (const [at, raw] of value.items.entries()) {
    const item = readItem(`item ${at} of the plan`, raw);
    if (items.has(item.id)) refuse(`the plan has the item ${quote(item.id)} twice`);
    items.set(item.id, item);
    const workspace = item.raw.workspace;
    if (isObject(workspace) && hex64(workspace.sha256) === undefined) workspaces.add(workspace.sha256 as Sha256);
  }
  for (const item of items.values()) {
    const unknown = item.dependsOn.find((source) => !items.has(source));
    if (unknown !== undefined) refuse(`${quote(item.id)} depends on ${quote(unknown)}, which the plan does not have`);
  }
  return { items, pipelines, workspaces };
}

function readItem(where: string, raw: unknown): PlannedItem {
  if (!isObject(raw) || !isId(raw.id)) return refuse(`${where} has no id`);
  demand(`depends_on of ${where}`, ids, raw.depends_on);
  const needs = new Map<string, PlannedInput>();
  if (raw.needs !== undefined && !isObject(raw.needs)) refuse(`needs of ${where} is not an object`);
  for (const [key, need] of Object.entries(raw.needs ?? {})) needs.set(key, readNeed(`needs.${key} of ${where}`, need));
  return { id: raw.id, dependsOn: raw.depends_on as string[], needs, raw };
}

function readNeed(where: string, need: unknown): PlannedInput {
  if (!isObject(need)) return refuse(`${where} is not an object`);
  if (isObject(need.submission)) {
    demand(`${where}.submission.sha256`, hex64, need.submission.sha256);
    return { submission: need.submission.sha256 as Sha256 };
  }
  const select = isObject(need.select) ? need.select : undefined;
  const output = select?.kind === 'patch' ? 'patch' : `outputs/${String(select?.path)}`;
  if (!isId(need.from) || (select?.kind !== 'patch' && select?.kind !== 'output') || !isOutputName(output)) {
    return refuse(`${where} names no product`);
  }
  return { itemId: need.from, output };
}

function demand(where: string, check: Check, value: unknown): void {
  const problem = check(value);
  if (problem !== undefined) refuse(where + problem);
}
