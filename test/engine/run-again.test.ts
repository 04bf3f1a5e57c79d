/** Which items a linked retry runs again, and what it takes over. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sha256 } from '@pangolin/contracts/digest';
import type { Phase } from '@pangolin/contracts/reasons';
import type { AdmittedItem } from '@pangolin/contracts/admitted-run';
import { itemsAgain, specAgain, type EndedItem } from '@pangolin/controller/plan/run-again';
import { admittedItem } from './world.ts';

const patch = { kind: 'patch' } as const;
const productOf = (id: string): { sha256: string; size: number } => ({ sha256: sha256(id), size: 1 });

function ended(items: readonly (readonly [string, Phase, Partial<AdmittedItem>?])[]): Map<string, EndedItem> {
  return new Map(
    items.map(([id, phase, more]): [string, EndedItem] => [
      id,
      { spec: admittedItem(id, more), phase, product: () => (phase === 'done' ? productOf(id) : undefined) },
    ]),
  );
}
const behind = (...ids: string[]): Partial<AdmittedItem> => ({ depends_on: ids });
const when = (id: string, rule: 'failed' | 'always'): Partial<AdmittedItem> => ({
  depends_on: [id],
  when: { [id]: rule },
});
const oneOf = (...ids: string[]): Partial<AdmittedItem> => ({
  needs: { it: { oneOf: ids.map((from) => ({ from, select: patch })) } },
});
const atExit: Partial<AdmittedItem> = { onExit: true };

const table: readonly [string, Parameters<typeof ended>[0], string | undefined, string[]][] = [
  [
    'what did not succeed, and not what did',
    [
      ['a', 'done'],
      ['b', 'failed'],
      ['c', 'skipped', behind('b')],
    ],
    undefined,
    ['b', 'c'],
  ],
  [
    'nothing when everything is done',
    [
      ['a', 'done'],
      ['z', 'done', atExit],
    ],
    undefined,
    [],
  ],
  [
    'onExit items that were done, with what failed',
    [
      ['a', 'failed'],
      ['z', 'done', atExit],
      ['zz', 'done', { ...atExit, ...behind('z') }],
    ],
    undefined,
    ['a', 'z', 'zz'],
  ],
  [
    'onExit items with an item that is named',
    [
      ['a', 'done'],
      ['b', 'done'],
      ['z', 'done', atExit],
    ],
    'a',
    ['a', 'z'],
  ],
  [
    'an onExit item that failed, alone',
    [
      ['a', 'done'],
      ['z', 'failed', atExit],
    ],
    undefined,
    ['z'],
  ],
  [
    'what was about a failure, because it may end otherwise now',
    [
      ['a', 'failed'],
      ['b', 'done', when('a', 'failed')],
      ['c', 'done', behind('b')],
    ],
    undefined,
    ['a', 'b', 'c'],
  ],
  [
    'what runs after any end',
    [
      ['a', 'failed'],
      ['b', 'done', when('a', 'always')],
    ],
    undefined,
    ['a', 'b'],
  ],
  [
    'nothing that waited for a failure of what is done',
    [
      ['a', 'done'],
      ['b', 'skipped', when('a', 'failed')],
    ],
    undefined,
    [],
  ],
  [
    'nothing behind that either',
    [
      ['a', 'done'],
      ['b', 'skipped', when('a', 'failed')],
      ['c', 'skipped', behind('b')],
      ['d', 'failed'],
    ],
    undefined,
    ['d'],
  ],
  [
    'no descendant whose other dependency had failed',
    [
      ['a', 'done'],
      ['b', 'failed'],
      ['c', 'skipped', behind('a', 'b')],
      ['d', 'done', behind('a')],
    ],
    'a',
    ['a', 'd'],
  ],
  [
    'the named one though its dependency had failed',
    [
      ['a', 'failed'],
      ['b', 'skipped', behind('a')],
    ],
    'b',
    ['b'],
  ],
  [
    'no consumer whose any-of need was met',
    [
      ['a', 'failed'],
      ['b', 'done'],
      ['c', 'done', oneOf('a', 'b')],
    ],
    undefined,
    ['a'],
  ],
  [
    'the consumer of a named first choice',
    [
      ['a', 'failed'],
      ['b', 'done'],
      ['c', 'done', oneOf('a', 'b')],
    ],
    'a',
    ['a', 'c'],
  ],
  [
    'no consumer of a named second choice while the first is done',
    [
      ['a', 'done'],
      ['b', 'done'],
      ['c', 'done', oneOf('a', 'b')],
    ],
    'b',
    ['b'],
  ],
  [
    'no consumer that no source of an any-of need can serve',
    [
      ['a', 'failed'],
      ['b', 'failed'],
      ['c', 'skipped', { ...oneOf('a', 'b'), ...behind('d') }],
      ['d', 'done'],
    ],
    'd',
    ['d'],
  ],
];
for (const [name, items, only, again] of table) {
  test(`a retry runs again ${name}`, () => {
    assert.deepEqual([...itemsAgain(ended(items), only)].sort(), again);
  });
}

function needOf(items: Parameters<typeof ended>[0], id: string, only?: string): unknown {
  const before = ended(items);
  return specAgain(before.get(id)!.spec, itemsAgain(before, only), before, only).needs!['it'];
}
const given = (id: string): object => ({ submission: productOf(id) });
const chosen = (...ids: string[]): object => oneOf(...ids).needs!['it']!;

test('an any-of need takes what is there, or what was run again on purpose', () => {
  const failedAfter: Parameters<typeof ended>[0] = [
    ['a', 'failed'],
    ['b', 'done'],
    ['c', 'failed', oneOf('a', 'b')],
  ];
  assert.deepEqual(needOf(failedAfter, 'c'), given('b'));
  assert.deepEqual(needOf(failedAfter, 'c', 'a'), chosen('a'));
  assert.deepEqual(needOf(failedAfter, 'c', 'b'), chosen('b'));
  const first: Parameters<typeof ended>[0] = [
    ['a', 'done'],
    ['b', 'failed'],
    ['c', 'failed', oneOf('a', 'b')],
  ];
  assert.deepEqual(needOf(first, 'c'), given('a'));
  const none: Parameters<typeof ended>[0] = [
    ['a', 'failed'],
    ['b', 'failed'],
    ['c', 'skipped', oneOf('a', 'b')],
  ];
  assert.deepEqual(needOf(none, 'c'), chosen('a', 'b'));
  // Nothing can serve it: it is denied with the name of the product, instead of waiting for an item that is not there.
  assert.deepEqual(needOf(none, 'c', 'c'), { from: 'a', select: patch });
});
