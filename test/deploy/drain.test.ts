/** Whether a controller lives, and that it stops in time; with the shipped command where it matters. */
import assert from 'node:assert/strict';
import { copyFileSync, existsSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { attemptFile, attemptPrefix, TRUST } from '@pangolin/contracts/layout';
import { ALIVE_SILENCE_MS, assertAlive, openAlive } from '@pangolin/controller/alive';
import { CLOSE_MS, DRAIN_MS, untilDrained } from '@pangolin/controller/drain';
import { blocks, Deployment, runOf, script } from '../spine/harness.ts';
import { poll } from '../poll.ts';

function tempDir(): string {
  return mkdtempSync(join(tmpdir(), 'pangolin-drain-'));
}

test('a loop that goes round is alive; one that is silent, dead or not there is not', () => {
  const dir = tempDir();
  try {
    let now = Date.parse('2026-01-01T00:00:00Z');
    const silent = { code: 'UNAVAILABLE', message: /the controller hangs/ };
    assert.throws(() => assertAlive(dir, now), { code: 'UNAVAILABLE', message: /no controller runs/ });
    const alive = openAlive(dir, () => now);
    alive.beat();
    now += ALIVE_SILENCE_MS;
    assert.equal(assertAlive(dir, now), ALIVE_SILENCE_MS);
    assert.throws(() => assertAlive(dir, now + 1), silent);
    alive.beat();
    assert.equal(assertAlive(dir, now), 0, 'it has come round again');
    // Many turns are one write.
    const before = readFileSync(join(dir, 'alive.json'), 'utf8');
    now += 1;
    alive.beat();
    assert.equal(readFileSync(join(dir, 'alive.json'), 'utf8'), before);
    // A clock that was set back is no reason to restart anything.
    assert.equal(assertAlive(dir, now - 3_600_000), 0);
    writeFileSync(join(dir, 'alive.json'), JSON.stringify({ pid: 2 ** 22 + 1, at: new Date(now).toISOString() }));
    assert.throws(() => assertAlive(dir, now), /has died: process 4194305 is gone/);
    for (const text of ['', '{}', '{"pid":"1","at":"now"}', `{"pid":${process.pid},"at":"never"}`]) {
      writeFileSync(join(dir, 'alive.json'), text);
      assert.throws(() => assertAlive(dir, now), { code: 'UNAVAILABLE' }, text);
    }
    alive.end();
    assert.throws(() => assertAlive(dir, now), /no controller runs/);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
});

test('what hangs is given up once the time is over, and nothing waits for it without a signal', async () => {
  assert.ok(DRAIN_MS + CLOSE_MS < 30_000);
  const stop = new AbortController();
  const never = new Promise<void>(() => undefined);
  const waiting = untilDrained(never, stop.signal, 10);
  stop.abort();
  assert.equal(await waiting, false);
  assert.equal(await untilDrained(Promise.resolve(), stop.signal, 10_000_000), true);
  assert.equal(await untilDrained(Promise.resolve(), undefined, 0), true);
  const failing = untilDrained(Promise.reject(new Error('no')), new AbortController().signal, 10);
  await assert.rejects(failing, /no/);
});

test('doctor --live follows a controller; a lost state directory is refused, and a new origin goes on', async () => {
  const deployment = new Deployment('process');
  const state = join(deployment.dir, 'elsewhere');
  const live = async (): Promise<number | null> => (await deployment.cli('doctor', '--live', '--state', state)).code;
  try {
    assert.equal(await live(), 6);
    const controller = deployment.serve({ env: { PANGOLIN_STATE: state } });
    await controller.logged('it serves', ({ msg }) => msg === 'serving');
    await poll('it is alive', async () => (await live()) === 0);
    const report = await deployment.json<{ alive: boolean }>('doctor', '--live', '--state', state);
    assert.equal(report.alive, true);
    deployment.drop('r.json', runOf('r', deployment.repo, [{ id: 'hold', ...blocks(script('sleep 300')) }]));
    // Its worker reads what it needs from the state directory until then.
    const boot = join(deployment.storage, attemptPrefix({ runId: 'r', itemId: 'hold', attempt: 1 }), attemptFile.boot);
    await poll('the task has booted', () => existsSync(boot));
    await controller.stop();
    assert.equal(await live(), 6);
    // As when the volume was not mounted: no seal is there yet that would show it, and the run would hang for ever.
    renameSync(state, `${state}-lost`);
    const refused = deployment.serve({ env: { PANGOLIN_STATE: state } });
    assert.equal((await refused.end()).code, 4, refused.text);
    assert.match(refused.text, /was served by pangolin-[0-9a-f]+\.local, whose run-state is not in/);
    const again = deployment.serve({ env: { PANGOLIN_STATE: state } });
    assert.equal((await again.end()).code, 4, 'also the second time');
    rmSync(state, { recursive: true });
    renameSync(`${state}-lost`, state);
    await deployment.cli('orch', 'cancel', 'r', '--receipt-timeout', '0s');
    await deployment.settle({ env: { PANGOLIN_STATE: state } });
    assert.equal((await deployment.status('r')).phase, 'cancelled');
    await deployment.verified('r');
    const trust = join(deployment.dir, 'trust-before.json');
    copyFileSync(join(deployment.storage, TRUST), trust);
    // Lost for good, keys and all: what the controller of that storage may not do any more, a new one may beside it.
    rmSync(state, { recursive: true });
    const begun = await deployment.cli('key', 'new-origin', '--state', state);
    assert.equal(begun.code, 0, begun.stderr);
    deployment.drop('next.json', runOf('next', deployment.repo, [{ id: 'a', ...blocks(script('true')) }]));
    await deployment.settle({ env: { PANGOLIN_STATE: state } });
    await deployment.verified('next');
    const old = await deployment.cli('verify', join(deployment.dir, 'r.bundle.json'), '--trust', trust);
    assert.equal(old.code, 0, old.stdout);
  } finally {
    await deployment.dispose();
  }
});
