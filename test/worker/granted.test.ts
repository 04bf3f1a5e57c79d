/** A worker that has nothing but grants: against Ceph RGW and moto, with no directory of its controller's. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { canonicalBytes } from '@pangolin/contracts/canonical';
import { sha256 } from '@pangolin/contracts/digest';
import type { Output } from '@pangolin/contracts/output';
import type { Grants, PostGrant, Task } from '@pangolin/contracts/task';
import type { ObjectStore } from '@pangolin/storage/object-store';
import { s3Store } from '@pangolin/storage/s3-store';

import { faultProxy, type FaultProxy } from '../storage/fault-proxy.ts';
import { freshPlace, moto, rgw, type S3Server } from '../storage/s3-servers.ts';
import { prepare, script, start, type Dirs, type TaskSpec } from './harness.ts';
import { poll } from '../poll.ts';

const PREFIX = 'runs/run-1/attempts/item-a/1/';
const TASK = 'tasks/t/task.json';
const RENEWED = 'tasks/t/grants.json';

interface Granted {
  readonly dirs: Dirs;
  readonly store: ObjectStore;
  /** What task.json holds. */
  readonly first: Grants;
  readonly issue: (seconds: number) => Promise<Grants>;
}

/** What `prepare` lays out in a directory, in the store instead. */
async function grant(
  server: S3Server,
  spec: TaskSpec,
  { seconds = 60, endpoint = server.endpoint }: { seconds?: number; endpoint?: string } = {},
): Promise<Granted> {
  const prefix = `granted/${randomUUID()}`;
  const store = s3Store(await freshPlace(server, { prefix }));
  // Signed for the address that the worker goes to.
  const grantor = s3Store(await freshPlace(server, { prefix, endpoint })).grantor!;
  const dirs = await prepare(spec);
  const task = JSON.parse(readFileSync(join(dirs.in, 'task.json'), 'utf8')) as Task;
  const read = async (file: string) => {
    await store.put(`in/${file}`, readFileSync(join(dirs.in, file)));
    return async (life: number) => ({ url: await grantor.read(`in/${file}`, life) });
  };
  const workspace = task.grants.workspace && (await read('workspace.pack'));
  const inputs = await Promise.all(
    Object.keys(task.grants.inputs).map(async (key) => [key, await read(`input-${key}`)] as const),
  );
  const issue = async (life: number): Promise<Grants> => ({
    ...(workspace && { workspace: await workspace(life) }),
    inputs: Object.fromEntries(await Promise.all(inputs.map(async ([key, url]) => [key, await url(life)] as const))),
    attempt: {
      boot: await grantor.create(`${PREFIX}boot.json`, life),
      bootRead: { url: await grantor.read(`${PREFIX}boot.json`, life) },
      files: await grantor.write(PREFIX, life, 2 ** 30),
    },
    expiresAt: (await grantor.expiry(life)).at.toISOString(),
    renewed: { url: await grantor.read(RENEWED, 3600) },
  });
  const first = await issue(seconds);
  const bytes = canonicalBytes({ ...task, grants: first });
  await store.put(TASK, bytes);
  rmSync(dirs.in, { recursive: true });
  const env: Record<string, string> = {
    ...dirs.env,
    PANGOLIN_TASK_URL: await grantor.read(TASK, 600),
    PANGOLIN_TASK_SHA256: sha256(bytes),
  };
  return { dirs: { ...dirs, env }, store, first, issue };
}

async function post({ url, fields }: PostGrant): Promise<number> {
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) form.set(name, value);
  form.set('file', new Blob(['x']));
  return (await fetch(url, { method: 'POST', body: form })).status;
}

async function outputOf(store: ObjectStore): Promise<Output> {
  return JSON.parse((await store.get(`${PREFIX}output.json`)).toString()) as Output;
}

/** Reads the attempt from the store, and checks that the store holds what output.json says. */
async function attemptOf(store: ObjectStore): Promise<{ output: Output; patch: string; log: string }> {
  const output = await outputOf(store);
  const { patch, outputs } = output.products;
  for (const [path, ref] of Object.entries(outputs)) {
    assert.equal((await store.head(`${PREFIX}outputs/${path}`))?.sha256, ref.sha256);
  }
  for (const { file, sha256: digest } of output.logs) assert.equal((await store.head(PREFIX + file))?.sha256, digest);
  if (patch) assert.equal((await store.head(`${PREFIX}patch`))?.sha256, patch.sha256);
  const text = async (name: string) => (await store.get(PREFIX + name)).toString();
  const log = await Promise.all(output.logs.map(({ file }) => text(file)));
  return { output, patch: patch ? await text('patch') : '', log: log.join('') };
}

const work: TaskSpec = {
  files: { 'a.txt': 'old\n' },
  inputs: { greeting: 'hello' },
  params: { n: 1 },
  blocks: [script('cat inputs/greeting; echo new > a.txt; mkdir -p outputs/deep; echo out > outputs/deep/ü.txt')],
};

for (const server of [rgw, moto]) {
  describe(`a worker with grants on ${server.endpoint}`, { skip: server.skip }, () => {
    test('stages, runs and delivers with nothing but them', async () => {
      const { dirs, store } = await grant(server, work);
      const { code, stderr } = await start(dirs).ended;
      assert.equal(code, 0, stderr);
      const { output, patch, log } = await attemptOf(store);
      assert.equal(output.status, 'succeeded');
      assert.match(patch, /^\+new$/m);
      assert.match(log, /"hello"/);
      assert.deepEqual(Object.keys(output.products.outputs), ['deep/ü.txt']);
      assert.ok(!existsSync(join(dirs.out, 'boot.json')), 'the attempt is not a directory here');
    });

    test('tells how far a large output is on its way', async () => {
      const blocks = [script('mkdir outputs; head -c 140M /dev/zero > outputs/large')];
      const { dirs, store } = await grant(server, { blocks });
      const { code, stderr } = await start(dirs).ended;
      assert.equal(code, 0, stderr);
      const { log } = await attemptOf(store);
      assert.deepEqual(log.match(/uploading [^"]+/g), [
        'uploading outputs/large: 64 of 140 MiB',
        'uploading outputs/large: 128 of 140 MiB',
      ]);
    });

    test('of two workers one has the attempt', async () => {
      const { dirs, store } = await grant(server, { blocks: [script('echo once')] });
      const second = await prepare({ blocks: [script('true')] });
      const both = [dirs, { ...dirs, work: second.work, env: { ...dirs.env, PANGOLIN_WORK: second.work } }];
      const codes = await Promise.all(both.map(async (each) => (await start(each).ended).code));
      assert.deepEqual(codes.toSorted(), [0, 3]);
      assert.equal((await outputOf(store)).status, 'succeeded');
    });
  });
}

describe('a worker with grants, when the store misbehaves', { skip: rgw.skip }, () => {
  async function behind(spec: TaskSpec, fault: FaultProxy['fault'], seconds?: number) {
    const proxy = await faultProxy(rgw.endpoint);
    try {
      const granted = await grant(rgw, spec, { endpoint: proxy.endpoint, ...(seconds && { seconds }) });
      proxy.fault = fault;
      const ended = await start(granted.dirs).ended;
      return { ...granted, ...ended, seen: proxy.seen };
    } finally {
      await proxy.close();
    }
  }

  test('every request fails once, in every way, and nothing is lost', async () => {
    const failed = new Map<string, number>();
    const { code, stderr, store } = await behind(work, ({ method, path }) => {
      const name = `${method} ${path.split('?')[0]}`;
      const times = (failed.get(name) ?? 0) + 1;
      failed.set(name, times);
      if (times === 1) return { kind: 'status', status: 503, code: 'SlowDown' };
      if (times === 2) return { kind: 'answer-lost' };
      if (times === 3 && method === 'GET') return { kind: 'truncated', bytes: 3 };
      return undefined;
    });
    assert.equal(code, 0, stderr);
    const { output, patch } = await attemptOf(store);
    assert.equal(output.status, 'succeeded');
    assert.match(patch, /^\+new$/m);
    assert.ok([...failed.values()].every((times) => times >= 2));
  });

  test('a refused input fails the attempt with its name and no signature', async () => {
    const { code, store } = await behind(work, ({ path }) =>
      path.includes('input-greeting') ? { kind: 'status', status: 403, code: 'AccessDenied' } : undefined,
    );
    assert.equal(code, 1);
    const { output } = await attemptOf(store);
    assert.deepEqual([output.status, output.reason], ['failed', 'StageFailed']);
    assert.match(output.message ?? '', /the input greeting .*403 \(AccessDenied\)/);
    assert.doesNotMatch(JSON.stringify(output), /Signature|Credential/);
  });

  test('grants are renewed while a block runs, and after they have ended', async () => {
    const spec = { blocks: [script('touch started; while [ ! -e go ]; do sleep 0.05; done; echo done')] };
    const { dirs, store, issue, first } = await grant(rgw, spec, { seconds: 15 });
    const { ended } = start(dirs);
    await poll('it works', () => existsSync(join(dirs.work, 'workspace', 'started')));
    await poll('the first grants have ended', async () => (await post(first.attempt!.files)) === 403);
    writeFileSync(join(dirs.work, 'workspace', 'go'), '');
    const log = join(dirs.work, 'attempt', 'log', '000000.ndjson');
    await poll('the block has ended', () => existsSync(log) && readFileSync(log, 'utf8').includes('"done"'));
    assert.equal(await store.head(`${PREFIX}output.json`), undefined);
    await store.put(RENEWED, canonicalBytes(await issue(60)));
    assert.equal((await ended).code, 0);
    assert.match((await attemptOf(store)).log, /"done"/);
  });

  test('another task.json than the announced one is refused', async () => {
    const { dirs, store } = await grant(rgw, work);
    await store.put(TASK, (await store.get(TASK)).toString().replace('"n":1', '"n":2'));
    const { code, stderr } = await start(dirs).ended;
    assert.equal(code, 4);
    assert.match(stderr, /not the one that was announced/);
    assert.equal(await store.head(`${PREFIX}boot.json`), undefined);
  });
});
