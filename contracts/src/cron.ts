/**
 * When a schedule is due: five cron fields in an IANA time zone. croner does the calendar; the clock changes are ours,
 * because croner drops or repeats slots of lists and ranges in them.
 *
 * - A slot that the clock skips (02:30 on the day that 02:00 becomes 03:00) is due when it has skipped, once.
 * - A time that the clock shows twice is due the first time.
 * - A schedule whose hour field has a `*` follows the hours that pass: nothing is moved, and both of two equal hours count.
 */
import { Cron } from 'croner';

const NUMBER_OR_NAME = '(\\d{1,2}|[A-Za-z]{3})';
const PART = `(\\*|${NUMBER_OR_NAME}(-${NUMBER_OR_NAME})?)(/\\d{1,2})?`;
const FIELD = `${PART}(,${PART})*`;
/** Minute, hour, day of month, month, day of week: `*`, numbers, names, ranges, steps and lists; nothing else. */
export const CRON_PATTERN = `^${FIELD}( ${FIELD}){4}$`;
export const TIME_ZONE_PATTERN = '^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*$';

const HOUR_MS = 3_600_000;
const MINUTE_MS = 60_000;
/** No zone turns its clock back by more. */
const TURN_BACK_MAX_MS = 3 * HOUR_MS;

export interface Slots {
  /** The first slot after `epochMs`; undefined when there is none. */
  next(epochMs: number): number | undefined;
}

/** @throws RangeError with a sentence: a field out of range, a date that never comes. `cron` matches CRON_PATTERN. */
export function slotsOf(cron: string, timeZone: string): Slots {
  const calendar = calendarOf(cron);
  if (calendar.nextRun(new Date(0)) === null) throw new RangeError(`${cron} never comes: no month has that day`);
  const zone = new Zone(timeZone);
  const followsHours = cron.split(' ')[1]!.includes('*');
  return {
    next(after) {
      const turns = zone.offset(after - TURN_BACK_MAX_MS) !== zone.offset(after + TURN_BACK_MAX_MS);
      let wall = after + zone.offset(after) - (turns ? TURN_BACK_MAX_MS : 0);
      let best = Infinity;
      for (;;) {
        const next = calendar.nextRun(new Date(wall))?.getTime();
        if (next === undefined) return best === Infinity ? undefined : best;
        wall = next;
        const instants = zone.instants(wall, followsHours);
        for (const instant of instants) if (instant > after && instant < best) best = instant;
        // Later walls begin later, so nothing earlier than `best` is to come.
        if (instants[0] !== undefined && instants[0] > after) return best;
      }
    },
  };
}

/** @throws RangeError for a zone that there is not. */
export function checkTimeZone(timeZone: string): void {
  void new Zone(timeZone);
}

/** In a calendar without clock changes, whose times are written as if they were UTC. */
function calendarOf(cron: string): Cron {
  try {
    return new Cron(cron, { mode: '5-part', timezone: 'UTC', paused: true });
  } catch (cause) {
    const message = (cause as Error).message.replace(/^CronPattern: /, '');
    throw new RangeError(message.charAt(0).toLowerCase() + message.slice(1), { cause });
  }
}

class Zone {
  readonly #format: Intl.DateTimeFormat;

  constructor(timeZone: string) {
    this.#format = new Intl.DateTimeFormat('en-US', {
      timeZone,
      hourCycle: 'h23',
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
      hour: 'numeric',
      minute: 'numeric',
      second: 'numeric',
    });
  }

  /** Wall time less UTC, in ms, at this instant. */
  offset(epochMs: number): number {
    const whole = Math.floor(epochMs / 1000) * 1000;
    const parts = new Map(this.#format.formatToParts(whole).map(({ type, value }) => [type, Number(value)]));
    const of = (type: Intl.DateTimeFormatPartTypes): number => parts.get(type)!;
    return Date.UTC(of('year'), of('month') - 1, of('day'), of('hour'), of('minute'), of('second')) - whole;
  }

  /** The instants at which a wall clock of this zone shows `wall`, as the head of this file says. */
  instants(wall: number, followsHours: boolean): number[] {
    const [before, after] = [this.offset(wall - 24 * HOUR_MS), this.offset(wall + 24 * HOUR_MS)];
    const shown = [...new Set([wall - before, wall - after])]
      .filter((instant) => instant + this.offset(instant) === wall)
      .sort((a, b) => a - b);
    if (followsHours) return shown;
    return shown.length === 0 ? [this.#turn(wall - after, wall - before)] : shown.slice(0, 1);
  }

  /** The minute in which the clock is put forward: after `early`, not after `late`. */
  #turn(early: number, late: number): number {
    const from = this.offset(early);
    let [low, high] = [early, late];
    while (high - low > MINUTE_MS) {
      const middle = low + Math.floor((high - low) / 2 / MINUTE_MS) * MINUTE_MS;
      if (this.offset(middle) === from) low = middle;
      else high = middle;
    }
    return high;
  }
}
