/** What the Fargate provider decides: sizes, definitions and requests, what an end and what a refusal mean, and its pace. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { Task } from '@aws-sdk/client-ecs';
import type { FargateConfig } from '@pangolin/contracts/config';
import { isPangolinError } from '@pangolin/contracts/errors';
import { taskName } from '@pangolin/contracts/ids';
import { classOf, type Reason, type ReasonClass } from '@pangolin/contracts/reasons';
import { failureRefusal, refusalOf, type Refusal } from '@pangolin/controller/providers/ecs-refusals';
import { isOverdue, observationOf, reasonOf, type TaskEnd } from '@pangolin/controller/providers/fargate-end';
import { limitsOf, sizeFor } from '@pangolin/controller/providers/fargate-size';
import { capacitiesFor, definitionOf, enforcedSandbox, runInput } from '@pangolin/controller/providers/fargate-task';
import type { TaskStart } from '@pangolin/controller/providers/provider';
import { TokenBucket } from '@pangolin/controller/providers/token-bucket';
import { Definitions } from '../ecs/definitions.ts';

const MIB = 2 ** 20;
const IMAGE = `registry.example/worker@sha256:${'ab'.repeat(32)}`;
const config: FargateConfig = {
  region: 'eu-central-1',
  cluster: 'c',
  subnets: ['subnet-0123456789abcdef0'],
  securityGroups: ['sg-0123456789abcdef0'],
};
const unsupported = (field: string) => (error: unknown) => {
  assert.ok(isPangolinError(error, 'UNSUPPORTED'), String(error));
  assert.equal((error.details as { field: string }).field, field);
  return true;
};

function taskOf(more: Partial<TaskStart> = {}): TaskStart {
  const ref = { runId: 'r~1', itemId: 'i', attempt: 1 };
  return {
    name: taskName('d', ref),
    ref,
    inDir: '/in',
    outDir: '/out',
    manifestSha256: 'a'.repeat(64),
    sandbox: enforcedSandbox({}),
    graceMs: 10_000,
    ...more,
  };
}

describe('sizes', () => {
  const rows: [string, Parameters<typeof sizeFor>[0], [number, number]][] = [
    ['nothing asked for', {}, [1024, 2048]],
    ['CPU only', { cpuMillis: 250 }, [256, 2048]],
    ['memory only', { memoryBytes: 5 * 1024 * MIB }, [1024, 5120]],
    ['both, exactly', { cpuMillis: 250, memoryBytes: 512 * MIB }, [256, 512]],
    ['a byte more', { cpuMillis: 250, memoryBytes: 512 * MIB + 1 }, [256, 1024]],
    ['a thousandth more', { cpuMillis: 251, memoryBytes: 512 * MIB }, [512, 1024]],
    ['much memory takes more CPU', { cpuMillis: 250, memoryBytes: 20 * 1024 * MIB }, [4096, 20_480]],
    ['steps of 4 GiB', { cpuMillis: 8000, memoryBytes: 17 * 1024 * MIB }, [8192, 20_480]],
    ['the largest', { cpuMillis: 16_000, memoryBytes: 120 * 1024 * MIB }, [16_384, 122_880]],
  ];
  for (const [what, asked, [cpuUnits, memoryMiB]] of rows) {
    it(`round up: ${what}`, () => assert.deepEqual(sizeFor(asked), { cpuUnits, memoryMiB }));
  }

  it('refuse what does not fit', () => {
    assert.throws(() => sizeFor({ cpuMillis: 16_001 }), unsupported('cpuMillis'));
    assert.throws(() => sizeFor({ memoryBytes: 120 * 1024 * MIB + 1 }), unsupported('memoryBytes'));
  });

  it('are ones that the service has, hold what was asked, and round to themselves', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 16_000 }), fc.integer({ min: 1, max: 122_880 }), (cpuMillis, mib) => {
        const sandbox = enforcedSandbox({ cpuMillis, memoryBytes: mib * MIB });
        assert.ok(sandbox.cpuMillis! >= cpuMillis && sandbox.memoryBytes! >= mib * MIB);
        assert.ok(Number.isInteger(sandbox.cpuMillis));
        assert.deepEqual(enforcedSandbox(sandbox), sandbox);
        assert.deepEqual(limitsOf(sizeFor(sandbox)), {
          cpuMillis: sandbox.cpuMillis,
          memoryBytes: sandbox.memoryBytes,
        });
        // Throws for a pair that Fargate does not have.
        new Definitions().register(definitionOf(taskOf({ sandbox }), config, IMAGE));
      }),
    );
  });
});

describe('a task definition', () => {
  const family = (task: Partial<TaskStart>, more: Partial<FargateConfig> = {}, image = IMAGE): string | undefined =>
    definitionOf(taskOf(task), { ...config, ...more }, image).family;

  it('is the same for every task of an image and a size', () => {
    const other = { ref: { runId: 'x', itemId: 'y', attempt: 3 }, name: 'pangolin-x', manifestSha256: 'b'.repeat(64) };
    assert.equal(family({}), family(other));
    assert.match(family({})!, /^pangolin-abababababab-1024-2048-[0-9a-f]{8}$/);
  });

  it('has another family for everything else that it holds', () => {
    const all = [
      family({}),
      family({ sandbox: enforcedSandbox({ cpuMillis: 2000 }) }),
      family({ graceMs: 20_000 }),
      family({}, { logGroup: 'g' }),
      family({}, { architecture: 'ARM64' }),
      family({}, { ephemeralStorageGiB: 30 }),
      family({}, { executionRoleArn: 'arn:aws:iam::123456789012:role/x' }),
      family({}, {}, IMAGE.replaceAll('ab', 'cd')),
    ];
    assert.equal(new Set(all).size, all.length);
  });

  it('gives the container no role, a read-only root, and no capability that the runner does not need', () => {
    const definition = definitionOf(taskOf(), config, IMAGE);
    const [container] = definition.containerDefinitions!;
    assert.equal(definition.taskRoleArn, undefined);
    assert.equal(container!.readonlyRootFilesystem, true);
    const docker =
      'AUDIT_WRITE CHOWN DAC_OVERRIDE FOWNER FSETID KILL MKNOD NET_BIND_SERVICE NET_RAW SETFCAP SETGID SETPCAP SETUID SYS_CHROOT';
    const dropped = container!.linuxParameters!.capabilities!.drop!;
    assert.deepEqual(
      docker.split(' ').filter((name) => !dropped.includes(name)),
      ['CHOWN', 'DAC_OVERRIDE', 'KILL', 'SETGID', 'SETUID'],
    );
  });

  it('refuses a grace that Fargate cuts short, an image without digest, and network none', () => {
    assert.throws(() => definitionOf(taskOf({ graceMs: 120_001 }), config, IMAGE), unsupported('grace'));
    assert.throws(() => enforcedSandbox({ image: 'registry.example/worker:latest' }), unsupported('image'));
    assert.throws(() => enforcedSandbox({ network: 'none' }), unsupported('network'));
    assert.throws(() => enforcedSandbox({ network: { allow: ['a.example'] } }), unsupported('network'));
  });
});

describe('a RunTask request', () => {
  const context = { config, deployment: 'd', definitionArn: 'arn', capacity: 'on-demand' } as const;

  it('has a client token of the attempt and its capacity, and tags that find it again', () => {
    const input = runInput(taskOf(), context);
    assert.deepEqual(input, runInput(taskOf(), context));
    assert.match(input.clientToken!, /^[0-9a-f]{64}$/);
    assert.notEqual(input.clientToken, runInput(taskOf(), { ...context, capacity: 'spot' }).clientToken);
    assert.deepEqual(Object.fromEntries(input.tags!.map(({ key, value }) => [key, value])), {
      'pangolin:deployment': 'd',
      'pangolin:run': 'r_1',
      'pangolin:item': 'i',
      'pangolin:attempt': '1',
      'pangolin:task': taskOf().name,
    });
  });

  it('tries spare capacity first, and one kind less at each attempt', () => {
    assert.deepEqual(capacitiesFor(1), ['on-demand']);
    assert.deepEqual(capacitiesFor(1, ['spot', 'on-demand']), ['spot', 'on-demand']);
    assert.deepEqual(capacitiesFor(2, ['spot', 'on-demand']), ['on-demand']);
    assert.deepEqual(capacitiesFor(9, ['spot', 'on-demand']), ['on-demand']);
    assert.deepEqual(capacitiesFor(3, ['spot']), ['spot']);
  });
});

describe('the end of a task', () => {
  const end = (stopCode: string | undefined, text: string, more: Partial<TaskEnd> = {}): TaskEnd => ({
    stopCode,
    text,
    exitCode: undefined,
    ran: false,
    ...more,
  });
  const ran = { ran: true };
  // The stop codes of the API and the stopped reasons of the developer guide.
  const rows: [string, TaskEnd, Reason | undefined, ReasonClass | undefined][] = [
    [
      'out of memory',
      end(
        'EssentialContainerExited',
        'Essential container in task exited; OutOfMemoryError: Container killed due to memory usage',
        { exitCode: 137, ...ran },
      ),
      'OOMKilled',
      'item',
    ],
    [
      'spot interruption',
      end('SpotInterruption', 'Your Spot Task was interrupted.', { exitCode: 1, ...ran }),
      'SpotInterrupted',
      'infrastructure',
    ],
    [
      'spot interruption before it ran',
      end('SpotInterruption', 'Your Spot Task was interrupted.'),
      'SpotInterrupted',
      'infrastructure',
    ],
    [
      'spot error in the reason',
      end(undefined, 'SpotInterruptionError: Spot interruption'),
      'SpotInterrupted',
      'infrastructure',
    ],
    ['host retired', end('TerminationNotice', 'AWS Fargate is retiring the host', ran), 'Lost', 'infrastructure'],
    ['host unhealthy', end('InfrastructureHealth', 'unhealthy host', ran), 'Lost', 'infrastructure'],
    [
      'stopped by somebody',
      end('UserInitiated', 'Task stopped by user', { exitCode: 143, ...ran }),
      'Lost',
      'infrastructure',
    ],
    ['stopped by a service', end('ServiceSchedulerInitiated', 'Scaling activity', ran), 'Lost', 'infrastructure'],
    [
      'came to its end',
      end('EssentialContainerExited', 'Essential container in task exited', { exitCode: 0, ...ran }),
      undefined,
      undefined,
    ],
    [
      'failed by itself',
      end('EssentialContainerExited', 'Essential container in task exited', { exitCode: 1, ...ran }),
      undefined,
      undefined,
    ],
    [
      'no exit code',
      end('EssentialContainerExited', 'Essential container in task exited', ran),
      'Lost',
      'infrastructure',
    ],
    [
      'image missing',
      end('TaskFailedToStart', 'CannotPullContainerError: pull image manifest has been retried 5 time(s): not found'),
      'ImageUnavailable',
      'infrastructure',
    ],
    [
      'image of another architecture',
      end(
        'TaskFailedToStart',
        "CannotPullContainerError: image Manifest does not contain descriptor matching platform 'linux/arm64'",
      ),
      'ImageUnavailable',
      'infrastructure',
    ],
    [
      'registry not reached',
      end(
        'TaskFailedToStart',
        'ResourceInitializationError: unable to pull secrets or registry auth: unable to retrieve ecr registry auth',
      ),
      'ImageUnavailable',
      'infrastructure',
    ],
    [
      'no addresses after a successful RunTask',
      end(
        'TaskFailedToStart',
        'Unexpected EC2 error while attempting to Create Network Interface in subnet: InsufficientFreeAddressesInSubnet',
      ),
      'CapacityUnavailable',
      'infrastructure',
    ],
    [
      'interface never came',
      end('TaskFailedToStart', 'Timeout waiting for network interface provisioning to complete.'),
      'CapacityUnavailable',
      'infrastructure',
    ],
    [
      'storage never came',
      end('TaskFailedToStart', 'Timeout waiting for EphemeralStorage provisioning to complete.'),
      'CapacityUnavailable',
      'infrastructure',
    ],
    [
      'no machines',
      end(
        'TaskFailedToStart',
        'Capacity is unavailable at this time. Please try again later or in a different availability zone',
      ),
      'CapacityUnavailable',
      'infrastructure',
    ],
    [
      'logs not reached',
      end('TaskFailedToStart', 'ResourceInitializationError: failed to validate logger args'),
      'StartFailed',
      'infrastructure',
    ],
    [
      'runtime failed',
      end('TaskFailedToStart', 'CannotStartContainerError: OCI runtime create failed'),
      'StartFailed',
      'infrastructure',
    ],
    ['volume failed', end('TaskFailedToStart', 'CannotCreateVolumeError: ...'), 'StartFailed', 'infrastructure'],
    ['no code, but an exit code', end(undefined, '', { exitCode: 3, ...ran }), undefined, undefined],
    ['no code, and it ran', end(undefined, '', ran), 'Lost', 'infrastructure'],
    ['nothing known', end(undefined, ''), 'StartFailed', 'infrastructure'],
  ];
  for (const [what, given, reason, budget] of rows) {
    it(`${what}: ${reason ?? 'by its exit code'}`, () => {
      assert.equal(reasonOf(given), reason);
      assert.equal(reason && classOf(reason), budget);
    });
  }

  it('is read from a task without containers, and from a container that is dead before its task', () => {
    const bare: Task = {
      lastStatus: 'STOPPED',
      stopCode: 'TaskFailedToStart',
      stoppedReason: 'Capacity is unavailable at this time.',
      containers: [],
    };
    const { message, ...observation } = observationOf('n', bare);
    assert.deepEqual(observation, { name: 'n', state: 'ended', reason: 'CapacityUnavailable' });
    assert.match(message!, /^TaskFailedToStart: Capacity/);
    const dead: Task = {
      lastStatus: 'DEPROVISIONING',
      startedAt: new Date(),
      containers: [{ name: 'worker', lastStatus: 'STOPPED', exitCode: 4 }],
    };
    assert.deepEqual(observationOf('n', dead), { name: 'n', state: 'ended', exitCode: 4 });
  });

  it('has not come while the task is on its way up or runs', () => {
    for (const lastStatus of ['PROVISIONING', 'PENDING', 'ACTIVATING'])
      assert.equal(observationOf('n', { lastStatus }).state, 'starting');
    for (const lastStatus of ['RUNNING', 'DEACTIVATING', 'STOPPING'])
      assert.equal(observationOf('n', { lastStatus, startedAt: new Date() }).state, 'running');
  });

  it('is declared for a task that is provisioned for too long, and for no other', () => {
    const createdAt = new Date(1000);
    assert.ok(isOverdue({ lastStatus: 'PROVISIONING', createdAt }, 2001, 1000));
    assert.ok(!isOverdue({ lastStatus: 'PROVISIONING', createdAt }, 2000, 1000));
    assert.ok(!isOverdue({ lastStatus: 'RUNNING', createdAt, startedAt: createdAt }, 9000, 1000));
    assert.ok(!isOverdue({ lastStatus: 'PENDING', desiredStatus: 'STOPPED', createdAt }, 9000, 1000));
  });
});

describe('a refusal', () => {
  const rows: [string, string, number | undefined, Refusal][] = [
    ['ThrottlingException', 'Rate exceeded', 400, 'throttled'],
    ['InvalidParameterException', 'An error occurred: Rate exceeded.', 400, 'throttled'],
    ['ClientException', 'Too many concurrent attempts; too many requests', 400, 'throttled'],
    ['ConflictException', 'The provided clientToken is already in use', 400, 'conflict'],
    ['ClientException', 'Capacity is unavailable at this time. Please try again later', 400, 'capacity'],
    ['ClientException', "You've reached the limit on the number of vCPUs you can run concurrently", 400, 'capacity'],
    ['ClientException', 'the quota of tasks in the PROVISIONING state has been reached', 400, 'capacity'],
    ['ClientException', 'Unable to describe task definition.', 400, 'missing'],
    ['ClientException', 'TaskDefinition is inactive', 400, 'missing'],
    ['InvalidParameterException', 'The referenced task was not found.', 400, 'missing'],
    ['ServerException', 'Service Unavailable. Please try again later.', 500, 'transient'],
    ['TimeoutError', 'socket hang up', undefined, 'transient'],
    ['AccessDeniedException', 'User is not authorized to perform: ecs:RunTask', 400, 'refused'],
    ['ClusterNotFoundException', 'Cluster not found.', 400, 'refused'],
    ['InvalidParameterException', "The subnet ID 'subnet-1' does not exist", 400, 'refused'],
  ];
  for (const [name, message, status, refusal] of rows) {
    it(`${name}, ${message}: ${refusal}`, () => assert.equal(refusalOf({ name, message, status }), refusal));
  }

  const failures: [string, Refusal][] = [
    ['RESOURCE:ENI', 'capacity'],
    ['RESOURCE:CPU', 'capacity'],
    ['Capacity is unavailable at this time. Please try again later or in a different availability zone', 'capacity'],
    ['EMPTY CAPACITY PROVIDER', 'capacity'],
    ['MISSING', 'missing'],
    ['Rate exceeded', 'throttled'],
    ['ATTRIBUTE', 'refused'],
  ];
  for (const [reason, refusal] of failures) {
    it(`failures[] ${reason}: ${refusal}`, () => assert.equal(failureRefusal({ reason }), refusal));
  }
});

describe('a token bucket', () => {
  it('lets a burst through and then its rate, in order', () => {
    const bucket = new TokenBucket({ burst: 3, perSecond: 10 });
    assert.deepEqual(
      [1, 2, 3, 4, 5].map(() => bucket.take(1000)),
      [0, 0, 0, 100, 200],
    );
    assert.equal(bucket.take(1200), 100);
    assert.equal(bucket.take(9000), 0);
  });

  it('gives nothing for a while once the other side has none', () => {
    const bucket = new TokenBucket({ burst: 3, perSecond: 10 });
    bucket.drain(0, 500);
    assert.deepEqual([bucket.take(0), bucket.take(0)], [500, 600]);
  });

  it('never lets more through in any time than burst and rate allow', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 400 }), { minLength: 1, maxLength: 200 }), (gaps) => {
        const bucket = new TokenBucket({ burst: 5, perSecond: 10 });
        let now = 0;
        const at = gaps.map((gap) => (now += gap) + bucket.take(now));
        for (let n = 5; n < at.length; n++) assert.ok(at[n]! - at[n - 5]! >= 99.999);
      }),
    );
  });
});
