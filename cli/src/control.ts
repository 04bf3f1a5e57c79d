/** Asking the controller for something, and printing its answer. */
import { randomUUID } from 'node:crypto';
import type { Control } from '@pangolin/contracts/control';
import { PangolinError } from '@pangolin/contracts/errors';
import { controlKey } from '@pangolin/contracts/layout';
import type { Problem, Receipt } from '@pangolin/contracts/status';
import { defaultActor, type Context } from './context.ts';
import { awaitReceipt, receiptExitCode } from './read/receipts.ts';
import { readItem, readStatus } from './read/runs.ts';
import { parseTarget } from './read/target.ts';
import { renderProblems } from './render/problems.ts';

/** Flags of every command that asks. */
export const controlFlags = {
  actor: { type: 'string', description: 'Who asks: human:NAME, agent:NAME or service:NAME. Else human:<you>.' },
  'receipt-timeout': {
    type: 'string',
    duration: true,
    description: 'How long to wait for an answer. Else 30s, or 2s when nothing seems to serve this storage.',
  },
} as const;

export interface Ask {
  readonly verb: Control['verb'];
  /** RUN or RUN/ITEM, or the name of what `of` says it is. */
  readonly target: string;
  readonly of?: 'queue' | 'schedule' | undefined;
  readonly actor: string | undefined;
  readonly timeoutMs: number | undefined;
  readonly reason?: string | undefined;
  readonly as?: string | undefined;
  readonly answer?: string | undefined;
}

/**
 * @param answer what to print when it is accepted
 * @returns the exit code
 * @throws PangolinError NOT_FOUND at once for an unknown run or item
 */
export async function ask(
  context: Context,
  { verb, target, of, actor, timeoutMs, reason, as, answer: reply }: Ask,
  answer: (receipt: Receipt) => string,
): Promise<number> {
  const { run, item } = of !== undefined ? { run: undefined, item: undefined } : parseTarget(target);
  const store = await context.open();
  // Queues and schedules are known to the controller only.
  if (run !== undefined && item === undefined) await readStatus(store, run);
  if (run !== undefined && item !== undefined) await readItem(store, { run, item });
  const control: Control = {
    schema: 'control/1',
    verb,
    ...(run !== undefined && { run }),
    ...(of !== undefined && { [of]: target }),
    ...(item !== undefined && { item }),
    ...(as !== undefined && { as }),
    ...(reply !== undefined && { answer: reply }),
    actor: actor ?? defaultActor(),
    ...(reason !== undefined && { reason }),
  };
  const { validateControl } = await import('@pangolin/contracts/schema');
  const wrong = validateControl(control);
  if (wrong !== undefined) throw new PangolinError('INVALID', wrong);
  const id = randomUUID();
  await store.put(controlKey(id), `${JSON.stringify(control)}\n`, { ifAbsent: true });

  const receipt = await awaitReceipt(store, `${id}.json`, timeoutMs);
  if (!receipt) {
    if (context.json) await context.printJson({ verdict: 'queued', submission: `${id}.json`, run, errors: [] });
    else await context.print(`queued ${verb} of ${target}`);
    context.note('No controller has taken it yet. Start one with `pangolin orch serve`.');
    return 0;
  }
  if (context.json) await context.printJson(receipt);
  else if (receipt.verdict === 'accepted') await context.print(answer(receipt));
  else process.stderr.write(`${renderProblems(receipt.errors.map(withoutFile), context.paintError)}\n`);
  return receiptExitCode(receipt);
}

/** The control file is ours; its name says nothing to the user. */
function withoutFile({ file: _file, ...problem }: Problem): Problem {
  return problem;
}
