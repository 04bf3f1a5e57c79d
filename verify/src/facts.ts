/** Who observed what, for the report: a signature says who passed a fact on, not who saw it happen. */
import { plural } from './checks/check.ts';
import type { Context } from './context.ts';
import type { Attempt, ReplayResult } from './replay/result.ts';
import { quote } from './refusal.ts';
import type { Used, WorkerResult } from './result.ts';
import type { DispatchStatement } from './statements.ts';
import { canonical } from '@pangolin/contracts/canonical';

/** Adds the facts, and the findings that the statements give rise to. */
export function describe(
  context: Context,
  replay: ReplayResult,
  dispatches: ReadonlyMap<Attempt, DispatchStatement>,
  results: readonly WorkerResult[],
): void {
  const fact = (observer: 'controller' | 'worker' | 'agent', statement: string): void => {
    context.facts.push({ observer, statement });
  };
  const { counts, attempts, blobs } = replay;
  fact(
    'controller',
    `${plural(attempts.length, 'attempt')} dispatched, each manifest in the log before its task started.`,
  );
  fact(
    'controller',
    `${counts.done} done, ${counts.failed} failed, ${counts.skipped} skipped, ${counts.cancelled} cancelled, ${counts.denied} denied.`,
  );
  fact('controller', `Products and results were hashed on acceptance; the log names ${plural(blobs.size, 'blob')}.`);
  if (results.length > 0) {
    const blocks = results.reduce((sum, result) => sum + result.blocks, 0);
    fact(
      'worker',
      `${plural(results.length, 'result')} over ${plural(blocks, 'block')}: exit codes and durations are the worker's word.`,
    );
  }
  const guarded = results.filter((result) => result.guarded).length;
  if (guarded > 0)
    fact(
      'worker',
      `In ${plural(guarded, 'result')} a process started as blocks are found no way into the worker first.`,
    );
  const usages = results.flatMap((result) => result.usages);
  if (usages.length > 0)
    fact(
      'agent',
      `Model, turns, tokens and cost of ${plural(usages.length, 'agent block')} are the words of the agents: ${sumsOf(usages)} in all.`,
    );
  const said = results.flatMap(({ asserted }) => asserted ?? []);
  if (said.length > 0) {
    const total = (lists: readonly (readonly unknown[] | undefined)[]): number =>
      lists.reduce((sum, list) => sum + (list?.length ?? 0), 0);
    const intents = total(said.map((each) => each.intents));
    const signals = total(said.map((each) => each.signals));
    fact(
      'agent',
      `${plural(said.length, 'result')} with words of the blocks' own, ${plural(intents, 'intent')} and ${plural(signals, 'signal')} among them: asserted, whatever their form.`,
    );
  }
  for (const { itemId, attempt, name, format, version, components, tier } of context.dependencies) {
    const said =
      components === undefined ? 'not in the bundle or not readable' : `${version}, ${components} components`;
    fact(
      'agent',
      `${quote(name)} of attempt ${attempt} of ${quote(itemId)} lists dependencies: ${format} ${said} (tier ${tier}).`,
    );
  }
  sandboxFindings(context, [...dispatches.values()]);
}

/** Whatever is not a number or an amount was said by nobody. */
function sumsOf(usages: readonly Used[]): string {
  const sum = (of: (used: Used) => unknown): number =>
    usages.map(of).reduce<number>((all, n) => all + (Number.isSafeInteger(n) ? (n as number) : 0), 0);
  // In billionths of a dollar, so that no cent is lost in the adding.
  const nanos = usages.reduce((all, { costUsd }) => {
    const [, whole, part = ''] = /^(\d{1,9})(?:\.(\d{1,9}))?$/.exec(typeof costUsd === 'string' ? costUsd : '') ?? [];
    return whole === undefined ? all : all + BigInt(whole + part.padEnd(9, '0'));
  }, 0n);
  const digits = nanos.toString().padStart(10, '0');
  const cost = `${digits.slice(0, -9)}.${digits.slice(-9)}`.replace(/\.?0+$/, '');
  return `${plural(
    sum(({ turns }) => turns),
    'turn',
  )}, ${sum(({ inputTokens }) => inputTokens)} tokens in, ${sum(({ outputTokens }) => outputTokens)} out, ${cost} US dollars`;
}

function sandboxFindings(context: Context, dispatches: readonly DispatchStatement[]): void {
  const sandboxes = dispatches.map(({ predicate }) => predicate.sandbox);
  const shared = sandboxes.filter(({ enforced }) => enforced.user === 'same').length;
  if (shared > 0) {
    context.find(
      'shared-user',
      `In ${shared} of ${plural(dispatches.length, 'attempt')} the blocks ran as the user of the worker: they could have written what the worker reports.`,
    );
  }
  const weaker = sandboxes.filter(
    ({ asked, enforced }) =>
      asked.network !== undefined &&
      enforced.network !== 'none' &&
      canonical(asked.network) !== canonical(enforced.network),
  ).length;
  if (weaker > 0) {
    context.find(
      'sandbox-weaker-than-asked',
      `In ${plural(weaker, 'attempt')} the network was wider than the item asked for.`,
    );
  }
}
