import assert from 'node:assert/strict';
import { test } from 'node:test';
import { memoryReader } from '@pangolin/verify/readers/memory';
import { verifyBundle } from '@pangolin/verify/verify';
import { forgeKeys, jcs, logOf, ORIGIN, renumber, sealOf, sha, trustOf, type Files, type Json } from './forge.ts';

const keys = forgeKeys();
const trust = trustOf(keys);

/** A sealed bundle of these events, between run.submitted and run.completed, of the items `a` ← `b`. */
function bundle(events: readonly Json[], completed: Json): Files {
  const pipeline = { blocks: [] };
  const digest = sha(jcs(pipeline));
  const item = (id: string, depends: string[]) => ({
    id,
    depends_on: depends,
    pipeline: { sha256: digest },
    timeoutMs: 1,
  });
  const plan = jcs({
    schema: 'admitted-run/1',
    id: 'run-1',
    pipelines: { [digest]: pipeline },
    items: [item('a', []), item('b', ['a'])],
  });
  const submitted = {
    kind: 'run.submitted',
    schema: 'run-log/1',
    logOrigin: ORIGIN,
    plan: { sha256: sha(plan) },
    nonce: '0'.repeat(32),
    engine: { name: 'e', version: '1' },
  };
  const counts = { done: 0, failed: 0, skipped: 0, cancelled: 0, denied: 0, ...completed.counts };
  const all = [submitted, ...events, { ...completed, kind: 'run.completed', counts }];
  const log = logOf(renumber(all.map((event) => ({ runId: 'run-1', actor: 'service:controller', ...event }))));
  return new Map([
    ['events.jsonl', log],
    ['seal.sigstore.json', sealOf(keys, log)],
    [`blobs/${sha(plan)}`, plan],
  ]);
}

const fired = (itemId: string, attempt = 1): Json => ({
  kind: 'item.fired',
  itemId,
  attempt,
  dispatch: { sha256: sha(`${itemId} ${attempt}`) },
  inputs: {},
});
const reconciled = (itemId: string, status: string, reason: string, attempt = 1): Json => ({
  kind: 'item.reconciled',
  itemId,
  attempt,
  status,
  reason,
  outputs: {},
});
const retried = (itemId: string, reason: string, attempt = 1): Json => ({
  kind: 'item.retried',
  itemId,
  attempt,
  reason,
});
const skipped = (itemId: string, reason: string, attempt = 0): Json => ({
  kind: 'item.skipped',
  itemId,
  attempt,
  reason,
});
const cancelled: Json = { kind: 'run.cancelled', reason: 'enough' };

const stories: readonly [string, Json[], Json][] = [
  [
    'everything succeeds',
    [fired('a'), reconciled('a', 'done', 'Succeeded'), fired('b'), reconciled('b', 'done', 'Succeeded')],
    { status: 'succeeded', counts: { done: 2 } },
  ],
  [
    'an item succeeds at its third attempt',
    [
      fired('a'),
      reconciled('a', 'failed', 'Lost'),
      retried('a', 'Lost'),
      fired('a', 2),
      reconciled('a', 'failed', 'ExitNonZero', 2),
      retried('a', 'ExitNonZero', 2),
      fired('a', 3),
      reconciled('a', 'done', 'Succeeded', 3),
      fired('b'),
      reconciled('b', 'done', 'Succeeded'),
    ],
    { status: 'succeeded', counts: { done: 2 } },
  ],
  [
    'a failure skips what is behind it',
    [fired('a'), reconciled('a', 'failed', 'OOMKilled'), skipped('b', 'DependencyFailed')],
    { status: 'failed', counts: { failed: 1, skipped: 1 } },
  ],
  [
    'a denial skips what is behind it',
    [{ kind: 'item.denied', itemId: 'a', attempt: 0, reason: 'SandboxUnsupported' }, skipped('b', 'DependencyFailed')],
    { status: 'failed', counts: { denied: 1, skipped: 1 } },
  ],
  [
    'the run is cancelled while an item runs',
    [fired('a'), cancelled, skipped('b', 'Cancelled'), reconciled('a', 'cancelled', 'Cancelled')],
    { status: 'cancelled', counts: { cancelled: 2 } },
  ],
  [
    'the run is cancelled and the running item succeeds all the same',
    [fired('a'), cancelled, skipped('b', 'Cancelled'), reconciled('a', 'done', 'Succeeded')],
    { status: 'cancelled', counts: { cancelled: 1, done: 1 } },
  ],
  [
    'one item is cancelled while it waits for its retry',
    [
      fired('a'),
      reconciled('a', 'failed', 'Lost'),
      retried('a', 'Lost'),
      skipped('a', 'Cancelled', 1),
      skipped('b', 'DependencyFailed'),
    ],
    { status: 'failed', counts: { cancelled: 1, skipped: 1 } },
  ],
];

for (const [name, events, completed] of stories) {
  test(`a log verifies in which ${name}`, async () => {
    const report = await verifyBundle(memoryReader(bundle(events, completed)), trust);
    assert.equal(report.verdict, 'verified', JSON.stringify(report.checks, null, 1));
    assert.equal(report.closure.status, 'n/a', 'zero edges are no pass');
  });
}

const impossible: readonly [string, Json[], Json, RegExp][] = [
  [
    'a dependent fires after its dependency failed',
    [fired('a'), reconciled('a', 'failed', 'Lost'), fired('b'), reconciled('b', 'done', 'Succeeded')],
    { status: 'failed', counts: { failed: 1, done: 1 } },
    /depends on "a"/,
  ],
  [
    'an attempt is never reconciled',
    [fired('a'), skipped('b', 'DependencyFailed')],
    { status: 'failed', counts: { skipped: 1 } },
    /no dependency of "b" had failed/,
  ],
  [
    'a failed item is skipped besides',
    [fired('a'), reconciled('a', 'failed', 'Lost'), skipped('a', 'Cancelled', 1), skipped('b', 'DependencyFailed')],
    { status: 'failed', counts: { cancelled: 1, skipped: 1 } },
    /is failed already/,
  ],
  [
    'a retry is never fired',
    [fired('a'), reconciled('a', 'failed', 'Lost'), retried('a', 'Lost'), skipped('b', 'Cancelled')],
    { status: 'failed', counts: { cancelled: 1 } },
    /"a" is still waiting/,
  ],
  [
    'an item fires again without a retry',
    [
      fired('a'),
      reconciled('a', 'failed', 'Lost'),
      fired('a', 2),
      reconciled('a', 'done', 'Succeeded', 2),
      fired('b'),
      reconciled('b', 'done', 'Succeeded'),
    ],
    { status: 'succeeded', counts: { done: 2 } },
    /is failed and may not be fired/,
  ],
  [
    'an item fires again after it was skipped',
    [
      skipped('a', 'Cancelled'),
      fired('a'),
      reconciled('a', 'done', 'Succeeded'),
      fired('b'),
      reconciled('b', 'done', 'Succeeded'),
    ],
    { status: 'succeeded', counts: { done: 2 } },
    /is cancelled and may not be fired/,
  ],
  [
    'an item is denied after it was done',
    [
      fired('a'),
      reconciled('a', 'done', 'Succeeded'),
      { kind: 'item.denied', itemId: 'a', attempt: 1, reason: 'SandboxUnsupported' },
      fired('b'),
      reconciled('b', 'done', 'Succeeded'),
    ],
    { status: 'failed', counts: { done: 1, denied: 1 } },
    /is done already/,
  ],
  [
    'the run is cancelled twice',
    [cancelled, cancelled, skipped('b', 'Cancelled'), skipped('a', 'Cancelled')],
    { status: 'cancelled', counts: { cancelled: 2 } },
    /there twice/,
  ],
  ['the run succeeds without its items', [], { status: 'succeeded', counts: {} }, /"a" has no outcome/],
];

for (const [name, events, completed, why] of impossible) {
  test(`a log is refused in which ${name}`, async () => {
    const report = await verifyBundle(memoryReader(bundle(events, completed)), trust);
    assert.equal(report.failure, 'events');
    assert.match(report.checks.events.detail, why);
  });
}
