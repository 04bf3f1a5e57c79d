/** Provenance closure (evidence.md §3.13 step 9): whatever an attempt consumed, an item of this run had produced. */
import type { Sha256 } from '@pangolin/contracts/digest';
import type { RunEvent } from '@pangolin/contracts/run-log';
import type { InputRef } from '@pangolin/contracts/task';
import type { OutcomeOf } from './dependencies.ts';
import type { PlannedInput, PlannedItem } from './plan.ts';
import { quote } from './refusal.ts';

type Fired = Extract<RunEvent, { kind: 'item.fired' }>;

export interface Producers {
  readonly outcomeOf: OutcomeOf;
  /** Digest of a product that a done item has yielded so far under exactly this name, or undefined. */
  readonly productOf: (itemId: string, output: string) => Sha256 | undefined;
}

/** The first input of an attempt that does not follow from the plan and the log so far, as a sentence. */
export function closureProblem(
  where: string,
  fired: Fired,
  planned: PlannedItem | undefined,
  producers: Producers,
): string | undefined {
  const keys = Object.keys(fired.inputs);
  for (const key of keys) {
    const input = fired.inputs[key]!;
    const problem =
      sourceProblem(input, producers) ?? (planned && planProblem(input, planned.needs.get(key), producers.outcomeOf));
    if (problem !== undefined) return `${where}: the input ${quote(key)} of ${quote(fired.itemId)} ${problem}`;
  }
  if (planned && keys.length !== planned.needs.size) {
    const missing = [...planned.needs.keys()].find((key) => !Object.hasOwn(fired.inputs, key))!;
    return `${where}: ${quote(fired.itemId)} did not get the input ${quote(missing)} that it needs`;
  }
  return undefined;
}

function sourceProblem(input: InputRef, { productOf }: Producers): string | undefined {
  if (input.from === 'submission') return undefined;
  const { itemId, output } = input.from;
  const produced = productOf(itemId, output);
  if (produced === undefined) return `is said to be ${quote(output)} of ${quote(itemId)}, which had not produced it`;
  return produced === input.sha256 ? undefined : `is not the ${quote(output)} that ${quote(itemId)} produced`;
}

function planProblem(input: InputRef, need: PlannedInput | undefined, outcomeOf: OutcomeOf): string | undefined {
  if (need === undefined) return 'is not in the plan';
  if (input.from === 'submission') {
    const given = 'submission' in need && need.submission === input.sha256;
    return given ? undefined : 'was not given with the submission';
  }
  // Of several the first that was done is meant, in the order of the plan.
  const meant = 'submission' in need ? undefined : need.anyOf.find(({ itemId }) => outcomeOf(itemId) === 'done');
  const same = meant?.itemId === input.from.itemId && meant.output === input.from.output;
  return same ? undefined : 'comes from another source than the plan says';
}
