import assert from 'node:assert/strict';
import { test } from 'node:test';
import { mismatches, schemaProblem } from '@pangolin/contracts/json-schema';

test('what does not match is named, all of it or the first', () => {
  const schema = { type: 'object', properties: { a: { type: 'string' }, b: { type: 'string' } } };
  assert.deepEqual(mismatches(schema, { a: 'x', b: 'y' }, 5), []);
  const both = ['/a', '/b'].map((path) => ({ path, message: 'must be string' }));
  assert.deepEqual(mismatches(schema, { a: 1, b: 2 }, 5), both);
  assert.deepEqual(mismatches(schema, { a: 1, b: 2 }, 1), both.slice(0, 1));
});

test('a value that takes for ever to check does not match', () => {
  const slow = [{ path: '', message: 'takes longer than 2000 ms to check' }];
  const regex = { type: 'string', pattern: '^(a+)+$' };
  assert.deepEqual(mismatches(regex, `${'a'.repeat(50)}!`, 1), slow);
  const unique = { type: 'array', uniqueItems: true };
  const many = Array.from({ length: 200_000 }, (_, at) => ({ at }));
  assert.deepEqual(mismatches(unique, many, 1), slow);
  assert.deepEqual(mismatches(regex, 'aaa', 1), []);
});

test('a schema is bounded, whole in itself and of the standard', () => {
  assert.equal(schemaProblem({ $defs: { a: { type: 'string' } }, $ref: '#/$defs/a' }), undefined);
  assert.match(schemaProblem({ $ref: 'https://example.com/s.json' })!, /which is not in it; nothing is fetched/);
  assert.match(schemaProblem({ type: 'strin' })!, /is no JSON Schema 2020-12/);
  assert.match(schemaProblem({ description: 'x'.repeat(70_000) })!, /65536 are the most/);
});
