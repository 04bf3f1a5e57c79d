import { encodeSegment } from '@pangolin/contracts/ids';
import { PangolinError } from '@pangolin/contracts/errors';
import { command } from '../../command.ts';
import { isEnded } from '../../read/follow.ts';
import { readStatus } from '../../read/runs.ts';
import { parseRunTarget } from '../../read/target.ts';

export const audit = command({
  description: 'Export the evidence of a sealed run as a bundle that anyone can verify offline',
  args: {
    run: { type: 'positional', description: 'A run.' },
    out: {
      type: 'string',
      valueHint: 'PATH',
      description: 'One JSON document (*.json), an archive (*.tar), else a new directory. Else RUN.bundle.json.',
    },
    lean: { type: 'boolean', description: 'The log and the seal only, without statements and products.' },
  },
  async run({ run, out, lean }, context) {
    const id = parseRunTarget(run);
    const store = await context.open();
    const status = await readStatus(store, id);
    if (!isEnded(status)) {
      throw new PangolinError('UNAVAILABLE', `run ${id} is not sealed yet; it is ${status.phase}`, {
        hint: `Wait for it with \`pangolin orch watch ${id}\`.`,
      });
    }
    const path = out ?? `${encodeSegment(id)}.bundle.json`;
    const [{ exportBundle }, { writeBundle }] = await Promise.all([
      import('@pangolin/storage/bundle'),
      import('@pangolin/storage/bundle-writers'),
    ]);
    await writeBundle(exportBundle(store, id, { lean }), path);
    if (context.json) await context.printJson({ run: id, bundle: path, lean });
    else await context.print(path);
    context.note(`Check it with \`pangolin verify ${path}\`.`);
  },
});
