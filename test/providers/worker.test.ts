/** The real worker, started by the real providers with a real manifest. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { canonicalBytes } from '@pangolin/contracts/canonical';
import { sha256 } from '@pangolin/contracts/digest';
import { PAYLOAD_TYPE } from '@pangolin/contracts/dsse';
import { taskName } from '@pangolin/contracts/ids';
import type { Output } from '@pangolin/contracts/output';
import type { PipelineSpec } from '@pangolin/contracts/pipeline';
import { predicateTypes, statementBytes } from '@pangolin/contracts/statement';
import type { DispatchManifest, Task } from '@pangolin/contracts/task';
import { createDockerProvider } from '@pangolin/controller/providers/docker';
import { WORKER_IMAGE } from '@pangolin/controller/providers/open';
import { createProcessProvider } from '@pangolin/controller/providers/process';
import type { ComputeProvider } from '@pangolin/controller/providers/provider';
import { ended, written } from './conformance.ts';
import { dockerSkip } from './docker-here.ts';
import { type FolderTask } from './scripted.ts';
import { poll } from '../poll.ts';

const EDIT: PipelineSpec = {
  blocks: [
    { kind: 'script', command: 'echo "made by $(id -u)" >made.txt' },
    { kind: 'capture', what: 'patch' },
  ],
};
const WAIT: PipelineSpec = {
  blocks: [
    { kind: 'script', command: 'echo kept >made.txt; echo ready; sleep 60' },
    { kind: 'capture', what: 'patch' },
  ],
};

const backends: readonly [string, false | string, (stateDir: string, deployment: string) => ComputeProvider][] = [
  ['process', false, (stateDir, deployment) => createProcessProvider({ stateDir, deployment })],
  ['docker', await dockerSkip(), (_, deployment) => createDockerProvider({ deployment, image: WORKER_IMAGE })],
];

for (const [backend, skip, open] of backends) {
  describe(`the worker under the ${backend} provider`, { skip }, () => {
    const deployment = `test-${randomBytes(6).toString('hex')}`;
    let dir: string;
    let provider: ComputeProvider;
    before(() => {
      dir = mkdtempSync(join(tmpdir(), 'pangolin-test-'));
      provider = open(join(dir, 'state'), deployment);
    });
    after(async () => {
      if (!provider) return;
      await Promise.all((await provider.list()).map((name) => provider.remove(name)));
      rmSync(dir, { recursive: true, force: true });
    });

    function dispatch(itemId: string, spec: PipelineSpec): FolderTask {
      const ref = { runId: 'run', itemId, attempt: 1 };
      const name = taskName(deployment, ref);
      const sandbox = provider.enforce({});
      const payload = statementBytes<DispatchManifest>(predicateTypes.dispatch, [], {
        schema: 'dispatch/1',
        ...ref,
        engine: { name: 'test', version: '0' },
        provider: provider.name,
        task: name,
        pipeline: { sha256: sha256(canonicalBytes(spec)), spec },
        inputs: {},
        limits: { timeoutMs: 120_000, graceMs: 10_000 },
        sandbox: { asked: {}, enforced: sandbox },
      });
      const task: Task = {
        schema: 'task/1',
        manifest: {
          payload: payload.toString('base64'),
          payloadType: PAYLOAD_TYPE,
          signatures: [{ keyid: 'test', sig: 'AA==' }],
        },
        grants: { inputs: {} },
      };
      const inDir = join(dir, itemId, 'in');
      const outDir = join(dir, itemId, 'out');
      for (const made of [inDir, outDir]) mkdirSync(made, { recursive: true });
      writeFileSync(join(inDir, 'task.json'), JSON.stringify(task));
      return { name, ref, inDir, outDir, manifestSha256: sha256(payload), sandbox, graceMs: 10_000 };
    }
    const outputOf = (task: FolderTask): Output =>
      JSON.parse(readFileSync(join(task.outDir, 'output.json'), 'utf8')) as Output;

    it('runs the blocks, captures their patch and ends with 0', async () => {
      const task = dispatch('edit', EDIT);
      await provider.start(task);
      assert.deepEqual(await ended(provider, task.name), { name: task.name, state: 'ended', exitCode: 0 });
      assert.equal(outputOf(task).status, 'succeeded');
      const uid = task.sandbox.user === 'separate' ? 1000 : (process.getuid?.() ?? 0);
      assert.match(readFileSync(join(task.outDir, 'patch'), 'utf8'), new RegExp(`^\\+made by ${uid}$`, 'm'));
    });

    it('ends with 1 when a gate fails, and says so in its output', async () => {
      const task = dispatch('fail', { blocks: [{ kind: 'script', command: 'exit 9' }] });
      await provider.start(task);
      assert.equal((await ended(provider, task.name)).exitCode, 1);
      assert.equal(outputOf(task).status, 'failed');
    });

    it('refuses with 3 an attempt that has booted before', async () => {
      const task = dispatch('again', EDIT);
      writeFileSync(join(task.outDir, 'boot.json'), '{}');
      await provider.start(task);
      assert.equal((await ended(provider, task.name)).exitCode, 3);
      assert.ok(!existsSync(join(task.outDir, 'output.json')));
    });

    it('refuses with 4 another manifest than the one announced', async () => {
      const task = dispatch('forged', EDIT);
      await provider.start({ ...task, manifestSha256: 'b'.repeat(64) });
      assert.equal((await ended(provider, task.name)).exitCode, 4);
    });

    it('salvages what exists when it is stopped', async () => {
      const task = dispatch('stopped', WAIT);
      await provider.start(task);
      await written(task, 'boot.json');
      await poll(
        'the block has printed',
        () =>
          existsSync(join(task.outDir, 'log/000000.ndjson')) &&
          /"ready"/.test(readFileSync(join(task.outDir, 'log/000000.ndjson'), 'utf8')),
      );
      await provider.stop(task.name, 10_000);
      assert.equal((await ended(provider, task.name)).exitCode, 1);
      assert.equal(outputOf(task).partial, true);
      assert.match(readFileSync(join(task.outDir, 'patch'), 'utf8'), /^\+kept$/m);
    });
  });
}
