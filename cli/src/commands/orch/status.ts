import { command } from '../../command.ts';
import type { Context } from '../../context.ts';
import { listReceipts, listRuns, readItem, readItems, readStatus } from '../../read/runs.ts';
import { lagOf, readEvidenceStatus } from '../../read/evidence.ts';
import { workOf } from '../../read/work.ts';
import { parseTarget } from '../../read/target.ts';
import { isCause } from '../../next-steps.ts';
import { renderItem, renderRun, renderRuns } from '../../render/run.ts';
import { renderTable } from '../../render/table.ts';
import { usage } from '../../strict.ts';
import type { Receipt } from '@pangolin/contracts/status';
import type { ObjectStore } from '@pangolin/storage/object-store';

export const status = command({
  description:
    'List the runs of this storage, show one with its items, or one item with what it asks, said, used, reached and was given',
  args: {
    target: {
      type: 'positional',
      required: false,
      description: 'RUN or RUN/ITEM; without one all runs are listed, newest first.',
    },
    failed: {
      type: 'boolean',
      description: 'Of a run: only the items that failed, were denied or cancelled.',
    },
    receipts: { type: 'boolean', description: 'List the submissions that were rejected as well.' },
    limit: {
      type: 'string',
      number: { min: 1, max: 1_000_000 },
      default: '50',
      description: 'How many of each to list.',
    },
  },
  async run({ target, failed, receipts, limit }, context) {
    if (failed && (target === undefined || target.includes('/')))
      throw usage('--failed goes with a run', 'Name one: `pangolin orch status RUN --failed`.');
    if (target === undefined) return await showAll(context, receipts, limit);
    if (receipts) throw usage('--receipts goes without a run', 'Leave one of them out.');
    const { run, item } = parseTarget(target);
    if (item === undefined) return await showOne(context, run, failed);
    const store = await context.open();
    const shown = await readItem(store, { run, item });
    const work = await workOf(store, run, shown);
    if (context.json) await context.printJson({ ...shown, ...work });
    else await context.print(renderItem(run, shown, work, context.paint));
  },
});

async function showOne(context: Context, id: string, failed: boolean): Promise<void> {
  const store = await context.open();
  const run = await readStatus(store, id);
  const all = await readItems(store, id);
  const items = failed ? all.filter(isCause) : all;
  const evidence =
    run.finishedAt !== undefined && run.sealedAt === undefined ? await readEvidenceStatus(store) : undefined;
  const seal = evidence?.waiting.find((each) => each.run === id);
  if (context.json) return await context.printJson({ ...run, ...(seal && { seal }), items });
  await context.print(await renderRun(run, items, context.paint));
  for (const sentence of evidence ? lagOf(evidence, id) : []) context.note(sentence);
}

async function showAll(context: Context, withReceipts: boolean, limit: number): Promise<void> {
  const store = await context.open();
  const all = await listRuns(store);
  const runs = all.slice(0, limit);
  const rejections = withReceipts ? await rejectionsOf(store, limit) : undefined;
  const evidence = await readEvidenceStatus(store);
  if (context.json) {
    return await context.printJson({
      runs,
      ...(rejections && { receipts: rejections }),
      ...(evidence && { evidence }),
    });
  }
  if (runs.length > 0) await context.print(await renderRuns(runs, context.paint));
  else context.note(`No runs in ${store.location}.`);
  if (all.length > runs.length) context.note(`${all.length - runs.length} older runs are not shown; see --limit.`);
  if (rejections) await printRejections(context, rejections);
  for (const sentence of evidence ? lagOf(evidence) : []) context.note(sentence);
}

async function rejectionsOf(store: ObjectStore, limit: number): Promise<readonly Receipt[]> {
  return (await listReceipts(store)).filter(({ verdict }) => verdict === 'rejected').slice(0, limit);
}

async function printRejections(context: Context, receipts: readonly Receipt[]): Promise<void> {
  if (receipts.length === 0) return context.note('No rejected submissions.');
  const rows = receipts.map(({ at, submission, actor, errors }) => {
    const [first] = errors;
    const more = errors.length > 1 ? ` (and ${errors.length - 1} more)` : '';
    return [
      at.replace('T', ' ').slice(0, 19),
      submission,
      actor,
      first ? `${first.code}: ${first.message}${more}` : '',
    ];
  });
  const columns = ['REJECTED', 'SUBMISSION', 'ACTOR', 'PROBLEM'].map((title) => ({ title }));
  await context.print(`\n${await renderTable(columns, rows)}`);
}
