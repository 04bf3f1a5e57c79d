import { command } from '../../command.ts';
import { ask, controlFlags } from '../../control.ts';
import { parseItemTarget } from '../../read/target.ts';

/** `approve` and `reject`, of an item that waits for a decision. */
export const deciding = (verb: 'approve' | 'reject', description: string) =>
  command({
    description,
    args: {
      target: { type: 'positional', description: 'RUN/ITEM.' },
      reason: { type: 'string', description: 'Goes into the evidence.' },
      ...controlFlags,
    },
    async run({ target, reason, actor, 'receipt-timeout': timeoutMs }, context) {
      parseItemTarget(target);
      const done = verb === 'approve' ? 'approved' : 'rejected';
      return await ask(context, { verb, target, actor, timeoutMs, reason }, () => `${done} ${target}`);
    },
  });
