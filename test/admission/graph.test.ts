import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { checkGraph } from '@pangolin/contracts/graph';
import { nearest } from '@pangolin/contracts/nearest';

const LONG = 100_000;

test('a chain of a hundred thousand items is checked without recursion', () => {
  const items = Array.from({ length: LONG }, (_, index) => ({
    id: `i${index}`,
    depends_on: index === 0 ? [] : [`i${index - 1}`],
  }));
  const { findings, dependencies } = checkGraph(items, '/items');
  assert.deepEqual(findings, []);
  assert.deepEqual(dependencies[LONG - 1], [`i${LONG - 2}`]);
});

test('a cycle of a hundred thousand items is one problem with a short path', () => {
  const items = Array.from({ length: LONG }, (_, index) => ({
    id: `i${index}`,
    depends_on: [`i${(index + 1) % LONG}`],
  }));
  const { findings } = checkGraph(items, '/items');
  assert.equal(findings.length, 1);
  assert.match(findings[0]!.message, /^these items wait for each other: i0 → i1 → .*… 99989 more … → i99999 → i0$/);
});

test('an item that only waits for a cycle is not blamed', () => {
  const items = [
    { id: 'a', depends_on: ['b'] },
    { id: 'b', depends_on: ['a'] },
    { id: 'innocent', depends_on: ['a'] },
  ];
  const { findings } = checkGraph(items, '/items');
  assert.equal(findings.length, 1);
  assert.doesNotMatch(findings[0]!.message, /innocent/);
});

test('dependencies are the sorted union of depends_on and the sources of needs', () => {
  const select = { kind: 'patch' } as const;
  const items = [
    { id: 'a' },
    { id: 'b' },
    { id: 'c' },
    { id: 'd', depends_on: ['c', 'b', 'c'], needs: { x: { from: 'a', select }, y: { from: 'b', select } } },
  ];
  assert.deepEqual(checkGraph(items, '').dependencies[3], ['a', 'b', 'c']);
});

test('a random graph has a cycle problem exactly when it has a cycle, and the printed path is one', () => {
  const graph = fc
    .integer({ min: 1, max: 8 })
    .chain((size) =>
      fc.array(fc.array(fc.integer({ min: 0, max: size - 1 }), { maxLength: 3 }), { minLength: size, maxLength: size }),
    );
  fc.assert(
    fc.property(graph, (edges) => {
      const items = edges.map((to, from) => ({
        id: `n${from}`,
        depends_on: to.filter((each) => each !== from).map((each) => `n${each}`),
      }));
      const { findings } = checkGraph(items, '');
      assert.equal(findings.length > 0, hasCycle(items));
      for (const { message } of findings) {
        const path = message.replace(/^.*: /, '').split(' → ');
        assert.equal(path[0], path.at(-1));
        for (const [index, id] of path.slice(0, -1).entries()) {
          assert.ok(items.find((item) => item.id === id)!.depends_on.includes(path[index + 1]!));
        }
      }
    }),
  );
});

/** The naive way: remove what waits for nothing until nothing changes. */
function hasCycle(items: readonly { readonly id: string; readonly depends_on: readonly string[] }[]): boolean {
  let left = [...items];
  for (;;) {
    const next = left.filter((item) => item.depends_on.some((id) => left.some((other) => other.id === id)));
    if (next.length === left.length) return left.length > 0;
    left = next;
  }
}

test('the nearest name forgives case, separators, swaps and a few letters, and no more', () => {
  const names = ['depends_on', 'resourceLocks', 'timeout', 'idleTimeout', 'needs'];
  const rows = [
    ['dependsOn', 'depends_on'],
    ['resource_locks', 'resourceLocks'],
    ['tiemout', 'timeout'],
    ['need', 'needs'],
    ['banana', undefined],
    ['', undefined],
    ['x'.repeat(300), undefined],
  ] as const;
  for (const [word, meant] of rows) assert.equal(nearest(word, names), meant, word);
});
