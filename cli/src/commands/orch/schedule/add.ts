import { PangolinError } from '@pangolin/contracts/errors';
import { command } from '../../../command.ts';
import { controlFlags } from '../../../control.ts';
import { drop, queued, rejected } from '../../../drop.ts';
import { readSpecFile, reportProblems } from '../../../spec-file.ts';
import { accepted } from '../submit.ts';

export const add = command({
  description: 'Declare a schedule, or change the one of that name; its slots count from now on',
  args: {
    file: { type: 'positional', description: 'A Schedule, YAML or JSON, `-` for standard input.' },
    ...controlFlags,
  },
  async run({ file: path, actor, 'receipt-timeout': timeoutMs }, context) {
    const { prepareDocument } = await import('../../../document.ts');
    const file = await readSpecFile(path);
    const ready = prepareDocument(file);
    if (!ready.ok) return await reportProblems(context, file, ready.problems);
    if (ready.about.kind !== 'Schedule') {
      throw new PangolinError('INVALID', `${file.name} is a ${ready.about.kind}, not a Schedule`, {
        hint: 'Write kind: Schedule with `spec.cron`, and what the Run has as its spec under `spec.run`.',
      });
    }
    const answer = await drop(await context.openOrCreate(), file, ready, { actor, timeoutMs });
    if ('queued' in answer) return await queued(context, answer.queued, ready.about, false);
    if (answer.receipt.verdict === 'rejected') return await rejected(context, answer.receipt, file);
    return void (await accepted(context, ready.about, answer.receipt));
  },
});
