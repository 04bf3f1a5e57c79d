import type { SlotStatus } from '@pangolin/contracts/schedule';
import { command } from '../../../command.ts';
import { listSchedules } from '../../../read/schedules.ts';
import { renderTable } from '../../../render/table.ts';

export const list = command({
  description: 'List the schedules: the next slot of each, its last run, and what was skipped last and why',
  args: {},
  async run(_args, context) {
    const store = await context.open();
    const schedules = await listSchedules(store);
    if (context.json) return await context.printJson({ schedules });
    if (schedules.length === 0) return context.note(`No schedules in ${store.location}.`);
    const titles = ['SCHEDULE', 'CRON', 'TIME ZONE', 'NEXT SLOT', 'LAST RUN', 'LAST SKIPPED'];
    const rows = schedules.map((each) => [
      each.schedule,
      each.cron,
      each.timeZone,
      each.paused ? 'paused' : (each.nextSlot ?? ''),
      described(each.lastRun),
      described(each.lastSkipped),
    ]);
    await context.print(
      await renderTable(
        titles.map((title) => ({ title })),
        rows,
      ),
    );
  },
});

/** `2026-11-26T06:30:00.000Z rejected: there is no queue "x"`. */
function described(slot: SlotStatus | undefined): string {
  if (!slot) return '';
  const { slot: at, outcome, why } = slot;
  const facts = [
    ...(outcome === 'submitted' || outcome === 'skipped' ? [] : [outcome]),
    ...(why === undefined ? [] : [why]),
  ];
  return [slot.run ?? at, ...(facts.length > 0 ? [`(${facts.join(': ')})`] : [])].join(' ');
}
