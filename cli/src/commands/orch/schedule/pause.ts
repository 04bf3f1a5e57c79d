import { command } from '../../../command.ts';
import { ask, controlFlags } from '../../../control.ts';

export const pause = command({
  description: 'Submit no more runs of a schedule; slots that pass meanwhile are not caught up',
  args: { schedule: { type: 'positional', description: 'Its name.' }, ...controlFlags },
  async run({ schedule, actor, 'receipt-timeout': timeoutMs }, context) {
    const asked = { verb: 'pause', target: schedule, of: 'schedule', actor, timeoutMs } as const;
    return await ask(context, asked, () => `paused schedule ${schedule}`);
  },
});
