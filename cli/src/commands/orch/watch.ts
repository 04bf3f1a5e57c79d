import type { ObjectStore } from '@pangolin/storage/object-store';
import { command } from '../../command.ts';
import type { Context } from '../../context.ts';
import { exitCodeOf, followRun, isEnded, type RunChange } from '../../read/follow.ts';
import { awaitRun } from '../../read/admitted.ts';
import { nextSteps } from '../../next-steps.ts';
import { parseRunTarget } from '../../read/target.ts';
import { terminalWidth } from '../../terminal.ts';
import { countsOf, durationOf, itemLine, paintPhase } from '../../render/run.ts';

export const watch = command({
  description: 'Follow a run until it is sealed; exit 0 when it succeeded, 1 when not',
  args: {
    run: { type: 'positional', description: 'A run.' },
    timeout: { type: 'string', duration: true, description: 'Give up after this time with exit code 6.' },
  },
  async run({ run, timeout }, context) {
    const id = parseRunTarget(run);
    const store = await context.open();
    await awaitRun(store, id);
    return await watchToEnd(context, store, id, timeout);
  },
});

/**
 * One line per change; JSON: `{"type":"run",…RunStatus}` and `{"type":"item","run":…,…ItemStatus}`, one a line.
 * On a terminal a last line says where the run stands and is overwritten.
 */
export async function watchToEnd(
  context: Context,
  store: ObjectStore,
  run: string,
  timeoutMs: number | undefined,
): Promise<number> {
  try {
    for await (const change of followRun(store, run, timeoutMs)) {
      if (context.json) await printJsonChange(context, change);
      else await printChange(context, change);
      if (isEnded(change.status)) return exitCodeOf(change.status);
    }
    return 1;
  } catch (error) {
    // What is said about it does not belong on the line that is overwritten.
    if (context.interactive) await context.write(Buffer.from(CLEAR_LINE));
    throw error;
  }
}

const CLEAR_LINE = '\r\u001b[K';

async function printJsonChange(context: Context, { status, changed }: RunChange): Promise<void> {
  for (const item of changed) await context.printLine({ type: 'item', run: status.run, ...item });
  await context.printLine({ type: 'run', ...status });
}

async function printChange(context: Context, { status, changed, items }: RunChange): Promise<void> {
  const { paint, interactive } = context;
  const clear = interactive ? CLEAR_LINE : '';
  const time = status.updatedAt.slice(11, 19);
  for (const item of changed) await context.print(`${clear}${time}  ${itemLine(item, paint)}`);
  const sealed = status.sealedAt !== undefined ? ', sealed' : '';
  const rest = `${sealed}  ${countsOf(status)}  ${durationOf(status)}`;
  if (status.phase !== 'running') {
    await context.print(`${clear}${time}  ${status.run}  ${paintPhase(paint, status.phase)}${rest}`);
  } else if (interactive) {
    // Without colour, because it is cut to one line, and a cut through an escape sequence would show.
    await context.write(
      Buffer.from(`${clear}${`${status.run}  ${status.phase}${rest}`.slice(0, terminalWidth() - 1)}`),
    );
  }
  // Said when it comes up: of what waits for a person, and of a run that has failed.
  const told = isEnded(status) ? items : changed.filter(({ phase }) => phase === 'waiting');
  if (status.phase === 'running' || isEnded(status)) for (const step of nextSteps(status, told)) context.note(step);
}
