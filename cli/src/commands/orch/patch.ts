import { formatDigest } from '@pangolin/contracts/digest';
import { PangolinError } from '@pangolin/contracts/errors';
import { isTerminal } from '@pangolin/contracts/reasons';
import type { ItemStatus } from '@pangolin/contracts/status';
import { applyPatch } from '../../apply-patch.ts';
import { command } from '../../command.ts';
import { productBytes } from '../../read/products.ts';
import { readItem } from '../../read/runs.ts';
import { parseItemTarget } from '../../read/target.ts';

export const patch = command({
  description: 'Print the patch of an item, or apply it to a directory',
  args: {
    target: { type: 'positional', description: 'RUN/ITEM.' },
    apply: { type: 'string', valueHint: 'DIR', description: 'Apply it there with git, wholly or not at all.' },
  },
  async run({ target, apply }, context) {
    const { run, item } = parseItemTarget(target);
    const store = await context.open();
    const status = await readItem(store, { run, item });
    if (!status.patch) throw noPatch(target, status);
    const bytes = await productBytes(store, status.patch);
    if (status.partial === true) context.note('The patch is partial: the attempt was cut short.');
    if (apply !== undefined) await applyPatch(apply, bytes);
    if (context.json) {
      const { sha256, size } = status.patch;
      const applied = apply === undefined ? { base64: bytes.toString('base64') } : { applied: apply };
      await context.printJson({
        run,
        item,
        sha256: formatDigest(sha256),
        size,
        partial: status.partial === true,
        ...applied,
      });
    } else if (apply === undefined) await context.write(bytes);
    else context.note(bytes.length === 0 ? 'The patch is empty: nothing to apply.' : `Applied ${target} to ${apply}.`);
  },
});

function noPatch(target: string, { phase, reason }: ItemStatus): PangolinError {
  const hint = isTerminal(phase)
    ? 'Only a `capture` block with `what: patch` yields one; `pangolin orch outputs` lists the other products.'
    : 'Wait until it is done: `pangolin orch watch`.';
  return new PangolinError('NOT_FOUND', `${target} has no patch; it is ${phase} (${reason})`, { hint });
}
