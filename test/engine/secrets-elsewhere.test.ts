/** Secrets are handed over on the controller's own machine: a backend whose tasks run elsewhere gets no item that needs one. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { canonicalBytes } from '@pangolin/contracts/canonical';
import { sha256 } from '@pangolin/contracts/digest';
import type { Sandbox } from '@pangolin/contracts/task';
import { admittedItem, admittedRun, SimBackend, World } from './world.ts';

class Elsewhere extends SimBackend {
  readonly elsewhere = true;
  override enforce(): Sandbox {
    return { ...super.enforce(), user: 'separate' };
  }
}

test('an item that needs secrets is denied where tasks run elsewhere, before anything is sealed for it', async () => {
  const backend = new Elsewhere(() => ({ kind: 'done' }));
  const world = await new World(backend).open();
  const pipeline = {
    blocks: [{ kind: 'script' as const, command: 'true', secrets: { TOKEN: { ref: 'npm-token' } } }],
  };
  const digest = sha256(canonicalBytes(pipeline));
  const run = admittedRun('r', [admittedItem('a', { pipeline: { sha256: digest } }), admittedItem('b')]);
  try {
    await world.submit({ ...run, pipelines: { ...run.pipelines, [digest]: pipeline } });
    for (let n = 0; n < 5; n++) await world.pass();
    const items = world
      .items('r')
      .map(({ item_id, phase, reason, dispatch }) => [item_id, phase, reason, dispatch === null]);
    assert.deepEqual(items[0], ['a', 'denied', 'SandboxUnsupported', true]);
    assert.equal(backend.births.length, 1);
  } finally {
    world.close();
  }
});
