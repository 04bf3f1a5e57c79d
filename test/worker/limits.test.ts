/** Time, size and signals: everything ends, with the right reason, and with what existed. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Output } from '@pangolin/contracts/output';
import { Value } from 'typebox/value';
import { finished, isRoot, linesOf, prepare, run, script, start } from './harness.ts';
import { poll } from '../poll.ts';

test('an item out of time is stopped, skips the rest and keeps what it made', async () => {
  const { code, output } = await run({
    timeoutMs: 3000,
    graceMs: 300,
    blocks: [script(`echo o > outputs/o; trap '' TERM; while :; do sleep 0.1; done`), script('true')],
  });
  assert.equal(code, 1);
  assert.deepEqual([output.reason, output.partial], ['TimedOut', true]);
  assert.deepEqual(
    output.blocks.map(({ status, reason }) => [status, reason]),
    [
      ['failed', 'TimedOut'],
      ['skipped', undefined],
    ],
  );
  assert.deepEqual(Object.keys(output.products.outputs), ['o']);
});

test('a block out of its own time fails, and SIGTERM comes first', async () => {
  const { output, printed } = await run({
    blocks: [script(`trap 'echo cleaning up; exit 0' TERM; echo up; while :; do sleep 0.05; done`, { timeout: '4s' })],
  });
  assert.equal(output.reason, 'TimedOut');
  assert.equal(printed, 'up\ncleaning up');
  const verify = await run({
    blocks: [script('sleep 60', { lens: 'verify', timeout: '200ms' }), script('true')],
  });
  assert.deepEqual([verify.code, verify.output.blocks[0]?.reason], [0, 'TimedOut']);
});

test('silence for the idle timeout ends a block, output keeps it alive', async () => {
  const { output } = await run({
    // Far longer than a busy machine keeps a process waiting; the chatty block as a whole is longer still.
    idleTimeoutMs: 6000,
    blocks: [
      script('for i in $(seq 16); do echo $i; sleep 0.5; done', { id: 'chatty' }),
      script('sleep 60', { id: 'mute' }),
    ],
  });
  assert.deepEqual(
    output.blocks.map(({ status, reason }) => [status, reason]),
    [
      ['succeeded', undefined],
      ['failed', 'IdleTimedOut'],
    ],
  );
  assert.equal(output.reason, 'IdleTimedOut');
});

test('SIGTERM to the worker stops the block, salvages its work and seals Cancelled', async () => {
  const dirs = await prepare({
    files: { a: 'a\n' },
    // What is left of it after the block has to do for the capture on a busy machine.
    graceMs: 12_000,
    blocks: [
      script(`trap '' TERM; echo b >> a; echo o > outputs/o; echo up; while :; do sleep 0.05; done`),
      script('echo next'),
    ],
  });
  const { child, ended } = start(dirs);
  await poll('the block runs', () => linesOf(join(dirs.out, 'log', '000000.ndjson')).length > 0);
  child.kill('SIGTERM');
  const { code, output, patch } = finished(await ended);
  assert.equal(code, 1);
  assert.deepEqual([output.reason, output.partial, output.blocks[1]?.status], ['Cancelled', true, 'skipped']);
  assert.match(patch ?? '', /^\+b$/m);
  assert.deepEqual(Object.keys(output.products.outputs), ['o']);
  assert.ok(Value.Check(Output, output));
});

test('a flood is cut off at the limit of the log, and the worker stays small', async () => {
  const dirs = await prepare({
    timeoutMs: 10 * 60_000,
    blocks: [script('yes $(seq -s, 300) | head -c 500000000; echo; echo end')],
  });
  const { child, ended } = start(dirs);
  let peak = 0;
  const watch = setInterval(() => {
    try {
      const status = execFileSync('grep', ['VmHWM', `/proc/${child.pid}/status`], {
        stdio: ['ignore', 'pipe', 'ignore'],
      }).toString();
      peak = Math.max(peak, Number(/\d+/.exec(status)?.[0]));
    } catch {
      // It has ended.
    }
  }, 100);
  const result = await ended;
  clearInterval(watch);
  const { output } = finished(result);
  assert.equal(output.status, 'succeeded');
  const total = output.logs.reduce((sum, { size }) => sum + size, 0);
  assert.ok(total >= 256 * 2 ** 20 && total < 258 * 2 ** 20, `${total}`);
  assert.ok(output.logs.every(({ size }) => size <= 8 * 2 ** 20));
  const last = linesOf(join(dirs.out, output.logs.at(-1)!.file));
  assert.equal(last.filter(({ stream, line }) => stream === 'worker' && /log limit/.test(line)).length, 1);
  assert.ok(peak < 400 * 1024, `peak ${peak} kB`);
});

test('outputs beyond a limit are OutputTooLarge, and none of them is sealed', async () => {
  for (const command of [
    'cd outputs; seq 10001 | xargs touch',
    'mkdir -p outputs/$(seq -s/ 40); touch outputs/$(seq -s/ 40)/x',
    'truncate -s 11G outputs/sparse',
  ]) {
    const { output, dirs } = await run({ blocks: [script(command)] });
    assert.equal(output.reason, 'OutputTooLarge', command);
    assert.deepEqual(output.products.outputs, {});
    assert.throws(() => execFileSync('ls', [join(dirs.out, 'outputs')], { stdio: 'ignore' }));
  }
});

test('changed files beyond the limit of a patch are OutputTooLarge, and outputs are kept', async () => {
  const { output } = await run({ blocks: [script('truncate -s 2G sparse; echo o > outputs/o')] });
  assert.equal(output.reason, 'OutputTooLarge');
  assert.deepEqual(Object.keys(output.products.outputs), ['o']);
});

test('the reason of a failed block stays when the capture fails too', async () => {
  const { output } = await run({ blocks: [script('mkdir -p "git~1"; touch "git~1/x"; exit 5')] });
  assert.equal(output.reason, 'ExitNonZero');
  assert.match(output.message ?? '', /exited with 5; besides, git refuses the name git~1\/x/);
});

test(
  'a full disk is DiskFull, and is sealed',
  isRoot ? {} : { skip: 'needs root to mount a small disk' },
  async (t) => {
    const dirs = await prepare({ blocks: [script('head -c 30000000 /dev/zero > outputs/big')] });
    mkdirSync(join(dirs.base, 'disk'));
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=4m', 'tmpfs', join(dirs.base, 'disk')], { stdio: 'ignore' });
    } catch {
      assert.equal(process.env['CI'], undefined, 'cannot mount a small disk');
      t.skip('cannot mount a small disk');
      return;
    }
    try {
      const work = join(dirs.base, 'disk', 'work');
      const out = join(dirs.base, 'disk', 'out');
      mkdirSync(work);
      mkdirSync(out);
      const small = { ...dirs, work, out, env: { ...dirs.env, PANGOLIN_WORK: work, PANGOLIN_OUT: out } };
      const { code, output } = finished(await start(small).ended);
      assert.deepEqual([code, output.reason, output.blocks[0]?.reason], [1, 'DiskFull', 'DiskFull']);
    } finally {
      execFileSync('umount', ['-l', join(dirs.base, 'disk')]);
    }
  },
);
