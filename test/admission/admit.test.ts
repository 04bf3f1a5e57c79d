import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { canonicalBytes } from '@pangolin/contracts/canonical';
import { formatDigest, sha256 } from '@pangolin/contracts/digest';
import { PangolinError } from '@pangolin/contracts/errors';
import { casKey } from '@pangolin/contracts/layout';
import type { AdmittedQueue } from '@pangolin/contracts/queue';
import { readQueue } from '@pangolin/contracts/read-queue';
import type { AdmittedRun } from '@pangolin/contracts/admitted-run';
import { admit, type AdmitContext, type Admitted } from '@pangolin/controller/admission/admit';
import { registerThing } from '@pangolin/storage/registry';
import { createMemoryStore } from '../fakes/memory-store.ts';
import { admitContext } from './admit-context.ts';
import { commitFiles, makeRepository, scratch } from './repos.ts';

const dir = scratch();
let caches = 0;

function fresh(allowLocalPaths = true): AdmitContext {
  const gitCacheDir = join(dir, `cache-${(caches += 1)}`);
  const queue = (name: string): AdmittedQueue | undefined => (name === 'default' ? { concurrency: 1 } : undefined);
  const local = { localBase: dir, allowLocalPaths, gitCacheDir };
  return { ...admitContext(createMemoryStore(), undefined, local), queue };
}

const inline = { blocks: [{ kind: 'script', command: 'make' }] };
const submit = (document: unknown, context: AdmitContext): Promise<Admitted> =>
  admit(Buffer.from(JSON.stringify(document)), 'run.json', context);

async function admitted(document: unknown, context = fresh()): Promise<AdmittedRun> {
  const result = await submit(document, context);
  assert.ok(result.ok, JSON.stringify(result));
  assert.deepEqual(result.specBytes, canonicalBytes(result.run));
  return result.run;
}

async function problems(document: unknown, context = fresh()): Promise<(readonly [string, string])[]> {
  const result = await submit(document, context);
  assert.ok(!result.ok, 'it was admitted');
  for (const problem of result.problems) assert.ok(problem.file === 'run.json' && problem.line === 1);
  return result.problems.map(({ code, path }) => [code, path] as const);
}

test('the defaults of a queue are below those of the run, field by field, and are no part of what was submitted', async () => {
  const defaults = {
    timeout: '7m',
    priority: 3,
    resources: { cpu: '500m', memory: '64Mi' },
    retry: { maxAttempts: 4, backoff: { initial: '2s', factor: 3 } },
  };
  const context = { ...fresh(), queue: (): AdmittedQueue => ({ concurrency: 1, defaults }) };
  const run = {
    id: 'r',
    defaults: { timeout: '5m', resources: { memory: '128Mi' }, retry: { backoff: { factor: 2 } } },
    items: [
      { id: 'a', pipeline: inline, priority: 9 },
      { id: 'b', pipeline: inline },
    ],
  };
  const { items, spec } = await admitted(run, context);
  assert.deepEqual(
    items.map(({ timeoutMs, priority, cpuMillis, memoryBytes }) => [timeoutMs, priority, cpuMillis, memoryBytes]),
    [
      [300_000, 9, 500, 128 * 2 ** 20],
      [300_000, 3, 500, 128 * 2 ** 20],
    ],
  );
  const { maxAttempts, initialMs, factor } = items[1]!.retry;
  assert.deepEqual([maxAttempts, initialMs, factor], [4, 2000, 2]);
  assert.equal(spec, (await admitted(run)).spec);
});

test('defaults of a queue that no item could have are refused with their place', () => {
  const queue = (defaults: object): Buffer =>
    Buffer.from(
      JSON.stringify({
        apiVersion: 'pangolin.dev/v1',
        kind: 'Queue',
        metadata: { name: 'q' },
        spec: { concurrency: 1, defaults },
      }),
    );
  const rows = [
    [{ timeout: '0s' }, '/spec/defaults/timeout'],
    [{ resources: { memory: '1Ki' } }, '/spec/defaults/resources/memory'],
    [{ pipeline: 'dev.build' }, '/spec/defaults/pipeline'],
  ] as const;
  for (const [defaults, path] of rows) {
    const read = readQueue(queue(defaults), 'q.json');
    assert.ok(read?.ok === false, path);
    assert.deepEqual(
      read.problems.map((problem) => problem.path),
      [path],
    );
  }
  assert.ok(readQueue(queue({ retry: { maxAttempts: 2 } }), 'q.json')?.ok);
});

const register = (context: AdmitContext, name: string, spec: unknown): ReturnType<typeof registerThing> =>
  registerThing(context.store, 'pipeline', name, canonicalBytes(spec), 'human:ada', 0);

test('a registered pipeline is pinned to the version of that moment, an inline one to its own digest', async () => {
  const context = fresh();
  const run = {
    id: 'r',
    items: [
      { id: 'a', pipeline: 'dev.build' },
      { id: 'b', pipeline: inline },
      { id: 'c', pipeline: { ...inline } },
    ],
  };
  const first = await register(context, 'dev.build', { blocks: [{ kind: 'capture', what: 'patch' }] });
  const before = await admitted(run, context);
  const second = await register(context, 'dev.build', { blocks: [{ kind: 'capture', what: 'outputs' }] });
  const after = await admitted(run, context);
  assert.deepEqual(before.items[0]!.pipeline, { ref: 'dev.build', sha256: first.version.sha256 });
  assert.deepEqual(after.items[0]!.pipeline, { ref: 'dev.build', sha256: second.version.sha256 });
  assert.deepEqual(after.items[1]!.pipeline, { sha256: sha256(canonicalBytes(inline)) });
  assert.deepEqual(after.items[2]!.pipeline, after.items[1]!.pipeline);
  assert.deepEqual(after.pipelines[second.version.sha256], { blocks: [{ kind: 'capture', what: 'outputs' }] });
  assert.equal(Object.keys(after.pipelines).length, 2);
  assert.equal(before.spec, after.spec, 'the submitted spec is the same');

  const pinned = `dev.build@${formatDigest(first.version.sha256)}`;
  const old = await admitted({ id: 'r', items: [{ id: 'a', pipeline: pinned }] }, context);
  assert.deepEqual(old.items[0]!.pipeline, { ref: pinned, sha256: first.version.sha256 });
});

test('admitting the same file twice gives the same bytes', async () => {
  makeRepository(join(dir, 'stable'));
  const document = { id: 'r', workspace: { git: { url: 'stable' } }, items: [{ id: 'a', pipeline: inline }] };
  const [one, two] = [await submit(document, fresh()), await submit(document, fresh())];
  assert.ok(one.ok && two.ok);
  assert.deepEqual(one.specBytes, two.specBytes);
});

test('items with one workspace share one pin, also when the branch moves meanwhile', async () => {
  const repo = join(dir, 'moving');
  const first = makeRepository(repo);
  const context = fresh();
  let packs = 0;
  const put: typeof context.store.put = async (key, ...rest) => {
    packs += 1;
    commitFiles(repo, { 'moved.txt': String(packs) });
    return context.store.put(key, ...rest);
  };
  const workspace = { git: { url: 'moving', ref: 'main' } };
  const items = [{ id: 'a' }, { id: 'b' }, { id: 'c', workspace: { git: { ref: 'main', url: 'moving' } } }];
  const run = await admitted(
    { id: 'r', workspace, defaults: { pipeline: inline }, items },
    { ...context, store: { ...context.store, put } },
  );
  assert.deepEqual(
    run.items.map((item) => item.workspace?.commit),
    [first, first, first],
  );
  assert.equal(packs, 1);
});

test('an item takes its own workspace before that of the defaults before that of the run', async () => {
  for (const name of ['w-run', 'w-defaults', 'w-item']) makeRepository(join(dir, name), { name });
  const at = (name: string): object => ({ git: { url: name } });
  const items = [{ id: 'a', workspace: at('w-item') }, { id: 'b' }];
  const both = await admitted({
    id: 'r',
    workspace: at('w-run'),
    defaults: { pipeline: inline, workspace: at('w-defaults') },
    items,
  });
  assert.deepEqual(
    both.items.map((item) => item.workspace?.url),
    ['w-item', 'w-defaults'],
  );
  const run = await admitted({ id: 'r', workspace: at('w-run'), defaults: { pipeline: inline }, items });
  assert.deepEqual(
    run.items.map((item) => item.workspace?.url),
    ['w-item', 'w-run'],
  );
});

test('every name that cannot be pinned is a located problem, each once', async () => {
  const context = fresh();
  await register(context, 'dev.build', inline);
  const document = {
    id: 'r',
    queue: 'fast',
    workspace: { git: { url: 'https://evil.example/x' } },
    defaults: { pipeline: 'dev.biuld' },
    items: [
      { id: 'a' },
      { id: 'b' },
      { id: 'c', pipeline: `dev.build@${formatDigest('0'.repeat(64))}`, workspace: { path: 'nowhere' } },
      { id: 'd', inputs: { pipeline: 'nobody' } },
    ],
  };
  assert.deepEqual(await problems(document, context), [
    ['UnknownQueue', '/queue'],
    ['HostRefused', '/workspace'],
    ['NotRegistered', '/defaults/pipeline'],
    ['NotRegistered', '/items/2/pipeline'],
    ['WorkspaceNotFound', '/items/2/workspace'],
    ['NotRegistered', '/items/3/inputs/pipeline'],
  ]);
  const result = await submit(document, context);
  assert.ok(!result.ok && result.problems[2]?.hint === 'Did you mean `dev.build`?');
});

test('a registered pipeline whose content is damaged or not valid here is refused', async () => {
  const context = fresh();
  const good = await register(context, 'damaged', inline);
  await context.store.put(casKey(good.version.sha256), 'other bytes');
  await register(context, 'strange', { blocks: [{ kind: 'teleport' }] });
  const run = (pipeline: string): object => ({ id: 'r', items: [{ id: 'a', pipeline }] });
  assert.deepEqual(await problems(run('damaged'), context), [['ThingDamaged', '/items/0/pipeline']]);
  assert.deepEqual(await problems(run('strange'), context), [['ThingInvalid', '/items/0/pipeline']]);
});

test('local workspaces are refused where the storage is remote', async () => {
  makeRepository(join(dir, 'local'));
  const context = fresh(false);
  const items = [
    { id: 'a', pipeline: inline, workspace: { git: { url: 'local' } } },
    { id: 'b', pipeline: inline, workspace: { path: 'local' } },
  ];
  assert.deepEqual(await problems({ id: 'r', items }, context), [
    ['LocalPathRefused', '/items/0/workspace'],
    ['LocalPathRefused', '/items/1/workspace'],
  ]);
});

test('a refused file names its run; a store that does not answer refuses nothing', async () => {
  const context = fresh();
  const refused = await submit({ id: 'mine', items: [{ id: 'a', pipeline: 'nobody' }] }, context);
  assert.ok(!refused.ok && refused.run === 'mine');
  const store = { ...context.store, head: () => Promise.reject(new PangolinError('UNAVAILABLE', 'down')) };
  await assert.rejects(submit({ id: 'mine', items: [{ id: 'a', pipeline: 'x' }] }, { ...context, store }), {
    code: 'UNAVAILABLE',
  });
});

test('a file of a hundred thousand items is admitted', async () => {
  const items = Array.from({ length: 100_000 }, (_, index) => ({
    id: `item-${index}`,
    pipeline: { blocks: [{ kind: 'script', command: `echo ${index % 10} ${'x'.repeat(100)}` }] },
    depends_on: index === 0 ? [] : [`item-${index - 1}`],
    resourceLocks: [`lock-${index % 100}`],
  }));
  const run = await admitted({ id: 'big', items });
  assert.equal(run.items.length, 100_000);
  assert.equal(Object.keys(run.pipelines).length, 10);
});
