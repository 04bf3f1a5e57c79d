/** The worker's `output.json` as a blob: what it says about products has to be what the log accepted. */
import type { RunEvent } from '@pangolin/contracts/run-log';
import { isId } from '@pangolin/contracts/ids';
import { INTENTS_MAX, SIGNALS_MAX, SUMMARY_CHARS_MAX } from '@pangolin/contracts/limits';
import { isUtf8 } from 'node:buffer';
import { quote, Refusal, refuse } from './refusal.ts';
import { anything, array, is, isObject, object, text, type Check } from './shape.ts';

type Fired = Extract<RunEvent, { kind: 'item.fired' }>;
type Reconciled = Extract<RunEvent, { kind: 'item.reconciled' }>;

export interface WorkerResult {
  readonly runId: unknown;
  readonly itemId: unknown;
  readonly attempt: unknown;
  readonly manifest: unknown;
  readonly status: unknown;
  /** Event name → digest. */
  readonly products: ReadonlyMap<string, unknown>;
  /** What the blocks say of their own work. */
  readonly asserted?: Asserted;
  readonly blocks: number;
  /** What agents of its blocks say that they used, a block each. */
  readonly usages: readonly Used[];
  /** The worker says that it saw blocks being kept out of it. */
  readonly guarded: boolean;
  /** What its blocks ask, where they do. */
  readonly needsInput?: unknown;
}

/** Of contracts/output's Usage what can be added up. */
export interface Used {
  readonly turns?: unknown;
  readonly inputTokens?: unknown;
  readonly outputTokens?: unknown;
  readonly costUsd?: unknown;
}

/** As contracts/block-output has it. */
export interface Asserted {
  readonly summary?: string;
  readonly output?: unknown;
  readonly intents?: readonly { readonly kind: string }[];
  readonly signals?: readonly { readonly name: string }[];
}

const name = is('a name', isId);
/** Characters there are code points, here UTF-16 units. */
const words = text(2 * SUMMARY_CHARS_MAX);
const asserted: Check = object({
  'summary?': words,
  'output?': anything,
  'intents?': array(object({ kind: name, 'summary?': words, 'params?': is('an object', isObject) }), {
    max: INTENTS_MAX,
  }),
  'signals?': array(object({ name, 'value?': anything, 'message?': words }), { max: SIGNALS_MAX }),
});

/** The worker writes it with any white space it likes; its digest fixes the bytes. @throws Refusal */
export function readResult(what: string, bytes: Buffer): WorkerResult {
  let value: unknown;
  try {
    if (!isUtf8(bytes)) refuse(`${quote(what)} is not UTF-8`);
    value = JSON.parse(bytes.toString('utf8'));
  } catch (cause) {
    throw new Refusal(`${quote(what)} is not JSON, but a result has to be`, { cause });
  }
  if (
    !isObject(value) ||
    value.schema !== 'output/1' ||
    !isObject(value.products) ||
    !isObject(value.products.outputs)
  ) {
    return refuse(`${quote(what)} is not the result of an attempt`);
  }
  const products = new Map<string, unknown>();
  if (value.products.patch !== undefined) products.set('patch', digestIn(value.products.patch));
  for (const [path, ref] of Object.entries(value.products.outputs)) products.set(`outputs/${path}`, digestIn(ref));
  const { runId, itemId, attempt, manifest, status, needsInput } = value;
  const list: unknown[] = Array.isArray(value.blocks) ? value.blocks : [];
  const blocks = list.length;
  const usages = list.flatMap((block) => (isObject(block) && isObject(block.usage) ? [block.usage] : []));
  const guarded = isObject(value.sandbox) && value.sandbox.user === 'separate';
  const problem = value.asserted === undefined ? undefined : asserted(value.asserted);
  if (problem !== undefined) refuse(`what the blocks say in ${quote(what)}${problem}`);
  const said = value.asserted as Asserted | undefined;
  return {
    runId,
    itemId,
    attempt,
    manifest,
    status,
    products,
    blocks,
    usages,
    guarded,
    needsInput,
    ...(said && { asserted: said }),
  };
}

const digestIn = (ref: unknown): unknown => (isObject(ref) ? ref.sha256 : undefined);

/** What does not agree with the events of its attempt, or undefined. */
export function resultProblem(result: WorkerResult, fired: Fired, reconciled: Reconciled): string | undefined {
  const { runId, itemId, attempt } = fired;
  if (result.runId !== runId || result.itemId !== itemId || result.attempt !== attempt) return 'is of another attempt';
  if (result.manifest !== fired.dispatch.sha256) return 'was made under another dispatch statement';
  if (reconciled.status === 'done' && result.status !== 'succeeded') return 'does not say that the attempt succeeded';
  if (reconciled.status === 'waiting' && result.status !== 'needs_input') return 'does not say that the attempt asks';
  const accepted = Object.entries(reconciled.outputs);
  if (accepted.length !== result.products.size) return 'names other products than the log accepted';
  const wrong = accepted.find(([name, { sha256 }]) => result.products.get(name) !== sha256);
  return wrong && `has another ${quote(wrong[0])} than the log accepted`;
}
