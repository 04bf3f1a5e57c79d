/**
 * The main job through ECS: the shipped command, S3 storage on Ceph RGW, an ECS server whose tasks are containers of the
 * real worker image that hold nothing but grants; and then with faults.
 */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { FargateConfig } from '@pangolin/contracts/config';
import { attemptPrefix, eventsKey } from '@pangolin/contracts/layout';
import type { ObjectStore } from '@pangolin/storage/object-store';
import { s3Store } from '@pangolin/storage/s3-store';
import { WORKER_IMAGE } from '@pangolin/controller/providers/open';
import { AwsError } from '../aws/json-server.ts';
import { modelsSkip } from '../aws/service-model.ts';
import type { RunFault } from '../ecs/cluster.ts';
import { openEcsPlace, type EcsPlace } from '../ecs/place.ts';
import { openGateway, type Gateway } from '../ecs/storage-gateway.ts';
import { freshPlace, rgw } from '../storage/s3-servers.ts';
import { blocks, Deployment, dockerSkip, ends, outputs, patch, script } from './harness.ts';
import { poll } from '../poll.ts';

const NO_ADDRESS =
  'Unexpected EC2 error while attempting to Create Network Interface: InsufficientFreeAddressesInSubnet';
const skip = (await dockerSkip()) || modelsSkip() || (rgw.skip ?? false);

interface World {
  readonly deployment: Deployment;
  readonly store: ObjectStore;
  /** Flags of `serve`. */
  readonly args: readonly string[];
}

describe('a run through ECS', { skip }, () => {
  let ecs: EcsPlace;
  let gateway: Gateway;
  before(async () => {
    ecs = await openEcsPlace({ image: WORKER_IMAGE });
    gateway = await openGateway(ecs.gateway, rgw.endpoint);
  });
  after(async () => {
    await ecs?.close();
    await gateway?.close();
  });

  async function world(more: Partial<FargateConfig> = {}): Promise<World> {
    const place = await freshPlace(rgw, {
      bucket: 'pangolin-fargate',
      prefix: randomUUID(),
      endpoint: gateway.endpoint,
    });
    const deployment = new Deployment('fargate', `s3://${place.bucket}/${place.prefix}?endpoint=${gateway.endpoint}`);
    const config = join(deployment.dir, 'pangolin.yaml');
    writeFileSync(config, JSON.stringify({ compute: { fargate: { ...ecs.config, ...more } } }));
    return { deployment, store: s3Store(place), args: ['--config', config] };
  }

  async function submit({ deployment }: World, name: string, items: readonly object[]): Promise<void> {
    const file = join(deployment.dir, `${name}.json`);
    const spec = { workspace: { git: { url: deployment.repo } }, items };
    writeFileSync(file, JSON.stringify({ apiVersion: 'pangolin.dev/v1', kind: 'Run', metadata: { name }, spec }));
    const submitted = await deployment.cli('orch', 'submit', file, '--receipt-timeout', '0s');
    assert.equal(submitted.code, 0, submitted.stderr);
  }

  const itemOf = (
    input: { tags?: { key?: string | undefined; value?: string | undefined }[] | undefined },
    key: string,
  ): string => input.tags?.find((tag) => tag.key === `pangolin:${key}`)?.value ?? '';
  /** `item/attempt` of every task whose container was started, in order. */
  const ran = (run: string): string[] =>
    [...ecs.cluster.tasks.values()]
      .filter(({ input }) => itemOf(input, 'run') === run)
      .map(({ input }) => `${itemOf(input, 'item')}/${itemOf(input, 'attempt')}`)
      .sort();

  test('completes with products, logs and a bundle that verifies, from grants alone', async () => {
    const each = await world();
    const { deployment, store } = each;
    try {
      const edit = script(
        'echo four >> src/a.txt; echo result > outputs/r.txt; echo said; env; id -u; touch /tmp/mine',
      );
      await submit(each, 'whole', [
        { id: 'edit', ...blocks(edit, patch, outputs) },
        {
          id: 'use',
          needs: { p: { from: 'edit', select: { kind: 'patch' } } },
          ...blocks(script('git apply inputs/p; cat src/a.txt'), patch),
        },
      ]);
      await deployment.settle({ args: each.args });
      assert.deepEqual(ends(await deployment.status('whole')), { edit: 'done Succeeded 1', use: 'done Succeeded 1' });
      const logs = (await deployment.cli('orch', 'logs', 'whole/edit')).stdout;
      assert.match(logs, /said[\s\S]*1000/);
      // Neither what the platform puts into a task's environment nor what the worker is told reaches a block.
      assert.doesNotMatch(logs, /AWS_|ECS_|X-Amz|PANGOLIN_TASK/);
      assert.match((await deployment.cli('orch', 'logs', 'whole/use')).stdout, /four/);
      assert.match((await deployment.cli('orch', 'patch', 'whole/edit')).stdout, /^\+four$/m);
      assert.doesNotMatch(readFileSync(await deployment.verified('whole'), 'utf8'), /X-Amz|testsecret/);
      assert.deepEqual(ran('whole'), ['edit/1', 'use/1']);
      assert.equal(ecs.server.calls.filter(({ action }) => action === 'RegisterTaskDefinition').length, 1);
      await poll(
        'the containers are gone',
        async () => (await ecs.containers()).length === 0,
        () => '',
      );
      assert.deepEqual((await store.list('tasks/')).objects, []);
    } finally {
      await deployment.dispose();
    }
  });

  test('survives refusals, throttles, tasks that never start, that die, and spare capacity that goes', async () => {
    const each = await world({ capacity: ['spot', 'on-demand'] });
    const { deployment, store } = each;
    let disguised = 3;
    const faults: Record<string, () => RunFault | undefined> = {
      'throttled/1': () =>
        disguised-- > 0 ? { error: new AwsError('InvalidParameterException', 'Rate exceeded') } : undefined,
      'no-address/1': () => ({ stops: NO_ADDRESS }),
      'refused/1': () => ({ failure: { reason: 'RESOURCE:ENI' } }),
      'hangs/1': () => ({ provisioningSinceMs: 3_600_000 }),
    };
    ecs.cluster.runFault = (input) => faults[`${itemOf(input, 'item')}/${itemOf(input, 'attempt')}`]?.();
    try {
      const quick = ['throttled', 'no-address', 'refused', 'hangs'].map((id) => ({
        id,
        ...blocks(script(`echo ${id} >> src/a.txt`), patch),
      }));
      const waits = (id: string): object => ({
        id,
        // Only its first attempt is waited for.
        ...blocks(script(`echo ${id} >> src/a.txt; echo begun; [ "$PANGOLIN_ATTEMPT" -gt 1 ] || sleep 600`), patch),
      });
      await submit(each, 'faults', [...quick, waits('dies'), waits('spot')]);
      const controller = deployment.serve({ untilIdle: true, args: each.args });
      const booted = async (itemId: string): Promise<void> => {
        const key = `${attemptPrefix({ runId: 'faults', itemId, attempt: 1 })}log/`;
        await poll(
          `${itemId} has booted`,
          async () => (await store.list(key)).objects.length > 0,
          () => controller.text,
        );
      };
      const task = (id: string) =>
        [...ecs.cluster.tasks.values()].find(
          ({ input }) => itemOf(input, 'item') === id && itemOf(input, 'attempt') === '1',
        )!;
      await Promise.all([
        booted('dies').then(async () => await task('dies').kill()),
        booted('spot').then(async () => await task('spot').interruptSpot()),
      ]);
      assert.equal((await controller.end()).code, 0, controller.text);
      assert.deepEqual(ends(await deployment.status('faults')), {
        throttled: 'done Succeeded 1',
        'no-address': 'done Succeeded 2',
        refused: 'done Succeeded 2',
        hangs: 'done Succeeded 2',
        dies: 'done Succeeded 2',
        spot: 'done Succeeded 2',
      });
      assert.equal(task('spot').capacity, 'FARGATE_SPOT');
      assert.equal(task('spot').definition.containerDefinitions![0]!.stopTimeout, 120, 'the grace that was asked for');
      const last = [...ecs.cluster.tasks.values()].filter(({ input }) => itemOf(input, 'item') === 'spot').at(-1)!;
      assert.equal(last.capacity, 'FARGATE');
      const reasons = (await store.get(eventsKey('faults'))).toString();
      for (const reason of ['SpotInterrupted', 'CapacityUnavailable', 'Lost'])
        assert.match(reasons, new RegExp(reason));
      // What the interrupted attempt had done is there, and marked.
      const salvaged = JSON.parse(
        (await store.get(`${attemptPrefix({ runId: 'faults', itemId: 'spot', attempt: 1 })}output.json`)).toString(),
      ) as { partial: boolean; products: { patch?: object } };
      assert.equal(salvaged.partial, true);
      assert.ok(salvaged.products.patch);
      await deployment.verified('faults');
      assert.equal(new Set(ran('faults')).size, ran('faults').length, 'no attempt was started twice');
    } finally {
      ecs.cluster.runFault = undefined;
      await deployment.dispose();
    }
  });

  test('a controller that is killed between RunTask and its answer starts nothing twice', async () => {
    const each = await world();
    const { deployment } = each;
    try {
      await submit(
        each,
        'killed',
        ['a', 'b', 'c'].map((id) => ({ id, ...blocks(script(`echo ${id} >> src/a.txt`), patch) })),
      );
      const first = deployment.serve({ args: each.args });
      let asked = 0;
      // The second of three starts happens, and its controller never hears of it.
      ecs.server.fault = (action) => {
        if (action !== 'RunTask' || ++asked !== 2) return undefined;
        first.child.kill('SIGKILL');
        return 'unanswered';
      };
      await first.end();
      ecs.server.fault = undefined;
      assert.ok(asked >= 2);
      await deployment.settle({ args: each.args });
      assert.deepEqual(ends(await deployment.status('killed')), {
        a: 'done Succeeded 1',
        b: 'done Succeeded 1',
        c: 'done Succeeded 1',
      });
      assert.deepEqual(ran('killed'), ['a/1', 'b/1', 'c/1']);
      await deployment.verified('killed');
    } finally {
      ecs.server.fault = undefined;
      await deployment.dispose();
    }
  });
});
