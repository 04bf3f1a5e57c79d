import { command } from '../../command.ts';
import { ask, controlFlags } from '../../control.ts';
import { parseItemTarget } from '../../read/target.ts';

export const reject = command({
  description: 'Let an item that waits for a decision fail',
  args: {
    target: { type: 'positional', description: 'RUN/ITEM.' },
    reason: { type: 'string', description: 'Goes into the evidence.' },
    ...controlFlags,
  },
  async run({ target, reason, actor, 'receipt-timeout': timeoutMs }, context) {
    parseItemTarget(target);
    return await ask(context, { verb: 'reject', target, actor, timeoutMs, reason }, () => `rejected ${target}`);
  },
});
