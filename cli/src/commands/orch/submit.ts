import type { Receipt } from '@pangolin/contracts/status';
import { command } from '../../command.ts';
import type { Context } from '../../context.ts';
import { controlFlags } from '../../control.ts';
import { drop, queued, readyToDrop, rejected, type Ready } from '../../drop.ts';
import { readSpecFile, reportProblems, type SpecFile } from '../../spec-file.ts';
import { watchToEnd } from './watch.ts';

export const submit = command({
  description: 'Check a Run file, drop it into the inbox and say what the controller made of it',
  args: {
    file: { type: 'positional', description: 'YAML or JSON, `-` for standard input.' },
    ...controlFlags,
    actor: { type: 'string', description: 'Who submits: human:NAME, agent:NAME or service:NAME. Else human:<you>.' },
    wait: { type: 'boolean', description: 'Wait until the run is sealed; exit 0 when it succeeded, 1 when not.' },
    timeout: { type: 'string', duration: true, description: 'With --wait: give up after this time with exit code 6.' },
  },
  async run(args, context) {
    const file = await readSpecFile(args.file);
    const ready = await prepare(file);
    if (!ready.ok) return await reportProblems(context, file, ready.problems);
    const store = await context.openOrCreate();
    const { actor, wait, 'receipt-timeout': timeoutMs } = args;
    const answer = await drop(store, file, ready, { actor, timeoutMs });
    if ('queued' in answer) return await queued(context, answer.queued, ready.run, wait);
    const { receipt } = answer;
    if (receipt.verdict === 'rejected') return await rejected(context, receipt, file);
    await accepted(context, receipt, wait);
    return wait ? await watchToEnd(context, store, receipt.run ?? ready.run, args.timeout) : 0;
  },
});

async function prepare(file: SpecFile): Promise<Ready> {
  const { readRun } = await import('@pangolin/contracts/read-run');
  const result = readRun(file.bytes, file.name);
  return result.ok ? await readyToDrop(file, result.run.id, result.locate) : result;
}

async function accepted(context: Context, receipt: Receipt, quiet: boolean): Promise<void> {
  const { run, duplicate, submission } = receipt;
  if (quiet) context.note(`accepted ${run}`);
  else if (context.json) await context.printJson(receipt);
  else await context.print(`accepted ${run}`);
  if (duplicate === true) context.note(`The same run was admitted before; nothing changed (${submission}).`);
  else if (!quiet) context.note(`Follow it with \`pangolin orch watch ${run}\`.`);
}
