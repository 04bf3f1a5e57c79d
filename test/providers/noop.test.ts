/** The in-memory provider keeps the same promises as the others, where running nothing leaves any. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { createNoopProvider } from '@pangolin/controller/providers/noop';
import type { TaskStart } from '@pangolin/controller/providers/provider';
import { poll } from '../poll.ts';

const task = (name: string): TaskStart => ({
  name,
  ref: { runId: 'r', itemId: name, attempt: 1 },
  inDir: '/in',
  outDir: '/out',
  manifestSha256: 'a'.repeat(64),
  sandbox: createNoopProvider().enforce({}),
  graceMs: 0,
});

it('ends a task at once with exit code 0', async () => {
  const provider = createNoopProvider();
  await provider.start(task('a'));
  assert.deepEqual(await provider.observe(['b', 'a']), [
    { name: 'b', state: 'gone' },
    { name: 'a', state: 'ended', exitCode: 0 },
  ]);
  assert.deepEqual(await provider.list(), ['a']);
});

it('lets a hook decide the outcome, once for each task however often it is started', async () => {
  const runs: string[] = [];
  const provider = createNoopProvider({
    run: ({ name }) => {
      runs.push(name);
      return { exitCode: 137, reason: 'OOMKilled' };
    },
  });
  await Promise.all([provider.start(task('a')), provider.start(task('a'))]);
  await provider.start(task('a'));
  assert.deepEqual(runs, ['a']);
  assert.deepEqual(await provider.observe(['a']), [{ name: 'a', state: 'ended', exitCode: 137, reason: 'OOMKilled' }]);
});

it('keeps a task running until it is ended, stopped or removed', async () => {
  const provider = createNoopProvider({ run: () => 'running' });
  for (const name of ['a', 'b', 'c']) await provider.start(task(name));
  provider.end('a', { exitCode: 1 });
  provider.end('a', { exitCode: 2 });
  await provider.stop('b', 0);
  await provider.remove('c');
  await provider.remove('c');
  const states = (await provider.observe(['a', 'b', 'c'])).map(({ state, exitCode }) => [state, exitCode]);
  assert.deepEqual(states, [
    ['ended', 1],
    ['ended', 143],
    ['gone', undefined],
  ]);
});

it('fails a start whose hook throws, and leaves no task', async () => {
  const provider = createNoopProvider({ run: () => Promise.reject(new Error('no room')) });
  await assert.rejects(provider.start(task('a')), /no room/);
  assert.deepEqual(await provider.observe(['a']), [{ name: 'a', state: 'gone' }]);
});

it('tells of the end after the call, never inside it, until told to stop', async () => {
  const provider = createNoopProvider({ run: () => 'running' });
  const told: string[] = [];
  const unwatch = await provider.watch((name) => told.push(name));
  await provider.start(task('a'));
  await poll('the start is told', () => told.length === 1);
  provider.end('a', { exitCode: 0 });
  assert.equal(told.length, 1);
  await poll('the end is told', () => told.length === 2);
  await unwatch();
  await provider.remove('a');
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(told, ['a', 'a']);
});
