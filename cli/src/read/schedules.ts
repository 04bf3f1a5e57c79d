/** What the controller publishes of schedules. */
import { SCHEDULES } from '@pangolin/contracts/layout';
import type { ScheduleStatus } from '@pangolin/contracts/schedule';
import type { ObjectStore } from '@pangolin/storage/object-store';
import { mapBounded } from '@pangolin/contracts/map-bounded';
import { readRecord } from './runs.ts';

const PARALLEL = 16;

/** By name. */
export async function listSchedules(store: ObjectStore): Promise<readonly ScheduleStatus[]> {
  const keys: string[] = [];
  for (let after: string | undefined; ;) {
    const page = await store.list(SCHEDULES, after === undefined ? {} : { after });
    keys.push(...page.objects.map(({ key }) => key));
    after = page.next;
    if (after === undefined) break;
  }
  const found = await mapBounded(keys, PARALLEL, (key) => readRecord<ScheduleStatus>(store, key, 'schedule-status/1'));
  return found.filter((schedule) => schedule !== undefined);
}
