/** Items that name subagents, capabilities and env bundles: what they are pinned to, and what is refused. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { canonicalBytes } from '@pangolin/contracts/canonical';
import type { AdmittedItem } from '@pangolin/contracts/admitted-run';
import { missingIn, renderTemplate } from '@pangolin/contracts/template';
import type { ThingKind } from '@pangolin/contracts/things';
import { admit, type Admitted } from '@pangolin/controller/admission/admit';
import { registerThing } from '@pangolin/storage/registry';
import { createMemoryStore } from '../fakes/memory-store.ts';
import { admitContext } from './admit-context.ts';

const things: readonly (readonly [ThingKind, string, unknown])[] = [
  ['capability', 'tools', { files: { 'bin/x': { text: 'x' } } }],
  ['capability', 'rules', { files: { 'CLAUDE.md': { text: 'x' } } }],
  ['env', 'models', { values: { URL: 'http://x' } }],
  ['env', 'build', { blocks: ['script'], values: { A: '1' } }],
  [
    'subagent',
    'fixer',
    {
      runtime: { kind: 'claude-code' },
      prompt: 'Fix {{what}}',
      verify: 'make test',
      capabilities: ['tools'],
      env: ['models'],
    },
  ],
  ['subagent', 'lost', { runtime: { kind: 'claude-code' }, prompt: 'x', capabilities: ['nowhere'] }],
  ['pipeline', 'scripts', { blocks: [{ kind: 'script', command: 'true' }] }],
];

const store = createMemoryStore();
for (const [kind, name, spec] of things) {
  await registerThing(store, kind, name, canonicalBytes(spec), 'human:ada', 0);
}
const submit = (item: object, rest: object = {}): Promise<Admitted> =>
  admit(
    Buffer.from(JSON.stringify({ id: 'r', items: [{ id: 'a', ...item }], ...rest })),
    'x.json',
    admitContext(store),
  );

async function item(fields: object, rest?: object): Promise<AdmittedItem & { readonly blocks: unknown }> {
  const result = await submit(fields, rest);
  assert.ok(result.ok, JSON.stringify(result));
  const [admitted] = result.run.items;
  return { ...admitted!, blocks: result.run.pipelines[admitted!.pipeline!.sha256]?.blocks };
}
async function problems(fields: object): Promise<string[]> {
  const result = await submit(fields);
  return result.ok ? [] : result.problems.map(({ code, path, message }) => `${code} ${path} ${message}`);
}
const refs = (pins: AdmittedItem['env']): string[] | undefined => pins?.map(({ ref }) => ref);

test('a subagent brings its pipeline, capabilities and env, each pinned to a digest', async () => {
  const admitted = await item({ subagent: 'fixer', inputs: { what: 'it' } });
  assert.deepEqual(admitted.blocks, [
    { kind: 'agent', id: 'agent' },
    { kind: 'capture', what: 'patch' },
    { kind: 'script', id: 'verify', lens: 'verify', command: 'make test' },
    { kind: 'capture', what: 'outputs' },
  ]);
  assert.match(admitted.subagent?.sha256 ?? '', /^[0-9a-f]{64}$/);
  assert.deepEqual([refs(admitted.capabilities), refs(admitted.env)], [['tools'], ['models']]);
});

test('capabilities of the item stand instead of those of the subagent, added ones besides them', async () => {
  const inputs = { what: 'it' };
  const instead = await item({ subagent: 'fixer', inputs, capabilities: ['rules'] });
  assert.deepEqual(refs(instead.capabilities), ['rules']);
  const besides = await item({ subagent: 'fixer', inputs, addCapabilities: ['rules', 'tools'] });
  assert.deepEqual(refs(besides.capabilities), ['tools', 'rules']);
  const none = await item({ subagent: 'fixer', inputs, capabilities: [] }, { defaults: { capabilities: ['rules'] } });
  assert.equal(none.capabilities, undefined);
});

test('the plan form of the reference is the same run', async () => {
  const typed = await item({ subagent: 'fixer', env: ['build'], addCapabilities: ['rules'], inputs: { what: 'it' } });
  const tucked = await item({
    inputs: { subagent: 'fixer', env: 'build', addCapabilities: 'rules', workerInput: { what: 'it' } },
  });
  assert.deepEqual(tucked, typed);
});

const refusals: readonly (readonly [what: string, item: object, expected: RegExp])[] = [
  ['an unknown subagent', { subagent: 'fixxer' }, /^NotRegistered \/items\/0\/subagent the subagent "fixxer"/],
  [
    'an unknown capability',
    { subagent: 'fixer', inputs: { what: 1 }, addCapabilities: ['rules', 'rulez'] },
    /^NotRegistered \/items\/0\/addCapabilities\/1 /,
  ],
  [
    'an unknown bundle in the plan form',
    { inputs: { subagent: 'fixer', env: ['modelz'], what: 1 } },
    /^NotRegistered \/items\/0\/inputs\/env\/0 /,
  ],
  [
    'a capability that the subagent names',
    { subagent: 'lost' },
    /^NotRegistered \/items\/0\/subagent .*"nowhere".*"lost" names/,
  ],
  ['inputs that the prompt needs', { subagent: 'fixer' }, /^InputsMissing \/items\/0\/subagent .*needs "what"/],
  [
    'an agent block without a subagent',
    { pipeline: { blocks: [{ kind: 'agent' }] } },
    /^MissingSubagent \/items\/0\/pipeline /,
  ],
  [
    'a subagent without an agent block',
    { subagent: 'fixer', inputs: { what: 1 }, pipeline: 'scripts' },
    /^SubagentUnused \/items\/0\/subagent /,
  ],
  [
    'a bundle that no block gets',
    { pipeline: 'scripts', env: ['models'] },
    /^EnvUnused \/items\/0\/env .*for agent blocks/,
  ],
  ['a subagent of an approval', { executor: 'approval', subagent: 'fixer' }, /^InvalidValue \/items\/0\/subagent /],
  ['a version that was never registered', { subagent: `fixer@sha256:${'0'.repeat(64)}` }, /^NotRegistered /],
];
for (const [what, fields, expected] of refusals) {
  test(`refused: ${what}`, async () => assert.match((await problems(fields)).join('\n'), expected));
}

test('templates take values as they are, once, and nothing else', () => {
  const params = { a: '{{b}} $x', b: { c: [1], d: null }, constructor: 'own' };
  assert.equal(
    renderTemplate('{{a}} {{ b.c }} {{b.c.0}} {{ }} {{}} {a} {{9}}', params),
    '{{b}} $x [1] 1 {{ }} {{}} {a} {{9}}',
  );
  assert.equal(renderTemplate('{{b.d}}', params), 'null');
  assert.deepEqual(missingIn('{{toString}} {{b.x}} {{b.x}} {{a.length}}', params), ['toString', 'b.x', 'a.length']);
  assert.throws(() => renderTemplate('{{nope}}', params), /needs nope/);
});
