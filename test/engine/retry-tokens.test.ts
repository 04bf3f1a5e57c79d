/** What a monitor of the log sees of a store whose requests fail. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import pino from 'pino';
import { createMemoryStore } from '../fakes/memory-store.ts';
import { World } from './world.ts';

async function logOf(left: number): Promise<string[]> {
  const store = Object.assign(createMemoryStore(), { retryTokens: async () => ({ left, max: 500 }) });
  const world = new World(() => ({ kind: 'done' }), store);
  const lines: string[] = [];
  world.log = pino({ base: null, timestamp: false }, { write: (line: string) => void lines.push(line) });
  await world.open();
  let looks = 0;
  await world.reconciler.run(() => looks++ > 0);
  world.state.close();
  return lines;
}

test('the budget for retries is told while some of it is missing', async () => {
  assert.deepEqual(
    (await logOf(480)).map((line) => JSON.parse(line) as object),
    [{ level: 40, retryTokens: 480, retryTokensMax: 500, msg: 'requests to the store fail' }],
  );
  assert.deepEqual(await logOf(500), []);
});
