import { command } from '../../../command.ts';
import { ask, controlFlags } from '../../../control.ts';

export const trigger = command({
  description: 'Submit a run of a schedule now, whether it is paused or an earlier run goes on',
  args: { schedule: { type: 'positional', description: 'Its name.' }, ...controlFlags },
  async run({ schedule, actor, 'receipt-timeout': timeoutMs }, context) {
    const asked = { verb: 'trigger', target: schedule, of: 'schedule', actor, timeoutMs } as const;
    return await ask(context, asked, ({ run }) => `triggered ${run ?? schedule}`);
  },
});
