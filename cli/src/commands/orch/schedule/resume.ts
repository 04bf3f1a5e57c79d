import { command } from '../../../command.ts';
import { ask, controlFlags } from '../../../control.ts';

export const resume = command({
  description: 'Let a paused schedule go on with its next slot',
  args: { schedule: { type: 'positional', description: 'Its name.' }, ...controlFlags },
  async run({ schedule, actor, 'receipt-timeout': timeoutMs }, context) {
    const asked = { verb: 'resume', target: schedule, of: 'schedule', actor, timeoutMs } as const;
    return await ask(context, asked, () => `resumed schedule ${schedule}`);
  },
});
