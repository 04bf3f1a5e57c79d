/** A submitted `kind: Schedule` from bytes to its admitted form, its template checked as the run that it will be. */
import { canonical } from './canonical.ts';
import { checkTimeZone, slotsOf } from './cron.ts';
import { sha256, type Sha256 } from './digest.ts';
import type { Finding } from './explain.ts';
import { show } from './formats.ts';
import { located } from './located.ts';
import { nearest } from './nearest.ts';
import { parseDocument } from './parse.ts';
import { readRun } from './read-run.ts';
import { SCHEDULE_BYTES_MAX, type AdmittedSchedule, type ScheduleFile } from './schedule.ts';
import { conforms, findingsOf } from './schema.ts';
import type { Problem } from './status.ts';
import type { Locate } from './text-place.ts';
import { formatTime } from './units.ts';

export type ReadSchedule =
  | {
      readonly ok: true;
      readonly name: string;
      readonly schedule: AdmittedSchedule;
      /** Only when the file says so. */
      readonly paused?: boolean;
      /** Of `schedule`: the same for every spelling of it. */
      readonly digest: Sha256;
      /** Turns problems of a run made from the template into problems of this file. */
      readonly relocate: (problems: readonly Problem[]) => Problem[];
    }
  | { readonly ok: false; readonly name?: string; readonly problems: readonly Problem[] };

/** Undefined when the document is no Schedule: somebody else reads it then. Never throws. */
export function readSchedule(bytes: Uint8Array, file: string): ReadSchedule | undefined {
  // Runs may be large and are parsed by their own reader.
  const head = Buffer.from(bytes.subarray(0, SCHEDULE_BYTES_MAX));
  if (!/\bkind["']?\s*:\s*["']?Schedule\b/.test(head.toString('utf8'))) return undefined;
  const parsed = parseDocument(bytes, file);
  if (!parsed.ok) return undefined;
  const { value, locate } = parsed;
  if (typeof value !== 'object' || value === null || (value as { kind?: unknown }).kind !== 'Schedule')
    return undefined;
  const refuse = (findings: readonly Finding[]): ReadSchedule => ({
    ok: false,
    problems: located(findings, file, locate),
  });
  if (bytes.length > SCHEDULE_BYTES_MAX) {
    return refuse([
      {
        path: '',
        code: 'TooLarge',
        message: `a schedule has at most ${SCHEDULE_BYTES_MAX} bytes`,
        hint: 'Shorten `run`.',
      },
    ]);
  }
  const findings = findingsOf('schedule', value);
  if (findings.length > 0 || !conforms('schedule', value)) return refuse(findings);
  const timing = checkTiming(value.spec);
  if (timing.length > 0) return refuse(timing);
  return admitted(value, file, locate);
}

function admitted(document: ScheduleFile, file: string, locate: Locate): ReadSchedule {
  const { cron, timeZone = 'UTC', catchUp = 'coalesce', overlap = 'allow', paused, run } = document.spec;
  const { name, labels = {} } = document.metadata;
  const schedule: AdmittedSchedule = { cron, timeZone, catchUp, overlap, labels, run };
  const relocate = (problems: readonly Problem[]): Problem[] =>
    located(
      problems.map(({ line: _line, column: _column, file: _file, ...rest }) => ({
        ...rest,
        path: templatePath(rest.path),
      })),
      file,
      locate,
    );
  const template = readRun(scheduledRun(name, schedule, 0), file);
  if (!template.ok) return { ok: false, name, problems: relocate(template.problems) };
  const digest = sha256(canonical(schedule));
  return { ok: true, name, schedule, ...(paused !== undefined && { paused }), digest, relocate };
}

/** `/spec/…` of the run is `/spec/run/…` of the schedule; its name and labels come from the schedule's own. */
function templatePath(path: string): string {
  return path.startsWith('/spec') ? `/spec/run${path.slice('/spec'.length)}` : path;
}

export const scheduledRunId = (name: string, slot: number): string => `${name}@${formatTime(slot)}`;

/** The run of a slot (epoch ms) as it is dropped into the inbox: the same bytes for the same slot. */
export function scheduledRun(name: string, { labels, run }: AdmittedSchedule, slot: number): Buffer {
  const metadata = { name: scheduledRunId(name, slot), labels: { ...labels, 'pangolin.dev/schedule': name } };
  return Buffer.from(`${JSON.stringify({ apiVersion: 'pangolin.dev/v1', kind: 'Run', metadata, spec: run })}\n`);
}

function checkTiming({ cron, timeZone }: ScheduleFile['spec']): Finding[] {
  const findings: Finding[] = [];
  const attempt = (path: string, hint: string, check: () => void): void => {
    try {
      check();
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      findings.push({ path, code: 'InvalidValue', message: error.message, hint });
    }
  };
  attempt('/spec/cron', 'Write minute, hour, day of month, month and day of week, such as `30 6 * * MON-FRI`.', () => {
    slotsOf(cron, 'UTC');
  });
  if (timeZone !== undefined) {
    attempt('/spec/timeZone', zoneHint(timeZone), () => {
      try {
        checkTimeZone(timeZone);
      } catch (cause) {
        throw new RangeError(`there is no time zone ${show(timeZone)}`, { cause });
      }
    });
  }
  return findings;
}

function zoneHint(timeZone: string): string {
  const close = nearest(timeZone, Intl.supportedValuesOf('timeZone'));
  return close === undefined ? 'Write an IANA name such as Europe/Berlin, or UTC.' : `Did you mean ${close}?`;
}
