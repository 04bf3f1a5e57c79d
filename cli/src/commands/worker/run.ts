import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { PangolinError } from '@pangolin/contracts/errors';
import { command } from '../../command.ts';

/** Exit codes of the worker's own protocol, where they mean something else on this command line. */
const exitCodes: Readonly<Record<number, number>> = { 3: 4, 4: 2 };

export const run = command({
  description: 'Run one task without a controller: DIR/in holds task.json, DIR/out gets patch, outputs and output.json',
  args: { dir: { type: 'positional', description: 'A directory with in/task.json.' } },
  async run({ dir }, context) {
    if (!existsSync(join(dir, 'in', 'task.json'))) {
      throw new PangolinError('NOT_FOUND', `there is no ${join(dir, 'in', 'task.json')}`, {
        hint: 'Write {"schema":"standalone-task/1","pipeline":{"blocks":[…]}} there; in/workspace/ is the workspace.',
      });
    }
    const { runStandalone } = await import('@pangolin/worker-image/runner');
    const code = await runStandalone(dir);
    const out = join(dir, 'out');
    const ran = code === 0 || code === 1;
    if (context.json) await context.printJson({ status: code === 0 ? 'succeeded' : ran ? 'failed' : 'refused', out });
    else if (ran) await context.print(`${code === 0 ? 'succeeded' : 'failed'}: ${out}`);
    return exitCodes[code] ?? code;
  },
});
