import type { CommandDef } from 'citty';
import { formatDigest } from '@pangolin/contracts/digest';
import type { ThingKind } from '@pangolin/contracts/things';
import { command } from '../command.ts';
import { renderTable } from '../render/table.ts';
import { wordsOf } from './words.ts';

export function list(kind: ThingKind): CommandDef {
  const { one, many, key } = wordsOf(kind);
  return command({
    description: `List the registered ${many}`,
    args: {},
    async run(_args, context) {
      const { listThings } = await import('@pangolin/storage/registry');
      const store = await context.open();
      const things = (await listThings(store, kind)).map(({ name, versions }) => {
        const { sha256, at, actor } = versions.at(-1)!;
        return { name, digest: formatDigest(sha256), at, actor, versions: versions.length };
      });
      if (context.json) return await context.printJson({ [key]: things });
      if (things.length === 0) return context.note(`No ${many} in ${store.location}.`);
      const columns = [
        { title: one.toUpperCase() },
        { title: 'VERSIONS', align: 'right' as const },
        { title: 'REGISTERED' },
        { title: 'ACTOR' },
        { title: 'DIGEST' },
      ];
      const rows = things.map(({ name, versions, at, actor, digest }) => [name, String(versions), at, actor, digest]);
      await context.print(await renderTable(columns, rows));
    },
  });
}
