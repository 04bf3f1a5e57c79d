import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  backoff,
  decideRetry,
  INFRASTRUCTURE_RETRIES_MAX,
  PARKS_MAX,
  RATE_LIMIT_WAIT_MAX_MS,
} from '@pangolin/controller/plan/retry';
import { judge, type AttemptEnd } from '@pangolin/controller/plan/verdicts';

const base: AttemptEnd = {
  stop: undefined,
  task: 'ended',
  exitCode: 0,
  backend: undefined,
  booted: true,
  output: undefined,
  invalid: undefined,
};
const ok = { status: 'succeeded', partial: false } as const;

const table: readonly [string, Partial<AttemptEnd>, string, string][] = [
  ['a whole output is done', { output: ok }, 'done', 'Succeeded'],
  ['a whole output wins over a cancel that came too late', { output: ok, stop: 'Cancelled' }, 'done', 'Succeeded'],
  [
    'an output that does not hold is not accepted',
    { output: ok, invalid: { reason: 'ProductInvalid', message: 'x' } },
    'failed',
    'ProductInvalid',
  ],
  [
    'a cancelled attempt is cancelled',
    { stop: 'Cancelled', output: { status: 'failed', reason: 'Cancelled', partial: true } },
    'cancelled',
    'Cancelled',
  ],
  ['a cancelled attempt that vanished is cancelled', { stop: 'Cancelled', task: 'gone' }, 'cancelled', 'Cancelled'],
  [
    'a run that timed out cancels its attempts for that',
    { stop: 'RunTimedOut', exitCode: 143 },
    'cancelled',
    'RunTimedOut',
  ],
  ['our deadline names the reason', { stop: 'TimedOut', exitCode: 137 }, 'failed', 'TimedOut'],
  [
    'a stop from outside is a loss',
    { output: { status: 'failed', reason: 'Cancelled', partial: true } },
    'failed',
    'Lost',
  ],
  [
    'the backend knows why it stopped the task',
    {
      output: { status: 'failed', reason: 'Cancelled', partial: true },
      backend: { reason: 'SpotInterrupted', message: 'x' },
    },
    'failed',
    'SpotInterrupted',
  ],
  [
    'a failed gate is the item’s own',
    { output: { status: 'failed', reason: 'ExitNonZero', partial: false } },
    'failed',
    'ExitNonZero',
  ],
  [
    'a worker cannot claim an infrastructure reason',
    { output: { status: 'failed', reason: 'Lost', partial: false } },
    'failed',
    'WorkerFailed',
  ],
  [
    'a worker that saw its guard fail has the item ended for good',
    { output: { status: 'failed', reason: 'SandboxUnsupported', partial: true } },
    'failed',
    'SandboxUnsupported',
  ],
  [
    'the backend knows of memory',
    { backend: { reason: 'OOMKilled', message: '' }, exitCode: 137 },
    'failed',
    'OOMKilled',
  ],
  [
    'the backend has no image',
    { backend: { reason: 'ImageUnavailable', message: '' }, task: 'gone', booted: false },
    'failed',
    'ImageUnavailable',
  ],
  ['a refused manifest is final', { exitCode: 4 }, 'failed', 'ManifestRejected'],
  ['a second worker found the fence', { exitCode: 3 }, 'failed', 'Lost'],
  ['a removed container is a loss', { task: 'gone', exitCode: undefined }, 'failed', 'Lost'],
  ['a killed worker is a loss', { exitCode: 137 }, 'failed', 'Lost'],
  ['an unknown exit is a loss', { exitCode: undefined }, 'failed', 'Lost'],
  ['a worker that failed by itself is the item’s', { exitCode: 1 }, 'failed', 'WorkerFailed'],
];

for (const [name, end, status, reason] of table) {
  test(name, () => {
    const verdict = judge({ ...base, ...end });
    assert.deepEqual([verdict.status, verdict.reason], [status, reason]);
  });
}

const ref = { runId: 'r', itemId: 'i', attempt: 1 };
const policy = { maxAttempts: 3, initialMs: 100, factor: 2, maxMs: 1000, jitter: false };

const fresh = { charged: 0, infra: 0, parks: 0 };

test('the item’s failures are charged until its attempts are spent', () => {
  assert.deepEqual(decideRetry(ref, { reason: 'ExitNonZero' }, policy, fresh), {
    action: 'retry',
    parked: false,
    delayMs: 100,
    budget: { charged: 1, infra: 0, parks: 0 },
  });
  assert.equal(decideRetry(ref, { reason: 'ExitNonZero' }, policy, { ...fresh, charged: 2 }).action, 'fail');
});

test('losses of infrastructure have a budget of their own', () => {
  const decision = decideRetry(ref, { reason: 'Lost' }, { ...policy, maxAttempts: 1 }, fresh);
  assert.equal(decision.action, 'retry');
  assert.deepEqual(decision.budget, { charged: 0, infra: 1, parks: 0 });
  assert.equal(
    decideRetry(ref, { reason: 'Lost' }, policy, { ...fresh, infra: INFRASTRUCTURE_RETRIES_MAX }).action,
    'fail',
  );
});

test('decisions are never retried', () => {
  assert.equal(decideRetry(ref, { reason: 'ManifestRejected' }, policy, fresh).action, 'fail');
});

test('the first rule that matches decides: fail at once, park without a charge, retry what would not be', () => {
  const rules = [
    { exitCodes: [75], action: 'park' as const, parkMs: 60_000 },
    { reasons: ['TimedOut'], action: 'fail' as const },
    { reasons: ['ManifestRejected'], action: 'retry' as const },
  ];
  const parked = decideRetry(ref, { reason: 'ExitNonZero', exitCode: 75 }, { ...policy, maxAttempts: 1, rules }, fresh);
  assert.deepEqual(parked, {
    action: 'retry',
    parked: true,
    delayMs: 60_000,
    budget: { charged: 0, infra: 0, parks: 1 },
  });
  assert.equal(
    decideRetry(
      ref,
      { reason: 'ExitNonZero', exitCode: 75 },
      { ...policy, maxAttempts: 1, rules },
      { ...fresh, parks: PARKS_MAX },
    ).action,
    'fail',
  );
  assert.equal(decideRetry(ref, { reason: 'TimedOut' }, { ...policy, rules }, fresh).action, 'fail');
  assert.equal(decideRetry(ref, { reason: 'ManifestRejected' }, { ...policy, rules }, fresh).action, 'retry');
});

test('backoff grows, is capped, and its jitter is derived from the attempt', () => {
  assert.deepEqual(
    [1, 2, 3, 4, 5].map((n) => backoff(ref, policy, n)),
    [100, 200, 400, 800, 1000],
  );
  const jittered = backoff(ref, { ...policy, jitter: true }, 1);
  assert.ok(jittered >= 50 && jittered <= 100);
  assert.equal(backoff(ref, { ...policy, jitter: true }, 1), jittered);
});

test('a rate-limited model parks the item until it takes requests again, without a charge and within bounds', () => {
  const limited = (resetInMs?: number) =>
    decideRetry(ref, { reason: 'ModelRateLimited', resetInMs }, { ...policy, maxAttempts: 1 }, fresh);
  assert.deepEqual(limited(90_000), {
    action: 'retry',
    parked: true,
    delayMs: 90_000,
    budget: { ...fresh, parks: 1 },
  });
  const delays = [limited(), limited(-5), limited(1e15)].map((decision) => 'delayMs' in decision && decision.delayMs);
  assert.deepEqual(delays, [5 * 60_000, 1000, RATE_LIMIT_WAIT_MAX_MS]);
  const often = decideRetry(
    ref,
    { reason: 'ModelRateLimited' },
    { ...policy, maxAttempts: 1 },
    { ...fresh, parks: PARKS_MAX },
  );
  assert.equal(often.action, 'fail');
  const rules = [{ reasons: ['ModelRateLimited'], action: 'fail' as const }];
  assert.equal(decideRetry(ref, { reason: 'ModelRateLimited' }, { ...policy, rules }, fresh).action, 'fail');
});
