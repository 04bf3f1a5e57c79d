import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  CPU_PATTERN,
  DURATION_PATTERN,
  formatDuration,
  parseCpu,
  parseDuration,
  parseSize,
  SIZE_PATTERN,
} from '../../contracts/src/units.ts';

test('durations are read in every documented form', () => {
  const table: [string, number][] = [
    ['90s', 90_000],
    ['15m', 900_000],
    ['1h30m', 5_400_000],
    ['250ms', 250],
    ['1d', 86_400_000],
    ['1m30s', 90_000],
  ];
  for (const [text, ms] of table) assert.equal(parseDuration(text), ms, text);
});

test('what is not a duration is refused by the pattern', () => {
  for (const text of ['', '10', '1.5h', '5 m', '30m1h', '-1s', '1w'])
    assert.doesNotMatch(text, new RegExp(DURATION_PATTERN), text);
});

test('sizes use binary and decimal suffixes', () => {
  assert.equal(parseSize('512Mi'), 512 * 1024 * 1024);
  assert.equal(parseSize('2G'), 2e9);
  assert.equal(parseSize('17'), 17);
  for (const text of ['', '1.5Gi', '5MB', 'Mi']) assert.doesNotMatch(text, new RegExp(SIZE_PATTERN), text);
});

test('CPU quantities are whole CPUs or millicpu', () => {
  assert.equal(parseCpu('500m'), 500);
  assert.equal(parseCpu('1.5'), 1500);
  for (const text of ['', '1.2345', 'x', '5mm']) assert.doesNotMatch(text, new RegExp(CPU_PATTERN), text);
});

test('durations read well', () => {
  assert.deepEqual([310, 4200, 61_000, 3_600_000, 3_720_000].map(formatDuration), [
    '310ms',
    '4.2s',
    '1m1s',
    '1h',
    '1h2m',
  ]);
});
