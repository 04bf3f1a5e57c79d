/** Slots against a table that was worked out by hand from the published clock changes, and what every schedule has in common. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { CRON_PATTERN, slotsOf } from '@pangolin/contracts/cron';

const slots = (cron: string, zone: string, after: string, count: number): string[] => {
  const { next } = slotsOf(cron, zone);
  const found: string[] = [];
  for (let at = next(Date.parse(after)); at !== undefined && found.length < count; at = next(at))
    found.push(new Date(at).toISOString().slice(0, 16));
  return found;
};

/** What it shows, cron, zone, after, the next slots in UTC. */
const table: readonly [string, string, string, string, readonly string[]][] = [
  // Berlin 2026: 02:00 becomes 03:00 on 29 March at 01:00 UTC; 03:00 becomes 02:00 on 25 October at 01:00 UTC.
  ['a daily slot', '30 6 * * *', 'Europe/Berlin', '2026-01-15T00:00Z', ['2026-01-15T05:30', '2026-01-16T05:30']],
  [
    'keeps its wall time over a change',
    '30 6 * * *',
    'Europe/Berlin',
    '2026-03-28T00:00Z',
    ['2026-03-28T05:30', '2026-03-29T04:30'],
  ],
  [
    'in the gap comes when the clock has skipped it',
    '30 2 * * *',
    'Europe/Berlin',
    '2026-03-28T12:00Z',
    ['2026-03-29T01:00', '2026-03-30T00:30'],
  ],
  [
    'two in the gap are one',
    '15,45 2 * * *',
    'Europe/Berlin',
    '2026-03-28T12:00Z',
    ['2026-03-29T01:00', '2026-03-30T00:15'],
  ],
  [
    'one in the gap and one at its end are one',
    '0,30 2,3 * * *',
    'Europe/Berlin',
    '2026-03-28T12:00Z',
    ['2026-03-29T01:00', '2026-03-29T01:30', '2026-03-30T00:00'],
  ],
  [
    'every hour passes over the gap',
    '30 * * * *',
    'Europe/Berlin',
    '2026-03-29T00:00Z',
    ['2026-03-29T00:30', '2026-03-29T01:30', '2026-03-29T02:30'],
  ],
  [
    'shown twice comes the first time',
    '30 2 * * *',
    'Europe/Berlin',
    '2026-10-24T12:00Z',
    ['2026-10-25T00:30', '2026-10-26T01:30'],
  ],
  [
    'a list shown twice comes the first time',
    '15,45 2 * * *',
    'Europe/Berlin',
    '2026-10-24T12:00Z',
    ['2026-10-25T00:15', '2026-10-25T00:45', '2026-10-26T01:15'],
  ],
  ['between the two it is over', '30 2 * * *', 'Europe/Berlin', '2026-10-25T00:31Z', ['2026-10-26T01:30']],
  [
    'every hour counts both',
    '30 * * * *',
    'Europe/Berlin',
    '2026-10-25T00:00Z',
    ['2026-10-25T00:30', '2026-10-25T01:30', '2026-10-25T02:30'],
  ],
  // New York 2026: 02:00 becomes 03:00 on 8 March at 07:00 UTC; 02:00 becomes 01:00 on 1 November at 06:00 UTC.
  ['New York, gap', '0 2 * * *', 'America/New_York', '2026-03-07T12:00Z', ['2026-03-08T07:00', '2026-03-09T06:00']],
  ['New York, twice', '30 1 * * *', 'America/New_York', '2026-10-31T12:00Z', ['2026-11-01T05:30', '2026-11-02T06:30']],
  [
    'New York, every 15 minutes',
    '*/15 * * * *',
    'America/New_York',
    '2026-11-01T05:40Z',
    ['2026-11-01T05:45', '2026-11-01T06:00', '2026-11-01T06:15'],
  ],
  // Lord Howe changes by half an hour: on 4 October at 15:30 UTC the day before 02:00 becomes 02:30; on 5 April at 15:00 UTC 02:00 becomes 01:30.
  [
    'Lord Howe, gap',
    '15 2 * * *',
    'Australia/Lord_Howe',
    '2026-10-02T20:00Z',
    ['2026-10-03T15:30', '2026-10-04T15:15'],
  ],
  [
    'Lord Howe, twice',
    '45 1 * * *',
    'Australia/Lord_Howe',
    '2026-04-04T00:00Z',
    ['2026-04-04T14:45', '2026-04-05T15:15'],
  ],
  [
    'Lord Howe, every 15 minutes',
    '*/15 * * * *',
    'Australia/Lord_Howe',
    '2026-04-04T14:50Z',
    ['2026-04-04T15:00', '2026-04-04T15:15'],
  ],
  // Cairo's clock skips midnight: on 24 April 2026 00:00 becomes 01:00, at 22:00 UTC the day before.
  [
    'Cairo, a midnight that there is not',
    '30 0 * * *',
    'Africa/Cairo',
    '2026-04-23T12:00Z',
    ['2026-04-23T22:00', '2026-04-24T21:30'],
  ],
  [
    'Kathmandu, 5:45 ahead',
    '0 6 * * *',
    'Asia/Kathmandu',
    '2026-07-01T00:00Z',
    ['2026-07-01T00:15', '2026-07-02T00:15'],
  ],
  ['days of the week by name', '0 9 * * MON-FRI', 'UTC', '2026-11-27T10:00Z', ['2026-11-30T09:00', '2026-12-01T09:00']],
  ['Sunday is 0 and 7', '0 9 * * 7', 'UTC', '2026-11-26T00:00Z', ['2026-11-29T09:00', '2026-12-06T09:00']],
  [
    'a day of the month or a day of the week',
    '0 0 1 * MON',
    'UTC',
    '2026-11-29T00:00Z',
    ['2026-11-30T00:00', '2026-12-01T00:00', '2026-12-07T00:00'],
  ],
  ['29 February', '0 0 29 2 *', 'UTC', '2026-01-01T00:00Z', ['2028-02-29T00:00', '2032-02-29T00:00']],
];
for (const [name, cron, zone, after, expected] of table) {
  test(`${cron} in ${zone}: ${name}`, () => assert.deepEqual(slots(cron, zone, after, expected.length), expected));
}

for (const [cron, message] of [
  ['0 0 31 2 *', /never comes/],
  ['0 0 30 FEB *', /never comes/],
  ['60 0 * * *', /minute/],
  ['0 24 * * *', /hour/],
  ['0 0 * XYZ *', /XYZ/],
] as const) {
  test(`${cron} is refused`, () => assert.throws(() => slotsOf(cron, 'UTC'), { name: 'RangeError', message }));
}

test('five fields and nothing else', () => {
  const pattern = new RegExp(CRON_PATTERN);
  for (const good of ['* * * * *', '*/5 0-6/2 1,15 JAN-MAR MON', '0 0 * * 0']) assert.match(good, pattern, good);
  for (const bad of [
    '@daily',
    '* * * *',
    '0 * * * * *',
    '* * * * * ',
    '0 0 L * *',
    '0 0 ? * *',
    '0 0 * * 1#2',
    '*  * * * *',
  ])
    assert.doesNotMatch(bad, pattern, bad);
});

test('there is no zone of Mars', () => assert.throws(() => slotsOf('* * * * *', 'Mars/Olympus'), RangeError));

const near = ['2026-03-29T01:00Z', '2026-10-25T01:00Z', '2026-11-01T06:00Z', '2026-04-04T15:00Z', '2026-10-03T15:30Z'];
test('wherever the search begins, the sequence of slots is one', () => {
  fc.assert(
    fc.property(
      fc.constantFrom('30 2 * * *', '15,45 1-3 * * *', '*/20 2 * * *', '0 * * * *', '30 */2 * * *'),
      fc.constantFrom('Europe/Berlin', 'America/New_York', 'Australia/Lord_Howe'),
      fc.constantFrom(...near),
      fc.integer({ min: -240, max: 240 }),
      fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
      (cron, zone, at, minutes, part) => {
        const { next } = slotsOf(cron, zone);
        const from = Date.parse(at) + minutes * 60_000;
        const slot = next(from)!;
        assert.ok(slot > from);
        assert.equal(next(from + Math.floor((slot - from) * part)), slot);
      },
    ),
    { numRuns: 200 },
  );
});
