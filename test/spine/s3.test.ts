/** The main job on S3: Ceph RGW as the store, the shipped command, real workers. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { spawn } from 'node:child_process';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { attemptPrefix } from '@pangolin/contracts/layout';
import type { Lease } from '@pangolin/contracts/lease';
import type { DispatchManifest } from '@pangolin/contracts/task';
import type { ObjectStore } from '@pangolin/storage/object-store';
import { s3Store } from '@pangolin/storage/s3-store';
import { faultProxy } from '../storage/fault-proxy.ts';
import { dbstore, freshPlace, rgw, type S3Server } from '../storage/s3-servers.ts';
import { blocks, Deployment, dockerSkip, outputs, patch, repository, s3Keys, script, type Compute } from './harness.ts';
import { poll } from '../poll.ts';

async function on(
  server: S3Server,
  compute: Compute,
  endpoint = server.endpoint,
): Promise<{ readonly deployment: Deployment; readonly store: ObjectStore }> {
  const place = await freshPlace(server, { bucket: 'pangolin-spine', prefix: randomUUID() });
  const location = `s3://${place.bucket}/${place.prefix}?endpoint=${endpoint}`;
  return { deployment: new Deployment(compute, location), store: s3Store(place) };
}

function spec(deployment: Deployment, name: string, items: readonly object[]): string {
  const file = join(deployment.dir, `${name}.json`);
  const workspace = { git: { url: deployment.repo } };
  writeFileSync(
    file,
    JSON.stringify({ kind: 'Run', apiVersion: 'pangolin.dev/v1', metadata: { name }, spec: { workspace, items } }),
  );
  return file;
}

const chain = [
  { id: 'edit', ...blocks(script('echo four >> src/a.txt; echo result > outputs/r.txt; echo said'), patch, outputs) },
  {
    id: 'use',
    needs: {
      p: { from: 'edit', select: { kind: 'patch' } },
      r: { from: 'edit', select: { kind: 'output', path: 'r.txt' } },
    },
    ...blocks(script('cat inputs/r; git apply inputs/p; cat src/a.txt; env; ls -a / /pangolin 2>&1 || true'), patch),
  },
];

const skipDocker = await dockerSkip();
for (const compute of ['process', 'docker'] as const) {
  const skip = rgw.skip ?? (compute === 'docker' ? skipDocker || undefined : undefined);
  describe(`on Ceph RGW with ${compute} workers`, { skip: skip ?? false }, () => {
    test('a run completes, every command reads it, and the bundle verifies', async () => {
      const { deployment, store } = await on(rgw, compute);
      try {
        const submitted = await deployment.cli(
          'orch',
          'submit',
          spec(deployment, 'r', chain),
          '--receipt-timeout',
          '0s',
        );
        assert.equal(submitted.code, 0, submitted.stderr);
        await deployment.settle();
        const status = await deployment.status('r');
        assert.equal(status.phase, 'succeeded', JSON.stringify(status));
        const logs = await deployment.cli('orch', 'logs', 'r/use');
        assert.match(logs.stdout, /result[\s\S]*four/);
        // Nothing of the controller's, and nothing that could sign.
        assert.doesNotMatch(logs.stdout, /AWS_|testsecret|X-Amz|PANGOLIN_TASK|PANGOLIN_STORE/);
        assert.match((await deployment.cli('orch', 'patch', 'r/use')).stdout, /^\+four$/m);
        const got = await deployment.cli('orch', 'outputs', 'r/edit', '--to', join(deployment.dir, 'got'));
        assert.equal(got.code, 0, got.stderr);
        assert.equal(readFileSync(join(deployment.dir, 'got', 'r.txt'), 'utf8'), 'result\n');
        const bundle = readFileSync(await deployment.verified('r'), 'utf8');
        assert.doesNotMatch(bundle, /X-Amz|testsecret/);
        assert.deepEqual(await manifestStores(store, 'r'), ['socket', 'socket']);
        await deployment.swept();
        const { objects } = await store.list('tasks/');
        assert.deepEqual(objects, [], 'a task of this machine needs no object for its grants');
      } finally {
        await deployment.dispose();
      }
    });
  });
}

test('the demo on S3 with Docker workers', { skip: rgw.skip ?? skipDocker }, async () => {
  const place = await freshPlace(rgw, { bucket: 'pangolin-spine', prefix: randomUUID() });
  const storage = `s3://${place.bucket}/${place.prefix}?endpoint=${rgw.endpoint}`;
  const files = join(repository, '.pangolin', encodeURIComponent(storage));
  try {
    const demo = spawn(process.execPath, ['demo/main.ts', '--compute', 'docker', '--storage', storage], {
      cwd: repository,
      env: { ...process.env, ...s3Keys },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let text = '';
    for (const stream of [demo.stdout, demo.stderr]) stream.on('data', (chunk: Buffer) => (text += chunk.toString()));
    const code = await new Promise<number | null>((resolve) => demo.once('close', resolve));
    assert.equal(code, 0, text);
    assert.equal(text.match(/^VERIFIED/gm)?.length, 2, text);
  } finally {
    rmSync(files, { recursive: true, force: true });
  }
});

async function manifestStores(store: ObjectStore, run: string): Promise<unknown[]> {
  const lines = (await store.get(`runs/${run}/evidence/statements.jsonl`)).toString().trimEnd().split('\n');
  const statements = lines.map((line) => {
    const { payload } = JSON.parse(line) as { payload: string };
    return JSON.parse(Buffer.from(payload, 'base64').toString()) as {
      predicateType: string;
      predicate: DispatchManifest;
    };
  });
  return statements.flatMap(({ predicateType, predicate }) =>
    predicateType.endsWith('/dispatch/v1') ? [predicate.store] : [],
  );
}

/** How many objects a run of so many items may write, products aside: design law 10. */
const objectsMax = (items: number): number => 6 * items + 20;

describe('a whole run over a faulty S3', { skip: rgw.skip ?? false, concurrency: true }, () => {
  test('loses nothing and does nothing twice when every request fails first', async () => {
    const proxy = await faultProxy(rgw.endpoint);
    const { deployment, store } = await on(rgw, 'process', proxy.endpoint);
    try {
      const ids = ['a', 'b', 'c', 'd'];
      const items = ids.map((id) => ({ id, ...blocks(script(`echo ${id} >> src/a.txt; echo said`), patch) }));
      await deployment.cli('orch', 'submit', spec(deployment, 'f', items), '--receipt-timeout', '0s');
      const tries = new Map<string, number>();
      proxy.seen.length = 0;
      proxy.fault = ({ method, path }) => {
        // Not the races of the probe, which is to fail when the store does not answer.
        if (decodeURIComponent(path).includes('controller/probe-')) return undefined;
        const name = `${method} ${path.split('?')[0]}`;
        const tried = (tries.get(name) ?? 0) + 1;
        tries.set(name, tried);
        if (tried === 1) return { kind: 'status', status: 503, code: 'SlowDown' };
        if (tried === 2) return { kind: 'answer-lost' };
        if (tried === 3 && method === 'GET') return { kind: 'truncated', bytes: 10 };
        if (tried === 4 && method === 'GET') return { kind: 'slow', bytes: 100, everyMs: 20 };
        return undefined;
      };
      await deployment.settle();
      proxy.fault = () => undefined;
      const status = await deployment.status('f');
      assert.equal(status.phase, 'succeeded', JSON.stringify(status));
      assert.deepEqual(
        status.items.map(({ id, attempts }) => [id, attempts]),
        ids.map((id) => [id, 1]),
        'a store that stumbles costs no attempt',
      );
      await deployment.verified('f');
      const written = await keysOf(store);
      assert.ok(written.length <= objectsMax(ids.length), `${written.length} objects:\n${written.join('\n')}`);
    } finally {
      await deployment.dispose();
      await proxy.close();
    }
  });

  test('credentials that expire stop the controller, not its tasks: the next one with good ones goes on', async () => {
    const proxy = await faultProxy(rgw.endpoint);
    const { deployment } = await on(rgw, 'process', proxy.endpoint);
    try {
      const go = join(deployment.dir, 'go');
      const wait = script(`echo begun > ${go}.begun; while [ ! -e ${go} ]; do sleep 0.1; done; echo x >> src/a.txt`);
      const items = [
        { id: 'long', ...blocks(wait, patch) },
        { id: 'next', depends_on: ['long'], ...blocks(script('true')) },
      ];
      await deployment.cli('orch', 'submit', spec(deployment, 'e', items), '--receipt-timeout', '0s');
      const first = deployment.serve();
      await poll(
        'the task runs',
        () => existsSync(`${go}.begun`),
        () => first.text,
      );
      // Signed by the header, as the controller's own requests are; grants have their signature in the URL or the form.
      proxy.fault = ({ headers }) =>
        headers.authorization === undefined ? undefined : { kind: 'status', status: 400, code: 'ExpiredToken' };
      writeFileSync(go, '');
      const { code } = await first.end();
      assert.notEqual(code, 0, first.text);
      assert.match(first.text, /The credentials have expired: renew them/);
      proxy.fault = () => undefined;
      await deployment.settle();
      const status = await deployment.status('e');
      assert.deepEqual(
        status.items.map(({ phase, attempts }) => [phase, attempts]),
        [
          ['done', 1],
          ['done', 1],
        ],
        JSON.stringify(status),
      );
      await deployment.verified('e');
    } finally {
      await deployment.dispose();
      await proxy.close();
    }
  });

  test('a controller that is told to stop while nothing answers stops, and the next one goes on', async () => {
    const proxy = await faultProxy(rgw.endpoint);
    const { deployment } = await on(rgw, 'process', proxy.endpoint);
    try {
      const items = [{ id: 'a', ...blocks(script('echo x >> src/a.txt'), patch) }];
      await deployment.cli('orch', 'submit', spec(deployment, 'h', items), '--receipt-timeout', '0s');
      let hangs = false;
      // Once the run is under way.
      proxy.fault = async ({ path }) => {
        hangs ||= decodeURIComponent(path).includes('/runs/h/');
        return hangs ? await new Promise<never>(() => undefined) : undefined;
      };
      const first = deployment.serve();
      await poll(
        'requests hang',
        () => hangs,
        () => first.text,
      );
      await first.stop();
      assert.match(first.text, /stopped after 20 s with work under way/);
      proxy.fault = () => undefined;
      await deployment.settle();
      const status = await deployment.status('h');
      assert.deepEqual(
        status.items.map(({ phase, attempts }) => [phase, attempts]),
        [['done', 1]],
        JSON.stringify(status),
      );
      await deployment.verified('h');
    } finally {
      await deployment.dispose();
      await proxy.close();
    }
  });
});

async function keysOf(store: ObjectStore): Promise<string[]> {
  return (await store.list('')).objects.map(({ key }) => key);
}

describe('a controller on S3', { skip: rgw.skip ?? false }, () => {
  test('is killed while a task runs, and the next one adopts it', async () => {
    const { deployment, store } = await on(rgw, 'process');
    try {
      const go = join(deployment.dir, 'go');
      const items = [
        {
          id: 'long',
          ...blocks(script(`echo begun; while [ ! -e ${go} ]; do sleep 0.1; done; echo x >> src/a.txt`), patch),
        },
      ];
      await deployment.cli('orch', 'submit', spec(deployment, 'k', items), '--receipt-timeout', '0s');
      const first = deployment.serve();
      const prefix = attemptPrefix({ runId: 'k', itemId: 'long', attempt: 1 });
      await poll(
        'its log appears while it runs',
        async () => (await store.list(`${prefix}log/`)).objects.length > 0,
        () => first.text,
      );
      const before = JSON.parse((await store.get('controller/lease.json')).toString()) as Lease;
      first.child.kill('SIGKILL');
      await first.end();
      // The task ends while nobody listens: it waits for the way to the store to come back.
      writeFileSync(go, '');
      await deployment.settle();
      const status = await deployment.status('k');
      assert.equal(status.phase, 'succeeded', JSON.stringify(status));
      assert.equal(status.items[0]?.attempts, 1, 'the very same attempt');
      const after = JSON.parse((await store.get('controller/lease.json')).toString()) as Lease;
      assert.deepEqual([after.epoch, after.released], [before.epoch + 1, true]);
      await deployment.verified('k');
    } finally {
      await deployment.dispose();
    }
  });

  test('is the only one: another deployment on the same prefix is kept out', async () => {
    const { deployment, store } = await on(rgw, 'process');
    const other = new Deployment('process', deployment.storage);
    try {
      const first = deployment.serve();
      await first.logged('it serves', ({ msg }) => msg === 'serving');
      const stateless = other.serve();
      assert.equal((await stateless.end()).code, 4, stateless.text);
      assert.match(stateless.text, /whose run-state is not in .*state/);
      // Keys of its own: somebody means it.
      await other.cli('key', 'init', '--state', join(other.dir, 'state'));
      const second = other.serve();
      assert.equal((await second.end()).code, 4, second.text);
      assert.match(second.text, /another controller serves this storage/);
      await first.stop();
      const third = other.serve({ untilIdle: true });
      assert.equal((await third.end()).code, 0, third.text);
      assert.ok((await store.head('controller/lease.json')) !== undefined);
    } finally {
      await other.dispose();
      await deployment.dispose();
    }
  });

  test('needs a place for its state, and refuses a store whose conditions do not hold', async () => {
    const { deployment } = await on(rgw, 'process');
    const lying = await on(dbstore, 'process');
    try {
      const stateless = await deployment.cli('orch', 'serve', '--compute', 'process');
      assert.equal(stateless.code, 2, stateless.stderr);
      assert.match(stateless.stderr, /needs --state DIR/);
      const refused = lying.deployment.serve();
      assert.notEqual((await refused.end()).code, 0);
      assert.match(refused.text, /cannot be used: it/);
    } finally {
      await lying.deployment.dispose();
      await deployment.dispose();
    }
  });
});
