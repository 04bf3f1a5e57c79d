import { writeFile } from 'node:fs/promises';
import { encodeSegment } from '@pangolin/contracts/ids';
import { command } from '../../command.ts';
import { parseItemTarget } from '../../read/target.ts';

export const prove = command({
  description: 'Export the evidence of one item alone: its events, their place in the sealed log, its statements',
  args: {
    item: { type: 'positional', description: 'An item of a sealed run, as RUN/ITEM.' },
    out: { type: 'string', valueHint: 'FILE', description: 'Else RUN.ITEM.proof.json.' },
  },
  async run({ item: target, out }, context) {
    const { run, item } = parseItemTarget(target);
    const store = await context.open();
    const { exportProof } = await import('@pangolin/storage/proof');
    const bytes = await exportProof(store, run, item);
    const path = out ?? `${encodeSegment(run)}.${encodeSegment(item)}.proof.json`;
    await writeFile(path, bytes);
    if (context.json) await context.printJson({ run, item, proof: path, bytes: bytes.length });
    else await context.print(path);
    context.note(`Check it with \`pangolin verify ${path}\`.`);
  },
});
