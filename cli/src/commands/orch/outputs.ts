import { formatDigest } from '@pangolin/contracts/digest';
import type { ProductRef } from '@pangolin/contracts/output';
import type { ObjectStore } from '@pangolin/storage/object-store';
import { command } from '../../command.ts';
import { mapBounded } from '@pangolin/contracts/map-bounded';
import { assertedOf } from '../../read/work.ts';
import { safeJoin, saveProduct } from '../../read/products.ts';
import { readItem } from '../../read/runs.ts';
import { parseItemTarget } from '../../read/target.ts';
import { renderTable } from '../../render/table.ts';

const PARALLEL = 8;

export const outputs = command({
  description: 'List the output files of an item, or write them to a directory',
  args: {
    target: { type: 'positional', description: 'RUN/ITEM.' },
    to: { type: 'string', valueHint: 'DIR', description: 'Write the files there under their own names.' },
  },
  async run({ target, to }, context) {
    const { run, item } = parseItemTarget(target);
    const store = await context.open();
    const status = await readItem(store, { run, item });
    const files = Object.entries(status.outputs ?? {}).sort(([a], [b]) => (a < b ? -1 : 1));
    if (to !== undefined) await saveAll(store, files, to);
    if (context.json) {
      const listed = files.map(([path, { sha256, size }]) => ({ path, sha256: formatDigest(sha256), size }));
      const asserted = await assertedOf(store, status);
      await context.printJson({
        run,
        item,
        outputs: listed,
        ...(to !== undefined && { to }),
        ...(asserted && { asserted }),
      });
      return;
    }
    if (files.length === 0) context.note(`${target} has no outputs; it is ${status.phase} (${status.reason}).`);
    else if (to !== undefined) context.note(`Wrote ${files.length} file${files.length === 1 ? '' : 's'} to ${to}.`);
    else await context.print(await listing(files));
  },
});

type Files = readonly (readonly [string, ProductRef])[];

async function saveAll(store: ObjectStore, files: Files, dir: string): Promise<void> {
  // All names first: either every file can be written or none is.
  const places = files.map(([name, product]) => ({ path: safeJoin(dir, name), product }));
  await mapBounded(places, PARALLEL, ({ path, product }) => saveProduct(store, product, path));
}

async function listing(files: Files): Promise<string> {
  const columns = [{ title: 'FILE' }, { title: 'BYTES', align: 'right' as const }, { title: 'SHA256' }];
  return await renderTable(
    columns,
    files.map(([name, { sha256, size }]) => [name, String(size), sha256]),
  );
}
