import { command } from '../../../command.ts';
import { ask, controlFlags } from '../../../control.ts';

export const rm = command({
  description: 'Remove a schedule; its runs go on',
  args: { schedule: { type: 'positional', description: 'Its name.' }, ...controlFlags },
  async run({ schedule, actor, 'receipt-timeout': timeoutMs }, context) {
    const asked = { verb: 'remove', target: schedule, of: 'schedule', actor, timeoutMs } as const;
    return await ask(context, asked, () => `removed schedule ${schedule}`);
  },
});
