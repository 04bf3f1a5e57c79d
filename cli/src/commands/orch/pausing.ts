import { command } from '../../command.ts';
import { ask, controlFlags } from '../../control.ts';
import { parseRunTarget } from '../../read/target.ts';
import { usage } from '../../strict.ts';

/** `pause` and `resume`, of a run or of a queue. */
export const pausing = (verb: 'pause' | 'resume', description: string) =>
  command({
    description,
    args: {
      run: { type: 'positional', required: false, description: 'A run, unless --queue names a queue.' },
      queue: { type: 'string', valueHint: 'NAME', description: 'Every run of this queue.' },
      ...controlFlags,
    },
    async run({ run, queue, actor, 'receipt-timeout': timeoutMs }, context) {
      if ((run === undefined) === (queue === undefined))
        throw usage('name a run or a queue', 'Write RUN or --queue NAME.');
      const target = queue ?? parseRunTarget(run!);
      const of = queue === undefined ? undefined : 'queue';
      return await ask(context, { verb, target, of, actor, timeoutMs }, () => `${verb}d ${target}`);
    },
  });
