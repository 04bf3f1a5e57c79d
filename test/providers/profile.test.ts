/** One profile: what is asked for is enforced as it was asked, or the item is refused by the name of the field. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { isPangolinError } from '@pangolin/contracts/errors';
import { readRun } from '@pangolin/contracts/read-run';
import { unmet } from '@pangolin/controller/providers/checks';
import { enforcedSandbox as onFargate } from '@pangolin/controller/providers/fargate-task';
import { createProcessProvider } from '@pangolin/controller/providers/process';
import { createDockerProvider, type DockerEngine } from '@pangolin/controller/providers/docker';
import { containerOptions } from '@pangolin/controller/providers/docker-container';
import type { ComputeProvider, SandboxRequest } from '@pangolin/controller/providers/provider';

const engine: DockerEngine = { runtimes: ['runc', 'runsc'], filtering: ['docker', 'runc'] };
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

const stateDir = mkdtempSync(join(tmpdir(), 'pangolin-profile-'));
after(() => rmSync(stateDir, { recursive: true }));
const plain = createProcessProvider({ stateDir, deployment: 'd' });

/** The field by whose name a backend refuses what is asked of it; undefined when it honours it. */
function refusal(enforce: ComputeProvider['enforce'], asked: SandboxRequest): string | undefined {
  try {
    return unmet(asked, enforce(asked));
  } catch (error) {
    assert.ok(isPangolinError(error, 'UNSUPPORTED'), String(error));
    return (error.details as { field: string }).field;
  }
}

/** Every field of a profile, and whether a plain process and a Fargate task can be held to it. */
const fields: readonly (readonly [asked: SandboxRequest, process: boolean, fargate: boolean])[] = [
  [{ network: 'open' }, true, true],
  [{ network: { allow: ['example.org'] } }, false, false],
  [{ rootfs: 'read-only' }, false, true],
  [{ rootfs: 'writable' }, false, false],
  [{ user: 'separate' }, false, true],
  [{ capabilities: 'none' }, false, false],
  [{ seccomp: 'default' }, false, false],
  [{ memoryBytes: 2 ** 30 }, false, true],
  [{ cpuMillis: 500 }, false, true],
  [{ pids: 100 }, false, false],
  [{ diskBytes: 2 ** 30 }, false, false],
  [{ runtime: 'runc' }, false, false],
];
for (const [asked, process, fargate] of fields) {
  const [field] = Object.keys(asked);
  test(`${JSON.stringify(asked)} is honoured, or refused by its name: processes, Fargate`, () => {
    assert.equal(
      refusal((request) => plain.enforce(request), asked),
      process ? undefined : field,
    );
    assert.equal(refusal(onFargate, asked), fargate ? undefined : field);
  });
}

test('a Fargate task is never promised to be without a network', () => {
  assert.equal(refusal(onFargate, { network: 'none' }), 'network');
});

test('docker refuses a runtime that its engine does not have, by name', () => {
  assert.throws(
    () => docker.enforce({ runtime: 'kata' }),
    (error) => isPangolinError(error, 'UNSUPPORTED') && /no runtime kata/.test(error.message),
  );
});

test('a filter that the engine does not have, or a runtime with its own kernel does not hold, is not promised', () => {
  assert.equal(unmet({ seccomp: 'default' }, docker.enforce({ seccomp: 'default', runtime: 'runsc' })), 'seccomp');
  assert.equal(docker.enforce({ runtime: 'runc' }).seccomp, 'default');
  const bare = createDockerProvider({ deployment: 'd', image: 'i', engine: { runtimes: [], filtering: [] } });
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
