import { command } from '../../command.ts';
import { ask, controlFlags } from '../../control.ts';
import { parseRunTarget } from '../../read/target.ts';

export const close = command({
  description: 'End the extensions of an open-ended run; it is sealed when its items have ended',
  args: { run: { type: 'positional', description: 'A run.' }, ...controlFlags },
  async run({ run, actor, 'receipt-timeout': timeoutMs }, context) {
    const target = parseRunTarget(run);
    return await ask(context, { verb: 'close', target, actor, timeoutMs }, () => `closed ${target}`);
  },
});
