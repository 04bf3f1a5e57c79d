import type { Receipt } from '@pangolin/contracts/status';
import { command } from '../../command.ts';
import type { Context } from '../../context.ts';
import { controlFlags } from '../../control.ts';
import { drop, nameOf, queued, rejected, type About } from '../../drop.ts';
import { receiptTimeout } from '../../read/receipts.ts';
import { readSpecFile, reportProblems } from '../../spec-file.ts';
import { usage } from '../../strict.ts';
import { watchToEnd } from './watch.ts';

export const submit = command({
  description: 'Check a Run, Queue or Schedule file, drop it into the inbox and say what the controller made of it',
  args: {
    file: { type: 'positional', description: 'YAML or JSON, `-` for standard input.' },
    'receipt-timeout': {
      ...controlFlags['receipt-timeout'],
      description:
        'How long to wait for an answer. Else 30s, or 2s without --wait when nothing seems to serve this storage.',
    },
    actor: { type: 'string', description: 'Who submits: human:NAME, agent:NAME or service:NAME. Else human:<you>.' },
    wait: { type: 'boolean', description: 'Wait until the run is sealed; exit 0 when it succeeded, 1 when not.' },
    timeout: { type: 'string', duration: true, description: 'With --wait: give up after this time with exit code 6.' },
  },
  async run(args, context) {
    const { prepareDocument } = await import('../../document.ts');
    const file = await readSpecFile(args.file);
    const ready = prepareDocument(file);
    if (!ready.ok) return await reportProblems(context, file, ready.problems);
    const { about } = ready;
    const { actor, wait } = args;
    const timeoutMs = receiptTimeout(args['receipt-timeout'], wait, args.timeout);
    if (wait && about.kind !== 'Run') throw usage(`${file.name} is no run to wait for`, 'Leave --wait out.');
    const store = await context.openOrCreate();
    const answer = await drop(store, file, ready, { actor, timeoutMs });
    if ('queued' in answer) return await queued(context, answer.queued, about, wait);
    const { receipt } = answer;
    if (receipt.verdict === 'rejected') return await rejected(context, receipt, file);
    await accepted(context, about, receipt, wait);
    return wait ? await watchToEnd(context, store, receipt.run ?? about.id, args.timeout) : 0;
  },
});

/** Prints it; as a note when more output follows. */
export async function accepted(context: Context, about: About, receipt: Receipt, quiet = false): Promise<void> {
  const { run, duplicate, submission } = receipt;
  const what = run ?? nameOf(about);
  if (quiet) context.note(`accepted ${what}`);
  else if (context.json) await context.printJson(receipt);
  else await context.print(`accepted ${what}`);
  if (duplicate === true) {
    const before = about.kind === 'Run' ? 'run was admitted' : `${about.kind.toLowerCase()} was declared`;
    context.note(`The same ${before} before; nothing changed (${submission}).`);
  } else if (!quiet && run !== undefined) context.note(`Follow it with \`pangolin orch watch ${run}\`.`);
}
