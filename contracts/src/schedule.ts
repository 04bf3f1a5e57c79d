/** A schedule as users declare it (`kind: Schedule`), the admitted form, and what readers see of it. */
import Type, { type Static } from 'typebox';
import { CRON_PATTERN, TIME_ZONE_PATTERN } from './cron.ts';
import { ID_PATTERN } from './ids.ts';
import { Labels, RunSpec } from './run.ts';

const closed = { additionalProperties: false } as const;

/** Bytes of a submitted schedule: its template is kept in the run-state and submitted anew for every slot. */
export const SCHEDULE_BYTES_MAX = 2 ** 20;
/** Characters of a schedule's name, so that `<name>@<slot>` is an id. */
export const SCHEDULE_NAME_MAX = 150;
/** Slots of one schedule that are caught up at once, and decisions about it that are remembered. */
export const SLOTS_MAX = 100;

export const ScheduleFile = Type.Object(
  {
    apiVersion: Type.Literal('pangolin.dev/v1'),
    kind: Type.Literal('Schedule'),
    metadata: Type.Object(
      { name: Type.String({ pattern: ID_PATTERN, maxLength: SCHEDULE_NAME_MAX }), labels: Type.Optional(Labels) },
      closed,
    ),
    spec: Type.Object(
      {
        cron: Type.String({
          pattern: CRON_PATTERN,
          maxLength: 256,
          description: 'Minute, hour, day of month, month, day of week.',
        }),
        timeZone: Type.Optional(
          Type.String({ pattern: TIME_ZONE_PATTERN, maxLength: 64, description: 'IANA name. Default UTC.' }),
        ),
        catchUp: Type.Optional(
          Type.Union([Type.Literal('coalesce'), Type.Literal('all'), Type.Literal('none')], {
            description: 'Of slots that nothing served: the newest one (the default), every one, or none.',
          }),
        ),
        overlap: Type.Optional(
          Type.Union([Type.Literal('allow'), Type.Literal('skip'), Type.Literal('replace')], {
            description:
              'While an earlier run goes on: start beside it (the default), skip the slot, or cancel the earlier run.',
          }),
        ),
        paused: Type.Optional(Type.Boolean({ description: 'Submits nothing until it is resumed.' })),
        run: RunSpec,
      },
      closed,
    ),
  },
  { ...closed, title: 'Pangolin Schedule', $id: 'https://pangolin.dev/schema/schedule.v1.schema.json' },
);
export type ScheduleFile = Static<typeof ScheduleFile>;

export interface AdmittedSchedule {
  readonly cron: string;
  readonly timeZone: string;
  readonly catchUp: 'coalesce' | 'all' | 'none';
  readonly overlap: 'allow' | 'skip' | 'replace';
  readonly labels: Readonly<Record<string, string>>;
  /** As it was submitted: whatever it names is pinned anew for every run. */
  readonly run: Static<typeof RunSpec>;
}

/** What became of a slot, or of a trigger. */
export interface SlotStatus {
  readonly slot: string;
  readonly run?: string;
  /** `due`: not taken in yet. */
  readonly outcome: 'due' | 'submitted' | 'rejected' | 'skipped';
  readonly why?: string;
  /** Who asked for it, of a trigger. */
  readonly actor?: string;
}

/** `schedules/<schedule>.json`. */
export interface ScheduleStatus {
  readonly schema: 'schedule-status/1';
  readonly schedule: string;
  readonly cron: string;
  readonly timeZone: string;
  readonly catchUp: AdmittedSchedule['catchUp'];
  readonly overlap: AdmittedSchedule['overlap'];
  readonly paused: boolean;
  readonly actor: string;
  /** Absent while it is paused. */
  readonly nextSlot?: string;
  readonly lastRun?: SlotStatus;
  readonly lastSkipped?: SlotStatus;
  /** The newest decisions first, at most SLOTS_MAX. */
  readonly recent: readonly SlotStatus[];
  readonly updatedAt: string;
}
