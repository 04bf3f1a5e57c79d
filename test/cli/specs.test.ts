/** Commands over files alone, the registry, and the small ones. */
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { canonicalBytes } from '@pangolin/contracts/canonical';
import { actorOfSubmission, submissionName } from '@pangolin/contracts/submission';
import { encodeSegment } from '@pangolin/contracts/ids';
import { QUEUES } from '@pangolin/contracts/layout';
import type { QueuesStatus } from '@pangolin/contracts/queue';
import { openStore } from '@pangolin/storage/open';
import { registerThing } from '@pangolin/storage/registry';
import { exampleStorage, pangolin, root, StorageFolder, tempDir } from './harness.ts';

const PIPELINE = `apiVersion: pangolin.dev/v1
kind: Pipeline
metadata: { name: dev.build }
spec: { blocks: [ { kind: script, command: make } ] }
`;

test('validate and render need no storage and no controller', async () => {
  const file = join(root, 'examples', 'edits.yaml');
  const cwd = tempDir();
  const valid = await pangolin(['orch', 'validate', file], { cwd });
  assert.deepEqual([valid.code, valid.stdout], [0, `${file} is valid: run edits, 6 items\n`], valid.stderr);
  const rendered = JSON.parse((await pangolin(['orch', 'render', file], { cwd })).stdout) as {
    id: string;
    items: { id: string; timeoutMs: number; depends_on: string[] }[];
  };
  const extend = rendered.items.find(({ id }) => id === 'extend');
  assert.deepEqual([rendered.id, extend?.timeoutMs, extend?.depends_on], ['edits', 300_000, ['header']]);
});

test('validate shows the line with a caret, or lists the problems as JSON', async () => {
  const input = '{\n  "id": "x",\n  "itmes": []\n}\n';
  const text = await pangolin(['orch', 'validate', '-'], { input });
  assert.equal(text.code, 2);
  assert.match(text.stderr, /^stdin:3:3 UnknownField \/itmes .*$\n {4}3 \| {3}"itmes": \[\]$\n {6}\| {3}\^$/m);
  assert.match(text.stderr, /hint: .*items/);
  const json = await pangolin(['orch', 'validate', '-', '-o', 'json'], { input });
  const { ok, problems } = JSON.parse(json.stdout) as { ok: boolean; problems: { line: number; code: string }[] };
  assert.deepEqual([json.code, ok], [2, false]);
  assert.ok(problems.some(({ line, code }) => line === 3 && code === 'UnknownField'));
});

test('validate holds a file to the shapes of a storage, as admission does', async () => {
  const storage = new StorageFolder();
  const store = await openStore(storage.dir);
  const run = { blocks: [{ kind: 'script', command: 'make' }] };
  const shapes = {
    'x.split': { effects: 'pure', pipeline: run, products: { outputs: { parts: 'x/csv' } } },
    'x.sum': { effects: 'pure', pipeline: run, needs: { part: { type: 'x/csv' } }, inputs: { required: ['by'] } },
  };
  for (const [name, spec] of Object.entries(shapes))
    await registerThing(store, 'shape', name, canonicalBytes(spec), 'human:ada', 0);
  const check = async (path: string, shape: string, inputs: object): Promise<readonly [number | null, string]> => {
    const part = { from: 's', select: { kind: 'output', path } };
    const items = [
      { id: 's', subagentShape: 'x.split' },
      { id: 'm', subagentShape: shape, needs: { part }, inputs },
    ];
    const input = JSON.stringify({ id: 'r', items }, null, 1);
    const { code, stdout } = await pangolin(['--storage', storage.dir, 'orch', 'validate', '-', '-o', 'json'], {
      input,
    });
    const { problems = [] } = JSON.parse(stdout) as { problems?: { code: string; path: string; line: number }[] };
    assert.ok(problems.every(({ line }) => line > 1));
    return [code, problems.map((each) => `${each.code} ${each.path}`).join()];
  };
  assert.deepEqual(await check('parts', 'x.sum', { by: 1 }), [0, '']);
  assert.deepEqual(await check('other', 'x.sum', { by: 1 }), [2, 'EdgeTypeMismatch /items/1/needs/part']);
  assert.deepEqual(await check('parts', 'x.sum', {}), [2, 'InputSchemaMismatch /items/1/inputs']);
  assert.deepEqual(await check('parts', 'x.smu', {}), [2, 'NotRegistered /items/1/subagentShape']);
});

test('validate knows the queues of a storage, as admission does', async () => {
  const storage = new StorageFolder();
  const store = await openStore(storage.dir);
  const check = async (spec: object): Promise<readonly [number | null, string, string]> => {
    const items = [{ id: 'a', role: 'gate', pipeline: { blocks: [{ kind: 'script', command: 'make' }] } }];
    const input = JSON.stringify({ id: 'r', items, ...spec }, null, 1);
    const asked = ['--storage', storage.dir, 'orch', 'validate', '-', '-o', 'json'];
    const { code, stdout, stderr } = await pangolin(asked, { input });
    const { problems = [] } = JSON.parse(stdout) as { problems?: { code: string; path: string }[] };
    return [code, problems.map((each) => `${each.code} ${each.path}`).join(), stderr];
  };
  const unserved = await check({
    queue: 'gated',
    items: [{ id: 'a', pipeline: { blocks: [{ kind: 'script', command: 'x' }] } }],
  });
  assert.deepEqual(unserved.slice(0, 2), [0, '']);
  assert.match(unserved[2], /No controller has served this storage yet/);
  const fix = { pipeline: 'not.there' };
  const status: QueuesStatus = {
    schema: 'queues/1',
    queues: [
      { name: 'default', concurrency: 8 },
      { name: 'gated', concurrency: 1, pattern: { pipeline: { gates: { gate: { onRed: 'advance' } } } } },
      {
        name: 'fixed',
        concurrency: 1,
        pattern: { pipeline: { gates: { gate: { onRed: 'spawn-fix', attempts: 1, fix } } } },
      },
    ],
  };
  await store.put(QUEUES, JSON.stringify(status));
  assert.deepEqual(await check({ queue: 'gated' }), [0, '', '']);
  assert.deepEqual(await check({}), [2, 'UnknownRole /items/0/role', '']);
  assert.deepEqual(await check({ queue: 'gate' }), [2, 'UnknownQueue /queue', '']);
  assert.deepEqual(await check({ queue: 'fixed' }), [2, 'NotRegistered /queue', '']);
});

test('a pipeline is validated, registered once per content, listed and shown', async () => {
  const storage = new StorageFolder();
  const cwd = tempDir();
  writeFileSync(join(cwd, 'p.yaml'), PIPELINE);
  const at = (...args: string[]) => pangolin(['--storage', storage.dir, 'pipeline', ...args], { cwd });
  assert.match(
    (await at('validate', 'p.yaml')).stdout,
    /^p\.yaml is valid: pipeline dev\.build, sha256:[0-9a-f]{64}\n$/,
  );
  assert.match((await at('register', 'p.yaml', '--actor', 'human:ada')).stdout, /^registered dev\.build@sha256:/);
  assert.match((await at('register', 'p.yaml')).stdout, /^unchanged dev\.build@sha256:/);
  const { pipelines } = JSON.parse((await at('list', '-o', 'json')).stdout) as {
    pipelines: { name: string; actor: string; versions: number }[];
  };
  assert.deepEqual(
    pipelines.map(({ name, actor, versions }) => [name, actor, versions]),
    [['dev.build', 'human:ada', 1]],
  );
  const shown = JSON.parse((await at('show', 'dev.build')).stdout) as { name: string; spec: unknown };
  assert.deepEqual([shown.name, shown.spec], ['dev.build', { blocks: [{ kind: 'script', command: 'make' }] }]);
  assert.match((await at('show', 'dev.biuld')).stderr, /Did you mean dev\.build\?/);
  writeFileSync(join(cwd, 'bad.yaml'), PIPELINE.replace('command', 'comand'));
  const bad = await at('register', 'bad.yaml');
  assert.equal(bad.code, 2);
  assert.match(bad.stderr, /^bad\.yaml:4:/m);
});

test('subagents, capabilities and env bundles are registered; a folder is a capability, and its links are refused', async () => {
  const storage = new StorageFolder();
  const cwd = tempDir();
  const at = (...args: string[]) => pangolin(['--storage', storage.dir, ...args], { cwd });
  mkdirSync(join(cwd, 'tools', 'bin'), { recursive: true });
  writeFileSync(join(cwd, 'tools', 'bin', 'check'), '#!/bin/sh\n', { mode: 0o755 });
  writeFileSync(join(cwd, 'tools', 'logo'), Buffer.from([0xff, 0x00]));
  assert.match((await at('capability', 'register', 'tools')).stdout, /^registered tools@sha256:/);
  const shown = JSON.parse((await at('capability', 'show', 'tools')).stdout) as { spec: unknown };
  assert.deepEqual(shown.spec, {
    files: { 'bin/check': { mode: '0755', text: '#!/bin/sh\n' }, logo: { base64: '/wA=', mode: '0644' } },
  });
  symlinkSync('/etc/passwd', join(cwd, 'tools', 'link'));
  const linked = await at('capability', 'register', 'tools');
  assert.deepEqual([linked.code, /tools\/link is a symbolic link/.test(linked.stderr)], [2, true], linked.stderr);

  const head = (kind: string, spec: string): string =>
    `apiVersion: pangolin.dev/v1\nkind: ${kind}\nmetadata: { name: x }\nspec: ${spec}\n`;
  writeFileSync(join(cwd, 's.yaml'), head('Subagent', '{ runtime: { kind: command, command: [ cat ] } }'));
  assert.match((await at('subagent', 'register', 's.yaml')).stdout, /^registered x@/);
  assert.match((await at('subagent', 'list')).stdout, /^SUBAGENT .*\n {0,}x /);
  writeFileSync(join(cwd, 'e.yaml'), head('EnvBundle', '{ values: { DB: "mysql://app:pw1234@db" } }'));
  const leak = await at('env', 'register', 'e.yaml');
  assert.deepEqual([leak.code, leak.stderr.includes('pw1234')], [2, false]);
  assert.match(leak.stderr, /UrlPassword/);
  assert.match((await at('env', 'list')).stderr, /No env bundles/);
});

test('init writes an example that validates, and never overwrites', async () => {
  const cwd = tempDir();
  const made = (await pangolin(['init'], { cwd })).stdout;
  assert.match(
    made,
    /^created run\.yaml\ncreated \.pangolin\n(registered (capability|pipeline|subagent|shape) (data|dev)\.[a-z-]+\n)+$/,
  );
  assert.equal((await pangolin(['orch', 'validate', 'run.yaml'], { cwd })).code, 0);
  writeFileSync(join(cwd, 'run.yaml'), 'mine');
  assert.equal((await pangolin(['init'], { cwd })).stdout, 'kept run.yaml\nkept .pangolin\n');
  assert.equal(readFileSync(join(cwd, 'run.yaml'), 'utf8'), 'mine');
});

test('doctor reports every check, and fails when the storage does not work', async () => {
  const storage = exampleStorage();
  const good = await pangolin(['--storage', storage.dir, 'doctor', '-o', 'json'], {
    env: { DOCKER_HOST: 'unix:///no/such/socket' },
  });
  const { checks } = JSON.parse(good.stdout) as { checks: { name: string; status: string }[] };
  assert.deepEqual(
    checks.map(({ name, status }) => [name, status]),
    [
      ['node', 'ok'],
      ['git', 'ok'],
      ['storage', 'ok'],
      ['docker', 'warn'],
      ['controller', 'warn'],
      ['evidence', 'ok'],
    ],
  );
  assert.equal(good.code, 0);
  const bad = await pangolin(['--storage', join(storage.dir, 'nowhere'), 'doctor']);
  assert.equal(bad.code, 6);
  assert.match(bad.stdout, /^fail {2}storage/m);
});

test('the name of a submission carries its actor, and no other name does', () => {
  const unique = '20261123T100000.000Z-5b1f0c2e9a7d';
  for (const actor of ['human:ada', 'service:ci/main', 'agent:a~b.json', 'human:\u{1f9a1}']) {
    const name = submissionName(actor, unique);
    assert.equal(actorOfSubmission(name), actor);
    assert.ok(encodeSegment(name).length + '.json'.length <= 255);
    assert.doesNotMatch(name, /[/\\:]/);
  }
  for (const name of [
    'run.yaml',
    'notes~1.yaml',
    'run.yaml~',
    'x~bob.json',
    'x~%E0%A4%A.json',
    'x~human%3A%0Abad.json',
    `x~human%3A${'a'.repeat(300)}.json`,
  ]) {
    assert.equal(actorOfSubmission(name), undefined, name);
  }
});
