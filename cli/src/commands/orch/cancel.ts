import { command } from '../../command.ts';
import { ask, controlFlags } from '../../control.ts';

export const cancel = command({
  description: 'Stop a run or one item; what runs gets its grace period and its partial work is kept',
  args: {
    target: { type: 'positional', description: 'RUN or RUN/ITEM.' },
    reason: { type: 'string', description: 'Goes into the evidence.' },
    ...controlFlags,
  },
  async run({ target, reason, actor, 'receipt-timeout': timeoutMs }, context) {
    return await ask(context, { verb: 'cancel', target, actor, timeoutMs, reason }, () => `cancelling ${target}`);
  },
});
