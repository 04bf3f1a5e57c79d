import { formatDigest } from '@pangolin/contracts/digest';
import { command } from '../../command.ts';
import { renderTable } from '../../render/table.ts';

export const list = command({
  description: 'List the registered pipelines',
  args: {},
  async run(_args, context) {
    const { listThings } = await import('@pangolin/storage/registry');
    const store = await context.open();
    const pipelines = (await listThings(store, 'pipeline')).map(({ name, versions }) => {
      const current = versions.at(-1)!;
      return {
        name,
        digest: formatDigest(current.sha256),
        at: current.at,
        actor: current.actor,
        versions: versions.length,
      };
    });
    if (context.json) return await context.printJson({ pipelines });
    if (pipelines.length === 0) return context.note(`No pipelines in ${store.location}.`);
    const columns = [
      { title: 'PIPELINE' },
      { title: 'VERSIONS', align: 'right' as const },
      { title: 'REGISTERED' },
      { title: 'ACTOR' },
      { title: 'DIGEST' },
    ];
    const rows = pipelines.map(({ name, versions, at, actor, digest }) => [name, String(versions), at, actor, digest]);
    await context.print(await renderTable(columns, rows));
  },
});
