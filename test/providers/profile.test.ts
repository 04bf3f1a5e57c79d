/** One profile: what is asked for is enforced as it was asked, or the item is refused by the name of the field. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isPangolinError } from '@pangolin/contracts/errors';
import { readRun } from '@pangolin/contracts/read-run';
import { unmet } from '@pangolin/controller/providers/checks';
import { createDockerProvider, type DockerEngine } from '@pangolin/controller/providers/docker';
import { containerOptions } from '@pangolin/controller/providers/docker-container';
import type { SandboxRequest } from '@pangolin/controller/providers/provider';

const engine: DockerEngine = { runtimes: ['runc', 'runsc'], seccomp: true };
const docker = createDockerProvider({ deployment: 'd', image: 'i', engine });

const honoured: readonly SandboxRequest[] = [
  { rootfs: 'writable' },
  { rootfs: 'read-only', user: 'separate', capabilities: 'none', seccomp: 'default' },
  { pids: 100, diskBytes: 2 ** 20, runtime: 'runsc' },
  { network: { allow: ['example.org'] } },
];
for (const asked of honoured) {
  test(`docker honours ${JSON.stringify(asked)}`, () => assert.equal(unmet(asked, docker.enforce(asked)), undefined));
}

test('docker refuses a runtime that its engine does not have, by name', () => {
  assert.throws(
    () => docker.enforce({ runtime: 'kata' }),
    (error) => isPangolinError(error, 'UNSUPPORTED') && /no runtime kata/.test(error.message),
  );
});

test('a filter that the engine does not have is not promised', () => {
  const bare = createDockerProvider({ deployment: 'd', image: 'i', engine: { runtimes: [], seccomp: false } });
  assert.equal(unmet({ seccomp: 'default' }, bare.enforce({ seccomp: 'default' })), 'seccomp');
});

test('the container is made of the profile', () => {
  const sandbox = docker.enforce({ rootfs: 'writable', pids: 100, runtime: 'runsc' });
  const ref = { runId: 'r', itemId: 'i', attempt: 1 };
  const start = { name: 'n', ref, inDir: '/in', outDir: '/out', manifestSha256: 'm', sandbox, graceMs: 1000 };
  const { HostConfig } = containerOptions(start, 'd', 'i');
  assert.deepEqual([HostConfig?.ReadonlyRootfs, HostConfig?.PidsLimit, HostConfig?.Runtime], [false, 100, 'runsc']);
});

test('a run asks field by field, defaults first', () => {
  const pipeline = { blocks: [{ kind: 'script', command: 'true' }] };
  const spec = {
    id: 'r',
    defaults: { sandbox: { pids: 64, disk: '1Gi' } },
    items: [
      { id: 'a', pipeline, sandbox: { pids: 128 } },
      { id: 'b', pipeline, sandbox: { privileged: true } },
    ],
  };
  const read = readRun(Buffer.from(JSON.stringify(spec)), 'r.json');
  assert.ok(!read.ok);
  assert.match(read.problems[0]?.message ?? '', /privileged/);
  const good = readRun(Buffer.from(JSON.stringify({ ...spec, items: spec.items.slice(0, 1) })), 'r.json');
  assert.ok(good.ok);
  assert.deepEqual(good.run.items[0]?.sandbox, { pids: 128, diskBytes: 2 ** 30 });
});
