import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ALIASED_VALUES_MAX, parseDocument, YAML_BYTES_MAX } from '@pangolin/contracts/parse';
import { readThing } from '@pangolin/contracts/things';
import { readRun, type ReadRun } from '@pangolin/contracts/read-run';

function accepted(text: string, file = 'x.yaml'): Extract<ReadRun, { ok: true }> {
  const read = readRun(Buffer.from(text), file);
  assert.ok(read.ok, JSON.stringify(!read.ok && read.problems));
  return read;
}

const design = `apiVersion: pangolin.dev/v1
kind: Run
metadata: { name: fix-lint-1, labels: { team: payments } }
spec:
  queue: default
  workspace: { git: { url: ./repo, commit: 3f1cabc } }
  defaults: { timeout: 30m, retry: { maxAttempts: 3 }, network: none }
  items:
    - id: edit-a
      pipeline: { blocks: [ { kind: script, command: "npx biome check --write src" }, { kind: capture, what: patch } ] }
      resourceLocks: [ repo/src, lib, lib ]
    - id: apply
      pipeline: dev.apply-patch
      depends_on: [ edit-a ]
      retry: { backoff: { initial: 90s } }
      resources: { cpu: 1.5, memory: 512Mi }
      needs: { patch: { from: edit-a, select: { kind: patch } } }
`;

test('the example of the design is read with its defaults merged and its units resolved', () => {
  const { run } = accepted(design);
  const common = {
    executor: 'dispatch',
    workspace: { git: { url: './repo', commit: '3f1cabc' } },
    network: 'none',
    timeoutMs: 1_800_000,
    priority: 0,
  };
  assert.deepEqual(run, {
    id: 'fix-lint-1',
    queue: 'default',
    labels: { team: 'payments' },
    items: [
      {
        ...common,
        id: 'edit-a',
        pipeline: {
          blocks: [
            { kind: 'script', command: 'npx biome check --write src' },
            { kind: 'capture', what: 'patch' },
          ],
        },
        depends_on: [],
        resourceLocks: ['lib', 'repo/src'],
        retry: { maxAttempts: 3, initialMs: 1000, factor: 2, maxMs: 300_000, jitter: true },
      },
      {
        ...common,
        id: 'apply',
        pipeline: 'dev.apply-patch',
        depends_on: ['edit-a'],
        needs: { patch: { from: 'edit-a', select: { kind: 'patch' } } },
        resourceLocks: [],
        cpuMillis: 1500,
        memoryBytes: 512 * 2 ** 20,
        retry: { maxAttempts: 3, initialMs: 90_000, factor: 2, maxMs: 300_000, jitter: true },
      },
    ],
  });
});

test('YAML and JSON, envelope and plan are one submission; a changed field is another one', () => {
  const plan = (extra: object): string => JSON.stringify({ items: [{ id: 'a', pipeline: 'p', ...extra }], id: 'r' });
  const same = [
    plan({}),
    'id: r\nitems:\n  - pipeline: p\n    id: a\n',
    'apiVersion: pangolin.dev/v1\nkind: Run\nmetadata: { name: r }\nspec: { items: [ { id: a, pipeline: p } ] }\n',
    JSON.stringify({ id: 'r', items: [{ id: 'a', inputs: { pipeline: 'p' } }] }).replace('"inputs"', ' "inputs"'),
  ].map((text) => accepted(text).digest);
  assert.equal(new Set(same.slice(0, 3)).size, 1);
  assert.notEqual(accepted(plan({ priority: 1 })).digest, same[0]);
  assert.notEqual(accepted(plan({}).replace('"r"', '"s"')).digest, same[0]);
});

test('the plan form that tucks fields into inputs is lifted', () => {
  const inputs = { pipeline: 'dev.build', workerInput: { target: 'all' }, note: 1 };
  const { run, at } = accepted(JSON.stringify({ id: 'r', items: [{ id: 'a', inputs }] }));
  assert.equal(run.items[0]!.pipeline, 'dev.build');
  assert.deepEqual(run.items[0]!.params, { target: 'all', note: 1 });
  assert.equal(at.item(0, 'pipeline'), '/items/0/inputs/pipeline');
  const item = { id: 'a', pipeline: 'p', inputs: { workerInput: { target: 'all' } } };
  assert.deepEqual(accepted(JSON.stringify({ id: 'r', items: [item] })).run.items[0]!.params, { target: 'all' });
});

test('parameters that only share a name with the plan form are left alone', () => {
  const inputs = { env: 'prod', capabilities: ['x'], pipeline: 7 };
  const { run } = accepted(JSON.stringify({ id: 'r', items: [{ id: 'a', pipeline: 'p', inputs }] }));
  assert.deepEqual(run.items[0]!.params, inputs);
});

test('ids that are names of built-in members are ordinary ids', () => {
  const ids = ['constructor', 'toString', 'hasOwnProperty', 'valueOf'];
  const items = ids.map((id, index) => ({ id, pipeline: 'p', depends_on: ids.slice(0, index) }));
  const { run } = accepted(JSON.stringify({ id: 'r', items }));
  assert.deepEqual(run.items[3]!.depends_on, ['constructor', 'hasOwnProperty', 'toString']);
  const broken = readRun(
    Buffer.from('id: r\nitems: [ { id: a, pipeline: p, depends_on: [ constructor ] } ]'),
    'x.yaml',
  );
  assert.ok(!broken.ok && broken.problems[0]?.code === 'MissingReference');
});

test('YAML aliases are copies, and the place behind one is where its anchor is', () => {
  const text =
    'id: r\nitems:\n  - id: a\n    pipeline: &p\n      blocks: [ { kind: script, command: x } ]\n  - { id: b, pipeline: *p }\n';
  const { run, locate } = accepted(text);
  assert.deepEqual(run.items[0]!.pipeline, run.items[1]!.pipeline);
  assert.deepEqual(locate('/items/1/pipeline/blocks/0/command'), locate('/items/0/pipeline/blocks/0/command'));
  assert.deepEqual(locate('/items/0/pipeline/blocks/0/command'), { line: 5, column: 42 });
});

test('a pointer is found in JSON and YAML alike, by its value and by its key', () => {
  const value = { 'a/b': [{ '~': 'x' }], '': { é: 1 } };
  for (const text of [JSON.stringify(value), JSON.stringify(value, null, 2), 'a/b:\n  - "~": x\n"":\n  é: 1\n']) {
    const parsed = parseDocument(Buffer.from(text), 'x');
    assert.ok(parsed.ok);
    const lines = text.split('\n');
    const at = (pointer: string, what: 'key' | 'value'): string => {
      const place = parsed.locate(pointer, what)!;
      return lines[place.line - 1]!.slice(place.column - 1).replace(/^"/, '')[0]!;
    };
    assert.equal(at('/a~1b/0/~0', 'value'), 'x');
    assert.equal(at('/a~1b/0/~0', 'key'), '~');
    assert.equal(at('//é', 'value'), '1');
    assert.equal(parsed.locate('/a~1b/1'), undefined);
    assert.equal(parsed.locate('/nobody'), undefined);
  }
});

test('YAML above its limit is refused with the way out, JSON of that size is read', () => {
  const items = Array.from({ length: 4000 }, (_, index) => ({
    id: `i${index}`,
    pipeline: 'p',
    inputs: { x: 'y'.repeat(1100) },
  }));
  const json = JSON.stringify({ id: 'r', items });
  assert.ok(json.length > YAML_BYTES_MAX);
  accepted(json, 'x.json');
  const yaml = readRun(Buffer.from(`# ${'-'.repeat(YAML_BYTES_MAX)}\nid: r\n`), 'x.yaml');
  assert.ok(!yaml.ok && yaml.problems[0]?.code === 'TooLarge' && yaml.problems[0].hint?.includes('JSON'));
});

test('aliases up to the limit are read', () => {
  const text = `a: &a [${'x,'.repeat(98)}x]\nb: [${'*a,'.repeat(ALIASED_VALUES_MAX / 100)}]\n`;
  assert.ok(parseDocument(Buffer.from(text), 'x').ok);
  assert.ok(!parseDocument(Buffer.from(text.replace('b: [', 'b: [*a,')), 'x').ok);
});

test('a pipeline file is read to its canonical bytes, and a wrong one is located', () => {
  const text = (kind: string): string =>
    `apiVersion: pangolin.dev/v1\nkind: ${kind}\nmetadata: { name: dev.build }\nspec:\n  blocks: [ { kind: script, command: make } ]\n`;
  const read = readThing('pipeline', Buffer.from(text('Pipeline')), 'p.yaml');
  assert.ok(read.ok);
  assert.equal(read.name, 'dev.build');
  assert.equal(read.bytes.toString(), '{"blocks":[{"command":"make","kind":"script"}]}');
  const wrong = readThing('pipeline', Buffer.from(text('Pipelin')), 'p.yaml');
  assert.ok(!wrong.ok);
  assert.deepEqual([wrong.problems[0]?.line, wrong.problems[0]?.code], [2, 'InvalidValue']);
  const timeout = readThing('pipeline', Buffer.from(text('Pipeline').replace('make', 'make, timeout: 0s')), 'p.yaml');
  assert.ok(!timeout.ok && timeout.problems[0]?.path === '/spec/blocks/0/timeout');
});

test('no bytes make the reader throw, and every refusal says where', () => {
  const fragments = [
    'id: r',
    'items:',
    '- ',
    '  ',
    '\n',
    '{',
    '}',
    '[',
    ']',
    '"',
    ':',
    ',',
    '&a',
    '*a',
    '? ',
    '|',
    '>',
    '#',
    '!t',
    '%',
    '\t',
    '---',
    '...',
    '0',
    '1e9',
    '~',
    '\\u',
    '__proto__',
  ];
  const text = fc.array(fc.oneof(fc.constantFrom(...fragments), fc.string({ unit: 'binary', maxLength: 3 })), {
    maxLength: 40,
  });
  const anything = fc.oneof(
    fc.uint8Array({ maxLength: 60 }),
    text.map((parts) => Buffer.from(parts.join(''))),
    fc.json().map((json) => Buffer.from(json)),
    fc.json().map((json) => Buffer.from(`id: r\nitems: ${json}`)),
  );
  fc.assert(
    fc.property(anything, (input) => {
      const read = readRun(input, 'x');
      if (read.ok) return;
      assert.ok(read.problems.length > 0);
      for (const problem of read.problems) assert.ok(problem.line! >= 1 && problem.column! >= 1);
    }),
    { numRuns: 1500 },
  );
});

test('one changed place in a good run never makes the reader throw', () => {
  const good = {
    id: 'r',
    queue: 'default',
    defaults: { timeout: '1m', retry: { backoff: { max: '1h' } } },
    workspace: { git: { url: '.', ref: 'main' } },
    items: [
      {
        id: 'a',
        pipeline: { blocks: [{ kind: 'script', command: ['x'], env: { A: 'b' } }] },
        network: { allow: ['h'] },
        resources: { cpu: 1, memory: '1Gi' },
        inputs: { k: 1 },
      },
      { id: 'b', pipeline: 'p', needs: { k: { from: 'a', select: { kind: 'output', path: 'x' } } }, depends_on: ['a'] },
    ],
  };
  const places: string[][] = [];
  const collect = (value: unknown, path: string[]): void => {
    places.push(path);
    if (typeof value === 'object' && value !== null)
      for (const [key, child] of Object.entries(value)) collect(child, [...path, key]);
  };
  collect(good, []);
  const values = fc.oneof(
    fc.jsonValue({ maxDepth: 2 }),
    fc.constantFrom('a', 'b', '..', '0s', '99d', -1, 1e9, null, {}, []),
  );
  fc.assert(
    fc.property(fc.constantFrom(...places.slice(1)), values, (path, value) => {
      const changed = structuredClone(good) as unknown as Record<string, unknown>;
      let here = changed;
      for (const key of path.slice(0, -1)) here = here[key] as Record<string, unknown>;
      here[path.at(-1)!] = value;
      const read = readRun(Buffer.from(JSON.stringify(changed)), 'x.json');
      if (!read.ok) for (const problem of read.problems) assert.ok(problem.line === 1 && problem.message.length > 0);
    }),
    { numRuns: 1500 },
  );
});

test('conditions, alternatives, locks, approvals, rules and run settings are read to their admitted form', () => {
  const select = { kind: 'patch' };
  const oneOf = [
    { from: 'a', select },
    { from: 'b', select },
  ];
  const task = { pipeline: 'p' };
  const items = [
    { id: 'a', ...task, queueTimeout: '1m', bootTimeout: '2s', resourceLocks: [{ key: 'x', mode: 'exclusive' }] },
    { id: 'b', ...task, resourceLocks: [{ key: 'k', mode: 'shared', limit: 2 }, 'c'] },
    {
      id: 'c',
      ...task,
      needs: { p: { oneOf } },
      depends_on: [
        { item: 'a', when: 'failed' },
        { item: 'b', when: 'done' },
      ],
    },
    { id: 'd', executor: 'approval', approval: { timeout: '1h' } },
    { id: 'e', ...task, onExit: true, retry: { rules: [{ exitCodes: [75], action: 'park', delay: '5s' }] } },
  ];
  const { run } = accepted(JSON.stringify({ id: 'r', openEnded: true, timeout: '1h', items }));
  const [a, b, c, d, e] = run.items;
  assert.deepEqual([run.openEnded, run.timeoutMs], [true, 3_600_000]);
  assert.deepEqual([a!.queueTimeoutMs, a!.bootTimeoutMs, a!.resourceLocks], [60_000, 2000, ['x']]);
  assert.deepEqual(b!.resourceLocks, ['c', { key: 'k', limit: 2 }]);
  assert.deepEqual([c!.depends_on, c!.when, c!.needs], [['a', 'b'], { a: 'failed' }, { p: { oneOf } }]);
  assert.deepEqual(
    [d!.executor, d!.pipeline, d!.approval],
    ['approval', undefined, { timeoutMs: 3_600_000, onTimeout: 'reject' }],
  );
  assert.deepEqual([e!.onExit, e!.retry.rules], [true, [{ exitCodes: [75], action: 'park', parkMs: 5000 }]]);
});
