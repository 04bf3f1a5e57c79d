/** Items with a shape: what it brings, and what is refused by the name of the gap. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { canonicalBytes } from '@pangolin/contracts/canonical';
import { readThing, type ThingKind } from '@pangolin/contracts/things';
import { admit, type Admitted } from '@pangolin/controller/admission/admit';
import type { AdmittedQueue } from '@pangolin/contracts/queue';
import { readQueue } from '@pangolin/contracts/read-queue';
import { registerThing } from '@pangolin/storage/registry';
import { createMemoryStore } from '../fakes/memory-store.ts';
import { admitContext } from './admit-context.ts';

const script = { blocks: [{ kind: 'script', command: 'true' }] };
const agent = { blocks: [{ kind: 'agent' }] };
const things: readonly (readonly [ThingKind, string, unknown])[] = [
  ['capability', 'tools', { files: { 'bin/x': { text: 'x' } } }],
  ['capability', 'rules', { files: { 'CLAUDE.md': { text: 'x' } } }],
  ['subagent', 'coder', { runtime: { kind: 'claude-code' }, shape: 'edit', capabilities: ['rules'] }],
  ['subagent', 'plain', { runtime: { kind: 'command', command: ['x'] } }],
  ['subagent', 'other', { runtime: { kind: 'claude-code' }, shape: 'count', prompt: 'x' }],
  [
    'shape',
    'edit',
    {
      effects: 'read-impure',
      inputs: {
        type: 'object',
        required: ['prompt'],
        additionalProperties: false,
        properties: { prompt: { type: 'string' }, files: { type: 'array', items: { type: 'string' } } },
      },
      needs: { patch: { type: 'dev/patch', optional: true } },
      products: { patch: 'dev/patch', outputs: { 'notes/*': 'dev/notes' } },
      subagent: 'coder',
      capabilities: ['tools'],
    },
  ],
  ['shape', 'count', { effects: 'pure', pipeline: script, products: { outputs: { 'n.json': 'data/count' } } }],
  [
    'shape',
    'check',
    {
      effects: 'pure',
      pipeline: script,
      needs: { patch: { type: 'dev/patch' }, 'part-*': { type: 'data/count', optional: true } },
    },
  ],
  ['shape', 'interface', { effects: 'write-impure' }],
  ['shape', 'lost', { effects: 'pure', pipeline: 'nowhere', capabilities: ['tools'] }],
  ['pipeline', 'agents', agent],
];
const store = createMemoryStore();
for (const [kind, name, spec] of things) {
  const file = { apiVersion: 'pangolin.dev/v1', kind: kind === 'shape' ? 'Shape' : 'x', metadata: { name }, spec };
  if (kind === 'shape') {
    const read = readThing(kind, Buffer.from(JSON.stringify(file)), name);
    assert.ok(read.ok, JSON.stringify(read));
  }
  await registerThing(store, kind, name, canonicalBytes(spec), 'human:ada', 0);
}

const submit = (items: readonly object[], queue?: AdmittedQueue): Promise<Admitted> =>
  admit(Buffer.from(JSON.stringify({ id: 'r', items }, null, 1)), 'x.json', admitContext(store, queue));
async function problems(items: readonly object[], queue?: AdmittedQueue): Promise<string> {
  const result = await submit(items, queue);
  if (result.ok) return '';
  assert.ok(
    result.problems.every(({ line, hint }) => line !== undefined && hint !== undefined),
    'placed, with a remedy',
  );
  return result.problems.map(({ code, path, message }) => `${code} ${path} ${message}`).join('\n');
}

const edit = { id: 'a', subagentShape: 'edit', inputs: { prompt: 'go' } };
const from = (id: string, path?: string) => ({
  from: id,
  select: path === undefined ? { kind: 'patch' } : { kind: 'output', path },
});

test('a shape brings its agent and capabilities, and is pinned with them', async () => {
  const result = await submit([edit]);
  assert.ok(result.ok, JSON.stringify(result));
  const [item] = result.run.items;
  assert.deepEqual([item!.shape?.ref, item!.subagent?.ref], ['edit', 'coder']);
  assert.match(item!.shape!.sha256, /^[0-9a-f]{64}$/);
  assert.deepEqual(
    item!.capabilities?.map(({ ref }) => ref),
    ['tools', 'rules'],
  );
});

test('a typed subagent brings its shape, and an item may put another agent behind a shape', async () => {
  const typed = await submit([{ id: 'a', subagent: 'coder', inputs: { prompt: 'go' } }]);
  assert.ok(typed.ok && typed.run.items[0]!.shape?.ref === 'edit');
  const other = await submit([{ ...edit, subagent: 'plain' }]);
  assert.ok(other.ok && other.run.items[0]!.subagent?.ref === 'plain');
});

test('a pure shape closes the network', async () => {
  const result = await submit([
    { id: 'a', subagentShape: 'count' },
    { ...edit, id: 'b' },
  ]);
  assert.ok(result.ok);
  assert.deepEqual(
    result.run.items.map(({ network }) => network),
    ['none', undefined],
  );
});

test('edges of one type, of sources without a shape, and by pattern are taken', async () => {
  const accepted = await problems([
    edit,
    { id: 'b', subagentShape: 'count' },
    { id: 'c', pipeline: script },
    {
      id: 'd',
      subagentShape: 'check',
      needs: { patch: from('a'), 'part-1': from('b', 'n.json'), 'part-2': from('c', 'any') },
    },
    { id: 'e', pipeline: script, needs: { x: from('a', 'anything') } },
  ]);
  assert.equal(accepted, '');
});

const refused: readonly (readonly [what: string, items: readonly object[], expected: RegExp])[] = [
  ['an unknown shape', [{ id: 'a', subagentShape: 'edti' }], /^NotRegistered \/items\/0\/subagentShape .*"edti"/],
  [
    'inputs of another form, each at its place',
    [{ ...edit, inputs: { prompt: 7, files: ['x', 1] } }],
    /^InputSchemaMismatch \/items\/0\/inputs\/prompt .*must be string\nInputSchemaMismatch \/items\/0\/inputs\/files\/1 .*must be string$/,
  ],
  [
    'inputs that are missing',
    [{ id: 'a', subagent: 'plain', subagentShape: 'edit', inputs: { files: [] } }],
    /InputSchemaMismatch \/items\/0\/inputs .*required property 'prompt'/,
  ],
  [
    'an input that the shape does not have, in the plan form',
    [{ id: 'a', inputs: { subagent: 'coder', workerInput: { prompt: 'x', promt: 'y' } } }],
    /^InputSchemaMismatch \/items\/0\/inputs .*must not have a property "promt"/,
  ],
  [
    'an edge of another type',
    [
      { id: 'a', subagentShape: 'count' },
      { id: 'b', subagentShape: 'check', needs: { patch: from('a', 'n.json') } },
    ],
    /^EdgeTypeMismatch \/items\/1\/needs\/patch inputs\/patch of "b" takes dev\/patch, and "a" \(count\) yields outputs\/n\.json as data\/count/,
  ],
  [
    'an edge from a product that the source does not declare',
    [
      { id: 'a', subagentShape: 'count' },
      { id: 'b', subagentShape: 'check', needs: { patch: from('a') } },
    ],
    /^EdgeTypeMismatch .*"a" \(count\) declares no type for a patch/,
  ],
  [
    'one of several alternatives of another type',
    [
      edit,
      { id: 'x', subagentShape: 'count' },
      { id: 'b', subagentShape: 'check', needs: { patch: { oneOf: [from('a'), from('x', 'n.json')] } } },
    ],
    /^EdgeTypeMismatch \/items\/2\/needs\/patch /,
  ],
  [
    'an input that lacks',
    [{ id: 'b', subagentShape: 'check' }],
    /^EdgeMissing \/items\/0\/needs "b" lacks the input "patch"/,
  ],
  [
    'an input that is not declared',
    [edit, { id: 'b', subagentShape: 'check', needs: { patch: from('a'), more: from('a') } }],
    /^EdgeUndeclared \/items\/1\/needs\/more /,
  ],
  [
    'a network of a pure shape',
    [{ id: 'b', subagentShape: 'count', network: { allow: ['x.example'] } }],
    /^EffectTierExceeded \/items\/0\/network /,
  ],
  ['nothing to run', [{ id: 'a', subagentShape: 'interface' }], /^MissingPipeline \/items\/0\/subagentShape /],
  [
    'a subagent of another shape',
    [{ ...edit, subagent: 'other' }],
    /^ShapeConflict \/items\/0\/subagentShape .*"other".*"count".*"edit"/,
  ],
  ['a shape of an approval', [{ id: 'a', executor: 'approval', subagentShape: 'count' }], /^InvalidValue /],
  [
    'a pipeline that the shape names and nobody has',
    [{ id: 'a', subagentShape: 'lost' }],
    /^NotRegistered \/items\/0\/subagentShape /,
  ],
];
for (const [what, items, expected] of refused) {
  test(`refused: ${what}`, async () => assert.match(await problems(items), expected));
}

/** A queue with that pattern, as it is admitted. */
const queueOf = (pattern: object): AdmittedQueue => {
  const file = {
    apiVersion: 'pangolin.dev/v1',
    kind: 'Queue',
    metadata: { name: 'q' },
    spec: { concurrency: 1, pattern },
  };
  const read = readQueue(Buffer.from(JSON.stringify(file)), 'q');
  assert.ok(read?.ok, JSON.stringify(read));
  return read.queue;
};

const mapReduce = (product: object, map: object, reduce: object): AdmittedQueue =>
  queueOf({ 'map-reduce': { split: { map, product, reduce } } });

test('a gap in what a queue will make of an item is told when the run is submitted', async () => {
  const splitter = { id: 's', role: 'split', subagentShape: 'count' };
  const queue = mapReduce({ kind: 'patch' }, { subagentShape: 'check' }, { pipeline: script });
  assert.match(
    await problems([splitter], queue),
    /^EdgeMissing \/items\/0\/role "s\.1" lacks the input "patch"[^]*EdgeUndeclared \/items\/0\/role the shape "check" of "s\.1" takes no input "part"/,
  );
});

const proposed = { ...edit, id: 'p', role: 'draft' };
const of = (source: string, path?: string): object => {
  const select = path === undefined ? { kind: 'patch' } : { kind: 'output', path };
  return { from: source, select };
};
const plain = { pipeline: script };
const good = { subagentShape: 'check', needs: { patch: of('proposal') } };
const quorumOf = (more: object): object => ({
  quorum: { draft: { approve: 1, reviewers: [good], commit: good, ...more } },
});
const gaps: (readonly [string, readonly object[], object, RegExp | undefined])[] = [
  ['a quorum without one', [proposed], quorumOf({ revise: { ...plain, subagentShape: 'edit' } }), undefined],
  [
    'a reviewer',
    [proposed],
    quorumOf({ reviewers: [good, { subagentShape: 'check' }] }),
    /^EdgeMissing \/items\/0\/role "p\.review\.2" lacks the input "patch"/,
  ],
  [
    'what reviewers yield for the commit',
    [proposed],
    quorumOf({ commit: { ...good, needs: { patch: of('proposal'), part: of('reviews', 'n.json') } } }),
    /^EdgeTypeMismatch \/items\/0\/role inputs\/part-1 of "p\.commit" takes data\/count/,
  ],
  [
    'a revision for its reviewers',
    [proposed],
    quorumOf({ revise: { subagentShape: 'count' } }),
    /^EdgeTypeMismatch \/items\/0\/role inputs\/patch of "p\.revise\.1\.review\.1" takes dev\/patch, and "p\.revise\.1" \(count\)/,
  ],
  [
    'a fix, for the check after it and what is behind that',
    [
      { ...edit, id: 'a' },
      { id: 'g', role: 'gate', subagentShape: 'check', needs: { patch: from('a') } },
      { id: 'z', subagentShape: 'check', needs: { patch: from('a') } },
    ],
    {
      pipeline: {
        gates: { gate: { onRed: 'spawn-fix', attempts: 1, replaces: 'patch', fix: { subagentShape: 'count' } } },
      },
    },
    /"g\.check\.1" takes dev\/patch, and "g\.fix\.1" \(count\)[^]*"z" takes dev\/patch, and "g\.fix\.1" \(count\)/,
  ],
];
const MANY = 1000;
const many = (item: (id: string) => object): object[] => Array.from({ length: MANY }, (_, n) => item(`i${n}`));
const fixedBy = (fix: object): object => ({ onRed: 'spawn-fix', attempts: 1, replaces: 'patch', fix });
gaps.push(
  [
    'that of the last of many proposals',
    [...many((id) => ({ ...proposed, id })), { id: 'last', role: 'draft', subagentShape: 'count' }],
    quorumOf({}),
    new RegExp(`^EdgeTypeMismatch /items/${MANY}/role `),
  ],
  [
    'that of the last of many gates',
    [
      { ...edit, id: 'a' },
      ...many((id) => ({ id, role: 'gate', subagentShape: 'check', needs: { patch: from('a') } })),
      { id: 'last', role: 'other', subagentShape: 'check', needs: { patch: from('a') } },
    ],
    { pipeline: { gates: { gate: fixedBy(plain), other: fixedBy({ subagentShape: 'count' }) } } },
    new RegExp(`^EdgeTypeMismatch /items/${MANY + 1}/role `),
  ],
);
for (const [what, items, pattern, expected] of gaps) {
  test(`a gap in what a pattern appends is told when the run is submitted: ${what}`, async () => {
    const told = await problems(items, queueOf(pattern));
    if (expected) assert.match(told, expected);
    else assert.equal(told, '');
  });
}

const bad: readonly (readonly [what: string, spec: object, expected: RegExp])[] = [
  ['no effects', {}, /effects/],
  ['an unknown tier', { effects: 'impure' }, /effects/],
  ['a type that is none', { effects: 'pure', products: { patch: 'Patch' } }, /must be a type/],
  ['a path that leaves outputs/', { effects: 'pure', products: { outputs: { '../x': 'a/b' } } }, /no path of outputs/],
  [
    'a keyword that there is not',
    { effects: 'pure', inputs: { requried: ['a'] } },
    /InvalidSchema .*unknown keyword: "requried"/,
  ],
  [
    'a schema elsewhere',
    { effects: 'pure', output: { $ref: 'https://example.com/s.json' } },
    /InvalidSchema .*nothing is fetched/,
  ],
  ['a file', { effects: 'pure', output: { $ref: 'other.json#/x' } }, /InvalidSchema .*nothing is fetched/],
  ['a pattern that is none', { effects: 'pure', output: { pattern: '(' } }, /InvalidSchema /],
  [
    'a large schema',
    { effects: 'pure', output: { description: 'x'.repeat(70_000) } },
    /InvalidSchema .*65536 are the most/,
  ],
  [
    'a deep schema',
    { effects: 'pure', output: JSON.parse('{"not":'.repeat(40) + '{}' + '}'.repeat(40)) as object },
    /InvalidSchema .*deeper than 32/,
  ],
];
for (const [what, spec, expected] of bad) {
  test(`a shape is refused with ${what}`, () => {
    const file = { apiVersion: 'pangolin.dev/v1', kind: 'Shape', metadata: { name: 'x' }, spec };
    const read = readThing('shape', Buffer.from(JSON.stringify(file)), 'x.json');
    assert.ok(!read.ok);
    assert.match(read.problems.map(({ code, message }) => `${code} ${message}`).join('\n'), expected);
  });
}
