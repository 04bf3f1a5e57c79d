/** What items take over that an open-ended run gets later, or that its pattern appends: the same as its first ones. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { canonicalBytes } from '@pangolin/contracts/canonical';
import { sha256 } from '@pangolin/contracts/digest';
import { readQueue } from '@pangolin/contracts/read-queue';
import type { AdmittedItem, AdmittedRun } from '@pangolin/contracts/admitted-run';
import { admit, admitExtension, type AdmitContext, type AdmittedExtension } from '@pangolin/controller/admission/admit';
import { templatesOf } from '@pangolin/controller/plan/patterns/patterns';
import { registerThing } from '@pangolin/storage/registry';
import { createMemoryStore } from '../fakes/memory-store.ts';
import { admitContext } from './admit-context.ts';
import { commitFiles, makeRepository, scratch } from './repos.ts';

const dir = scratch();
const repository = join(dir, 'repo');
makeRepository(repository);
const script = (command: string): object => ({ blocks: [{ kind: 'script', command }] });
const bytes = (document: unknown): Buffer => Buffer.from(JSON.stringify(document));

function fresh(): AdmitContext {
  const queue = { concurrency: 1, defaults: { priority: 3, queueTimeout: '1h' } };
  const local = { localBase: dir, allowLocalPaths: true, gitCacheDir: join(dir, 'cache') };
  return admitContext(createMemoryStore(), queue, local);
}

async function admitted(document: unknown, context: AdmitContext): Promise<AdmittedRun> {
  const result = await admit(bytes(document), 'run.json', context);
  assert.ok(result.ok, JSON.stringify(result));
  return result.run;
}

const extend = async (run: AdmittedRun, spec: object, context: AdmitContext): Promise<AdmittedExtension> =>
  (await admitExtension(
    bytes({ apiVersion: 'pangolin.dev/v1', kind: 'Extension', spec: { run: run.id, ...spec } }),
    'more.json',
    { ...context, itemsOf: () => () => undefined, inheritedFrom: () => run.inherited },
  ))!;

async function joined(run: AdmittedRun, spec: object, context: AdmitContext): Promise<readonly AdmittedItem[]> {
  const result = await extend(run, spec, context);
  assert.ok(result.ok, JSON.stringify(result));
  return result.extension.items;
}

test('items that join later have the defaults and the workspace of the run, as they were when it was admitted', async () => {
  let built = 0;
  const context: AdmitContext = {
    ...fresh(),
    resolveImage: async (image = 'worker') => ({ ref: image, id: `sha256:${(built += 1)}` }),
  };
  await registerThing(context.store, 'pipeline', 'x.old', canonicalBytes(script('old')), 'human:ada', 0);
  const run = await admitted(
    {
      id: 'r',
      openEnded: true,
      workspace: { git: { url: repository } },
      defaults: {
        pipeline: 'x.old',
        image: 'tool',
        timeout: '7m',
        retry: { maxAttempts: 4, backoff: { initial: '2s' } },
      },
      items: [
        { id: 'own', image: 'other', pipeline: script('own'), workspace: { git: { url: repository } } },
        { id: 'first' },
      ],
    },
    context,
  );
  await registerThing(context.store, 'pipeline', 'x.old', canonicalBytes(script('new')), 'human:ada', 0);
  await registerThing(context.store, 'pipeline', 'x.new', canonicalBytes(script('new')), 'human:ada', 0);
  commitFiles(repository, { a: '2' });

  const first = run.items[1]!;
  const [same, other, named] = await joined(
    run,
    {
      items: [
        { id: 'same' },
        { id: 'other', image: 'new', pipeline: 'x.new', retry: { backoff: { initial: '3s' } } },
        { id: 'named', image: 'other' },
      ],
    },
    context,
  );
  assert.deepEqual({ ...same, id: 'first' }, first);
  assert.deepEqual(first.pinnedImage, { ref: 'tool', id: 'sha256:2' });
  assert.deepEqual(named!.pinnedImage, run.items[0]!.pinnedImage);
  assert.deepEqual([other!.pinnedImage?.ref, built], ['new', 4], 'only what the run does not know is looked up');
  assert.deepEqual([first.priority, first.queueTimeoutMs, first.timeoutMs], [3, 3_600_000, 420_000]);
  assert.equal(other!.pipeline!.sha256, sha256(canonicalBytes(script('new'))));
  assert.deepEqual([other!.retry.maxAttempts, other!.retry.initialMs], [4, 3000]);
  assert.deepEqual(other!.workspace, first.workspace);

  const spec = { workspace: { git: { url: repository } }, defaults: { timeout: '9m' }, items: [{ id: 'more' }] };
  const [more] = await joined(run, spec, context);
  assert.equal(more!.timeoutMs, 540_000, 'its own defaults are above those of the run');
  assert.notEqual(more!.workspace!.commit, first.workspace!.commit, 'and so is its workspace');
  const { inherited, ...closed } = await admitted({ id: 'r', items: [{ id: 'a', pipeline: script('a') }] }, context);
  assert.equal(inherited, undefined, JSON.stringify(closed));
});

test('what neither the run nor the Extension says to run is refused with its place', async () => {
  const context = fresh();
  const run = await admitted({ id: 'r', openEnded: true, items: [{ id: 'a', pipeline: script('a') }] }, context);
  const result = await extend(run, { items: [{ id: 'b' }] }, context);
  assert.ok(!result.ok);
  assert.deepEqual(
    result.problems.map(({ code, path, line }) => [code, path, line]),
    [['MissingPipeline', '/spec/items/0', 1]],
  );
});

const template = { labels: { of: 'template' } };
const patterns: Readonly<Record<string, { readonly pattern: object; readonly templates: number }>> = {
  'map-reduce': {
    pattern: { 'map-reduce': { role: { map: template, product: { kind: 'patch' }, reduce: template } } },
    templates: 2,
  },
  pipeline: {
    pattern: { pipeline: { gates: { role: { onRed: 'spawn-fix', attempts: 1, fix: template } } } },
    templates: 1,
  },
  quorum: {
    pattern: { quorum: { role: { approve: 1, reviewers: [template], commit: template, revise: template } } },
    templates: 3,
  },
};

for (const [name, { pattern, templates }] of Object.entries(patterns)) {
  test(`what ${name} appends has the defaults and the workspace of the run`, async () => {
    const spec = { concurrency: 1, pattern };
    const queue = readQueue(
      bytes({ apiVersion: 'pangolin.dev/v1', kind: 'Queue', metadata: { name: 'default' }, spec }),
      'queue.json',
    );
    assert.ok(queue?.ok, JSON.stringify(queue));
    const run = await admitted(
      {
        id: 'r',
        workspace: { git: { url: repository } },
        defaults: { pipeline: script('x'), timeout: '7m' },
        items: [{ id: 'a', role: 'role' }],
      },
      { ...fresh(), queue: () => queue.queue },
    );
    const { id: _id, depends_on: _depends, role: _role, ...item } = run.items[0]!;
    const grown = templatesOf(run.pattern!);
    assert.equal(grown.length, templates);
    for (const each of grown) assert.deepEqual(each, { ...item, labels: { of: 'template' } });
  });
}
