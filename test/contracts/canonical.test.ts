import assert from 'node:assert/strict';
import { test } from 'node:test';
import canonicalize from 'canonicalize';
import fc from 'fast-check';
import { canonical, canonicalBytes, parseCanonical } from '@pangolin/contracts/canonical';

const oracle = canonicalize as unknown as (value: unknown) => string;
const wellFormed = fc.json().map((text) => JSON.parse(text.toWellFormed()) as unknown);

test('canonical JSON equals an independent implementation of RFC 8785', () => {
  fc.assert(
    fc.property(wellFormed, (value) => assert.equal(canonical(value), oracle(value))),
    { numRuns: 500 },
  );
});

test('members are sorted by UTF-16 code units, as RFC 8785 §3.2.3 has it', () => {
  const value = {
    '\u20ac': 'Euro Sign',
    '\r': 'Carriage Return',
    '\ufb33': 'Hebrew',
    '1': 'One',
    '\ud83d\ude00': 'Emoji',
    '\u0080': 'Control',
    '\u00f6': 'Latin',
  };
  const keys = Object.keys(JSON.parse(canonical(value)) as object).filter((key) => key !== '1');
  assert.deepEqual(keys, ['\r', '\u0080', '\u00f6', '\u20ac', '\ud83d\ude00', '\ufb33']);
});

test('what canonical writes, the strict reader accepts', () => {
  fc.assert(
    fc.property(wellFormed, (value) =>
      assert.deepEqual(canonical(parseCanonical(canonicalBytes(value))), canonical(value)),
    ),
    { numRuns: 200 },
  );
});

test('the strict reader refuses every other spelling', () => {
  for (const text of [
    '{"a":1,"a":1}',
    '{ "a":1}',
    '{"b":1,"a":1}',
    '1.0',
    '1e0',
    '-0',
    '"\\u0061"',
    '[1,]',
    '\ufeff{}',
    '{}\n',
    '"\\ud800"',
  ]) {
    assert.throws(() => parseCanonical(Buffer.from(text)), { code: 'INVALID' }, text);
  }
  assert.throws(() => parseCanonical(Buffer.of(0x22, 0xff, 0x22)), { code: 'INVALID' });
});

test('what is not JSON is refused', () => {
  for (const value of [NaN, Infinity, undefined, () => 1, 1n, Symbol('x'), '\ud800', { a: ['\udc00'] }])
    assert.throws(() => canonical(value), { code: 'INVALID' });
});
