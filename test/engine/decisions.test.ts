import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DEFAULTS } from '@pangolin/contracts/run';
import { admittedItem, admittedRun, World } from './world.ts';

test('an approval and a question without a deadline of their own have one', async (t) => {
  const world = new World(() => ({ kind: 'asks' }));
  await world.open();
  t.after(() => world.close());
  const { pipeline: _, ...approval } = { ...admittedItem('ship'), executor: 'approval' as const };
  await world.submit(admittedRun('run', [approval, admittedItem('work')]));
  await world.pass();
  await world.pass();
  for (const task of world.backend.running) world.backend.finish(task);
  await world.pass();
  const reasons = (): string[] => world.items('run').map(({ phase, reason }) => `${phase} ${reason}`);
  assert.deepEqual(reasons(), ['waiting WaitingForApproval', 'waiting WaitingForInput']);
  world.clock += DEFAULTS.decisionTimeoutMs - 60_000;
  await world.pass();
  assert.deepEqual(reasons(), ['waiting WaitingForApproval', 'waiting WaitingForInput']);
  world.clock += 120_000;
  await world.pass();
  assert.deepEqual(reasons(), ['failed ApprovalTimedOut', 'denied InputTimedOut']);
  assert.equal(world.state.run('run')!.phase, 'failed');
});
