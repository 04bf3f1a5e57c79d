/** The Docker provider's decisions, without an engine. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { followEvents } from '@pangolin/controller/providers/docker-events';
import { isPullable, observationOf } from '@pangolin/controller/providers/docker-container';
import { createLimiter } from '@pangolin/controller/providers/limiter';
import { openProvider } from '@pangolin/controller/providers/open';
import { isPangolinError } from '@pangolin/contracts/errors';
import { poll } from '../poll.ts';

type State = Parameters<typeof observationOf>[1];
const state = (given: Partial<State>): State =>
  ({ Status: 'running', OOMKilled: false, ExitCode: 0, Error: '', ...given }) as State;

describe('what a container says about its task', () => {
  const rows: readonly [string, Partial<State>, object][] = [
    ['created and not started yet', { Status: 'created' }, { state: 'starting' }],
    [
      'created, and the engine could not start it',
      { Status: 'created', ExitCode: 127, Error: 'no such file' },
      { state: 'ended', exitCode: 127, reason: 'StartFailed', message: 'no such file' },
    ],
    ['running', {}, { state: 'running' }],
    ['paused', { Status: 'paused' }, { state: 'running' }],
    ['exited well', { Status: 'exited' }, { state: 'ended', exitCode: 0 }],
    [
      'killed by the kernel',
      { Status: 'exited', ExitCode: 137, OOMKilled: true },
      { state: 'ended', exitCode: 137, reason: 'OOMKilled' },
    ],
    [
      'a block was killed, the runner coped',
      { Status: 'exited', ExitCode: 0, OOMKilled: true },
      { state: 'ended', exitCode: 0 },
    ],
    ['being removed', { Status: 'removing', ExitCode: 1 }, { state: 'ended', exitCode: 1 }],
    ['could not be removed', { Status: 'dead', ExitCode: 1 }, { state: 'ended', exitCode: 1 }],
  ];
  for (const [title, given, expected] of rows) {
    it(title, () => assert.deepEqual(observationOf('t', state(given)), { name: 't', ...expected }));
  }
});

it('pulls only what is named with a registry or its owner', () => {
  const rows = {
    'pangolin-worker:dev': false,
    'ghcr.io/o/worker:1': true,
    'o/worker': true,
    [`sha256:${'a'.repeat(64)}`]: false,
  };
  for (const [image, expected] of Object.entries(rows)) assert.equal(isPullable(image), expected, image);
});

describe('the event stream', () => {
  const event = (name: string): string => JSON.stringify({ Type: 'container', Actor: { Attributes: { name } } }) + '\n';
  async function* chunks(...parts: (string | Uint8Array)[]): AsyncGenerator<string | Uint8Array> {
    yield* parts;
  }

  it('survives events cut anywhere, other lines and endless ones', async () => {
    const told: string[] = [];
    const bytes = Buffer.from(event('a-é') + 'not json\n{}\nnull\n' + event('b'));
    const cut = Array.from(bytes, (byte) => Uint8Array.of(byte));
    const stop = await followEvents(
      {
        connect: async (signal) => {
          if (told.length > 0) return await new Promise((_, reject) => signal.addEventListener('abort', reject));
          return chunks(...cut, 'x'.repeat(300_000), '\n', event('c'));
        },
        names: async () => [],
      },
      (name) => told.push(name),
    );
    await poll('all are told', () => told.length === 3);
    assert.deepEqual(told, ['a-é', 'b', 'c']);
    await stop();
  });

  it('connects again after every failure, and then tells of every task', async () => {
    let connections = 0;
    const told: string[] = [];
    const stop = await followEvents(
      {
        connect: async () => {
          connections++;
          if (connections === 2) throw new Error('away');
          return chunks();
        },
        names: async () => ['x', 'y'],
      },
      (name) => told.push(name),
    );
    await poll('it has told twice', () => told.length >= 4);
    assert.deepEqual(told.slice(0, 4), ['x', 'y', 'x', 'y']);
    await stop();
    const after = connections;
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(connections, after);
  });

  it('rejects when there is no first connection', async () => {
    const source = { connect: () => Promise.reject(new Error('away')), names: async () => [] };
    await assert.rejects(
      followEvents(source, () => undefined),
      /away/,
    );
  });
});

it('never has more calls under way than the limit, and starts waiting ones in order, failed or not', async () => {
  const limited = createLimiter(2);
  let now = 0;
  let most = 0;
  const order: number[] = [];
  const call = (id: number) => async (): Promise<void> => {
    order.push(id);
    most = Math.max(most, ++now);
    await new Promise((resolve) => setImmediate(resolve));
    now--;
    if (id % 2 === 1) throw new Error('odd');
  };
  const results = await Promise.allSettled([0, 1, 2, 3, 4, 5].map((id) => limited(call(id))));
  assert.equal(most, 2);
  assert.deepEqual(order, [0, 1, 2, 3, 4, 5]);
  assert.deepEqual(
    results.map(({ status }) => status === 'fulfilled'),
    [true, false, true, false, true, false],
  );
});

it('refuses a backend that this build does not have', async () => {
  const options = { stateDir: '/nonexistent', deployment: 'd', log: { warn: () => undefined } };
  await assert.rejects(openProvider({ ...options, compute: 'kubernetes' }), (error) =>
    isPangolinError(error, 'UNSUPPORTED'),
  );
});
