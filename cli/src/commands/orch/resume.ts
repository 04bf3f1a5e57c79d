import { command } from '../../command.ts';
import { ask, controlFlags } from '../../control.ts';
import { parseRunTarget } from '../../read/target.ts';
import { usage } from '../../strict.ts';

export const resume = command({
  description: 'Let a paused run or queue go on',
  args: {
    run: { type: 'positional', required: false, description: 'A run, unless --queue names a queue.' },
    queue: { type: 'string', valueHint: 'NAME', description: 'Every run of this queue.' },
    ...controlFlags,
  },
  async run({ run, queue, actor, 'receipt-timeout': timeoutMs }, context) {
    if ((run === undefined) === (queue === undefined))
      throw usage('name a run or a queue', 'Write RUN or --queue NAME.');
    const target = queue ?? parseRunTarget(run!);
    const asked = { verb: 'resume', target, of: queue === undefined ? undefined : 'queue', actor, timeoutMs } as const;
    return await ask(context, asked, () => `resumed ${target}`);
  },
});
