import { command } from '../../command.ts';
import { ask, controlFlags } from '../../control.ts';

export const retry = command({
  description: 'Run what did not succeed again, as a new run that takes over the products of the rest',
  args: {
    target: { type: 'positional', description: 'RUN, or RUN/ITEM for that item and its descendants.' },
    as: { type: 'string', valueHint: 'NEWID', description: 'Id of the new run. Else RUN.retryN.' },
    ...controlFlags,
  },
  async run({ target, as, actor, 'receipt-timeout': timeoutMs }, context) {
    const answer = ({ run }: { readonly run?: string }): string => `accepted ${run ?? ''}`;
    return await ask(context, { verb: 'retry', target, actor, timeoutMs, as }, answer);
  },
});
