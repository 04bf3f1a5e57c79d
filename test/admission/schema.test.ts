import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { globSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';
import { conforms, findingsOf, validateControl, validateOutput } from '@pangolin/contracts/schema';

const root = new URL('../../', import.meta.url);
const generate = fileURLToPath(new URL('scripts/generate.mjs', root));

test('the published schemas and the CRD are what the sources generate', () => {
  const { status, stderr } = spawnSync(process.execPath, [generate, '--check'], { encoding: 'utf8' });
  assert.equal(status, 0, stderr);
});

test('published schemas name their dialect and their address', () => {
  const names = globSync('schemas/*.v1.schema.json', { cwd: fileURLToPath(root) });
  assert.ok(names.length >= 15, names.join());
  for (const file of names) {
    const name = file.slice('schemas/'.length, -'.v1.schema.json'.length);
    const schema = JSON.parse(readFileSync(new URL(`schemas/${name}.v1.schema.json`, root), 'utf8')) as Record<
      string,
      unknown
    >;
    assert.equal(schema['$schema'], 'https://json-schema.org/draft/2020-12/schema');
    assert.equal(schema['$id'], `https://pangolin.dev/schema/${name}.v1.schema.json`);
    assert.equal(schema['additionalProperties'], false);
  }
});

type Node = Readonly<Record<string, unknown>>;

/** The rules of a structural schema (apiextensions.k8s.io/v1) that ours can break. */
function structuralFaults(node: Node, path: string): string[] {
  const faults: string[] = [];
  const open = node['x-kubernetes-preserve-unknown-fields'] === true;
  if (node['type'] === undefined && !open) faults.push(`${path}: no type`);
  for (const key of [
    'const',
    'anyOf',
    'oneOf',
    'allOf',
    'patternProperties',
    '$id',
    '$ref',
    '$schema',
    'exclusiveMinimum',
  ]) {
    if (key in node) faults.push(`${path}: ${key}`);
  }
  if (typeof node['additionalProperties'] === 'boolean') faults.push(`${path}: boolean additionalProperties`);
  if ('properties' in node && 'additionalProperties' in node) faults.push(`${path}: both kinds of properties`);
  if (node['type'] === 'array' && node['items'] === undefined) faults.push(`${path}: no items`);
  if (typeof node['pattern'] === 'string' && /\(\?[!=<]/.test(node['pattern'])) faults.push(`${path}: look-around`);
  const children = { ...(node['properties'] as Node), '[]': node['items'], '{}': node['additionalProperties'] };
  for (const [key, child] of Object.entries(children)) {
    if (typeof child === 'object' && child !== null) faults.push(...structuralFaults(child as Node, `${path}.${key}`));
  }
  return faults;
}

test('the schema of the CRD is structural', () => {
  const crd = parse(readFileSync(new URL('crds/pangolin.dev_runs.yaml', root), 'utf8')) as {
    spec: { versions: { schema: { openAPIV3Schema: Node } }[] };
  };
  const schema = crd.spec.versions[0]!.schema.openAPIV3Schema;
  assert.deepEqual(structuralFaults(schema, ''), []);
  const spec = (schema['properties'] as Record<string, Node>)['spec']!;
  assert.ok(Object.keys(spec['properties'] as Node).includes('items'), 'the check saw the real schema');
});

test('a standalone task is what the README of the worker shows, and nothing else', () => {
  const readme = readFileSync(new URL('worker-image/README.md', root), 'utf8');
  const [, example] = /echo '(\{ "schema": "standalone-task.*)' >/.exec(readme)!;
  const shown = JSON.parse(example!) as object;
  assert.deepEqual(findingsOf('standaloneTask', shown), []);
  assert.ok(!conforms('standaloneTask', { ...shown, extra: 1 }));
});

test('an output of a worker is checked under every name it gives', () => {
  const sha256 = 'a'.repeat(64);
  const at = '2026-11-23T00:00:00.000Z';
  const output = (outputs: object): unknown => ({
    schema: 'output/1',
    runId: 'r',
    itemId: 'i',
    attempt: 1,
    status: 'succeeded',
    partial: false,
    startedAt: at,
    finishedAt: at,
    blocks: [],
    logs: [],
    products: { outputs },
  });
  assert.equal(validateOutput(output({ 'a/b': { sha256, size: 1 } })), undefined);
  assert.equal(validateOutput(output({ 'a\nb': { sha256, size: 1 } })), undefined);
  assert.match(validateOutput(output({ 'a\nb': { sha256: '../../x', size: 1 } }))!, /sha256/);
  assert.match(validateOutput(output({ a: 'x' }))!, /must be an object/);
  assert.match(validateOutput({ ...(output({}) as object), extra: 1 })!, /no field "extra"/);
  assert.match(validateOutput(null)!, /must be an object/);
});

test('a control is checked down to its actor', () => {
  const control = { schema: 'control/1', verb: 'cancel', run: 'r', actor: 'human:ada' };
  assert.equal(validateControl(control), undefined);
  assert.match(validateControl({ ...control, verb: 'cancle' })!, /`cancel`, `retry`/);
  assert.ok(validateControl({ ...control, actor: 'ada' }));
});

test('the explanation never finds a fault in what the compiled check accepts, nor none in what it refuses', () => {
  const boot = {
    schema: 'boot/1',
    runId: 'r',
    itemId: 'i',
    attempt: 1,
    worker: { version: '1', node: '24', git: '2' },
    at: '2026-11-23T00:00:00.000Z',
  };
  for (const key of ['', ...Object.keys(boot)]) {
    for (const value of [undefined, null, 0, '', 'x', [], {}, true]) {
      const changed = { ...boot, ...(key !== '' && { [key]: value }) };
      assert.equal(findingsOf('boot', changed).length === 0, conforms('boot', changed), `${key}: ${String(value)}`);
    }
  }
});
