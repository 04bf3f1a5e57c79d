import assert from 'node:assert/strict';
import { test } from 'node:test';
import { grantsOf } from '@pangolin/contracts/secrets';

const bundles = [
  { secrets: { A: { ref: 'agents' } } },
  { blocks: ['agent' as const, 'script' as const], secrets: { A: { ref: 'earlier' }, B: { ref: 'earlier' } } },
  { blocks: ['script' as const], secrets: { B: { ref: 'later' }, C: { ref: 'later' } } },
];

test('later bundles win over earlier ones, and what a block names itself over all', () => {
  const own = { C: { ref: 'own', as: 'file' as const } };
  assert.deepEqual(grantsOf({ kind: 'script', command: 'true', secrets: own }, bundles), {
    A: { ref: 'earlier' },
    B: { ref: 'later' },
    ...own,
  });
  assert.deepEqual(grantsOf({ kind: 'agent' }, bundles.slice(0, 1)), { A: { ref: 'agents' } });
  assert.deepEqual(
    grantsOf({ kind: 'script', command: 'true' }, bundles.slice(0, 1)),
    {},
    'for agents, if it does not say',
  );
});
