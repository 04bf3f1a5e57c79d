import assert from 'node:assert/strict';
import { test } from 'node:test';
import { memoryReader } from '@pangolin/verify/readers/memory';
import { dispatchProblem, type AttemptView, type DispatchStatement } from '@pangolin/verify/statements';
import { verifyBundle } from '@pangolin/verify/verify';
import { forgeKeys, jcs, logOf, ORIGIN, renumber, sealOf, sha, trustOf, type Files, type Json } from './forge.ts';

const keys = forgeKeys();
const trust = trustOf(keys);

const pipeline = { blocks: [] };
const pipelines = { [sha(jcs(pipeline))]: pipeline };

function item(id: string, depends: string[] = [], more: Json = {}): Json {
  return { id, depends_on: depends, pipeline: { sha256: sha(jcs(pipeline)) }, timeoutMs: 1, ...more };
}

/** A sealed bundle of these events, between run.submitted and run.completed. */
function bundle(
  events: readonly Json[],
  completed: Json,
  plan: Json = { items: [item('a'), item('b', ['a'])] },
): Files {
  const planned = jcs({ schema: 'admitted-run/1', id: 'run-1', queue: 'default', pipelines, ...plan });
  const submitted = {
    kind: 'run.submitted',
    schema: 'run-log/1',
    logOrigin: ORIGIN,
    plan: { sha256: sha(planned) },
    nonce: '0'.repeat(32),
    engine: { name: 'e', version: '1' },
  };
  const counts = { done: 0, failed: 0, skipped: 0, cancelled: 0, denied: 0, ...completed.counts };
  const all = [submitted, ...events, { ...completed, kind: 'run.completed', counts }];
  const log = logOf(renumber(all.map((event) => ({ runId: 'run-1', actor: 'service:controller', ...event }))));
  return new Map([
    ['events.jsonl', log],
    ['seal.sigstore.json', sealOf(keys, log)],
    [`blobs/${sha(planned)}`, planned],
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
const cancelled: Json = { kind: 'run.cancelled', reason: 'Cancelled', comment: 'enough' };
const timedOut: Json = { kind: 'run.cancelled', reason: 'RunTimedOut' };

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
    /no dependency of "b" had ended otherwise/,
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

/* ---- conditions, alternatives, approvals, growth ---- */

const ended = (itemId: string, status = 'done', reason = 'Succeeded'): Json[] => [
  fired(itemId),
  reconciled(itemId, status, reason),
];
/** Done, with a patch whose digest follows from the item's name. */
const produced = (itemId: string): Json[] => [
  fired(itemId),
  {
    ...reconciled(itemId, 'done', 'Succeeded'),
    outputs: { patch: { sha256: sha(`patch of ${itemId}`) } },
    result: { sha256: sha(`result of ${itemId}`) },
    provenance: { sha256: sha(`provenance of ${itemId}`) },
  },
];
const consuming = (itemId: string, from: string): Json => ({
  ...fired(itemId),
  inputs: { patch: { sha256: sha(`patch of ${from}`), from: { itemId: from, output: 'patch' } } },
});
const decided = (itemId: string, decision: string, reason: string): Json => ({
  kind: 'item.decided',
  itemId,
  decision,
  reason,
});
const asks = (itemId: string, attempt = 1): Json => ({
  ...reconciled(itemId, 'waiting', 'WaitingForInput', attempt),
  result: { sha256: sha(`question ${itemId} ${attempt}`) },
});
const told = (text: string): Json => ({ answer: { sha256: sha(text) } });
const answered = (itemId: string, text: string, more: Json = {}): Json => ({
  kind: 'item.answered',
  itemId,
  attempt: 1,
  reason: 'Answered',
  ...told(text),
  ...more,
});
const denied = (itemId: string, reason: string, attempt: number): Json => ({
  kind: 'item.denied',
  itemId,
  attempt,
  reason,
});
const patchOf = (from: string): Json => ({ from, select: { kind: 'patch' } });

const failing = { items: [item('a'), item('b', ['a'], { when: { a: 'failed' } })] };
const always = { items: [item('a'), item('b', ['a'], { when: { a: 'always' } })] };
const either = {
  items: [item('a'), item('b'), item('c', [], { needs: { patch: { oneOf: [patchOf('a'), patchOf('b')] } } })],
};
const leaving = { items: [item('a'), item('b'), item('z', [], { onExit: true })] };
const asking = { items: [item('a', [], { executor: 'approval' }), item('b', ['a'])] };

const one = { items: [item('a')] };
const patient = { items: [item('a', [], { needsInput: { onTimeout: 'continue' } })] };
const short = { ...leaving, timeoutMs: 1 };
const twoCancelled = { status: 'cancelled', counts: { cancelled: 2, done: 1 } };
const oneDone = { status: 'succeeded', counts: { done: 1 } };
const oneDenied = { status: 'failed', counts: { denied: 1 } };
const unanswered = answered('a', 'nothing', { reason: 'InputTimedOut' });

const extension = jcs({ schema: 'extension/1', pipelines, items: [item('c', ['a'])] });
const grown = (cause?: string): Json => ({
  kind: 'run.extended',
  ...(cause && { cause }),
  items: { sha256: sha(extension) },
});
const open = { items: [item('a'), item('b', ['a'])], openEnded: true };
const closed: Json = { kind: 'run.closed' };
const [paused, resumed]: Json[] = [{ kind: 'run.paused' }, { kind: 'run.resumed' }];
const [held, released]: Json[] = [paused, resumed].map((event) => ({ ...event, queue: 'default' }));
const both = [...ended('a'), ...ended('b')];
const three = { status: 'succeeded', counts: { done: 3 } };

const richer: readonly [string, Json, Json[], Json][] = [
  [
    'an item runs because another one failed',
    failing,
    [...ended('a', 'failed', 'Lost'), ...ended('b')],
    { status: 'failed', counts: { failed: 1, done: 1 } },
  ],
  [
    'an item is skipped because another one did not fail',
    failing,
    [...ended('a'), skipped('b', 'DependencyFailed')],
    { status: 'succeeded', counts: { done: 1, skipped: 1 } },
  ],
  [
    'an item runs whatever happened before',
    always,
    [skipped('a', 'Cancelled'), ...ended('b')],
    { status: 'failed', counts: { cancelled: 1, done: 1 } },
  ],
  [
    'the second of two sources serves',
    either,
    [...ended('a', 'failed', 'Lost'), ...produced('b'), consuming('c', 'b'), reconciled('c', 'done', 'Succeeded')],
    { status: 'failed', counts: { failed: 1, done: 2 } },
  ],
  [
    'neither of two sources serves',
    either,
    [...ended('a', 'failed', 'Lost'), ...ended('b', 'failed', 'Lost'), skipped('c', 'DependencyFailed')],
    { status: 'failed', counts: { failed: 2, skipped: 1 } },
  ],
  [
    'the exit item runs though the run was cancelled',
    leaving,
    [...ended('a'), cancelled, skipped('b', 'Cancelled'), ...ended('z')],
    { status: 'cancelled', counts: { done: 2, cancelled: 1 } },
  ],
  [
    'an item asks, is answered, fails and keeps its answer',
    one,
    [
      fired('a'),
      asks('a'),
      answered('a', 'blue'),
      { ...fired('a', 2), ...told('blue') },
      reconciled('a', 'failed', 'Lost', 2),
      retried('a', 'Lost', 2),
      { ...fired('a', 3), ...told('blue') },
      reconciled('a', 'done', 'Succeeded', 3),
    ],
    oneDone,
  ],
  [
    'the run times out, what runs is stopped for that, and the exit item runs',
    short,
    [fired('a'), timedOut, skipped('b', 'RunTimedOut'), reconciled('a', 'cancelled', 'RunTimedOut'), ...ended('z')],
    twoCancelled,
  ],
  [
    'the run times out after somebody cancelled what still runs',
    short,
    [fired('a'), timedOut, skipped('b', 'RunTimedOut'), reconciled('a', 'cancelled', 'Cancelled'), ...ended('z')],
    twoCancelled,
  ],
  [
    'the run times out while an item asks',
    { ...one, timeoutMs: 1 },
    [fired('a'), asks('a'), timedOut, skipped('a', 'RunTimedOut', 1)],
    { status: 'cancelled', counts: { cancelled: 1 } },
  ],
  ['nobody answers in time', one, [fired('a'), asks('a'), denied('a', 'InputTimedOut', 1)], oneDenied],
  [
    'nobody answers, and it goes on',
    patient,
    [
      fired('a'),
      asks('a'),
      unanswered,
      { ...fired('a', 2), ...told('nothing') },
      reconciled('a', 'done', 'Succeeded', 2),
    ],
    oneDone,
  ],
  [
    'an asking item is cancelled',
    one,
    [fired('a'), asks('a'), cancelled, skipped('a', 'Cancelled', 1)],
    { status: 'cancelled', counts: { cancelled: 1 } },
  ],
  [
    'somebody approves',
    asking,
    [decided('a', 'approved', 'Approved'), ...ended('b')],
    { status: 'succeeded', counts: { done: 2 } },
  ],
  [
    'nobody approves in time',
    asking,
    [decided('a', 'rejected', 'ApprovalTimedOut'), skipped('b', 'DependencyFailed')],
    { status: 'failed', counts: { failed: 1, skipped: 1 } },
  ],
  [
    'an end makes the run grow',
    { items: open.items },
    [...ended('a'), grown('a'), ...ended('b'), ...ended('c')],
    three,
  ],
  [
    'the run is paused while an item runs, resumed, and paused again',
    one,
    [fired('a'), paused!, reconciled('a', 'failed', 'Lost'), retried('a', 'Lost'), resumed!, fired('a', 2), paused!, reconciled('a', 'done', 'Succeeded', 2)], // prettier-ignore
    oneDone,
  ],
  [
    'a paused run is cancelled, and the exit item runs',
    leaving,
    [...ended('a'), paused!, cancelled, skipped('b', 'Cancelled'), ...ended('z')],
    { status: 'cancelled', counts: { done: 2, cancelled: 1 } },
  ],
  [
    'the run and its queue are paused, and each goes on by itself',
    one,
    [held!, paused!, resumed!, released!, paused!, held!, released!, resumed!, ...ended('a')],
    oneDone,
  ],
  ['an operator extends the run and closes it', open, [grown(), ...both, ...ended('c'), closed], three],
];

const withExtension = (files: Files): Files => new Map(files).set(`blobs/${sha(extension)}`, extension);

for (const [name, plan, events, completed] of richer) {
  test(`a log verifies in which ${name}`, async () => {
    const files = bundle(events, completed, plan);
    const extended = events.some(({ kind }) => kind === 'run.extended');
    const report = await verifyBundle(memoryReader(extended ? withExtension(files) : files), trust);
    assert.equal(report.verdict, 'verified', JSON.stringify(report.checks, null, 1));
    assert.deepEqual(report.findings, []);
  });
}

test('a withheld extension is a finding, and its items are followed as far as the log goes', async () => {
  const report = await verifyBundle(
    memoryReader(bundle([grown(), ...both, ...ended('c'), closed], three, open)),
    trust,
  );
  assert.deepEqual([report.verdict, report.findings.map(({ code }) => code)], ['verified', ['extension-withheld']]);
});

const poorer: readonly [string, Json, Json[], Json, RegExp][] = [
  ['an item is fired while the run is paused', one, [paused!, ...ended('a'), resumed!], oneDone, /the run was paused/],
  [
    'an item is fired while its queue is paused',
    one,
    [held!, ...ended('a'), released!],
    oneDone,
    /the queue was paused/,
  ],
  ['a queue is resumed for its run', one, [paused!, released!, ...ended('a')], oneDone, /changes nothing/],
  ['a run is resumed for its queue', one, [held!, resumed!, ...ended('a')], oneDone, /changes nothing/],
  [
    'an exit item is fired in a cancelled run whose queue is paused',
    leaving,
    [...ended('a'), held!, cancelled, skipped('b', 'Cancelled'), ...ended('z')],
    { status: 'cancelled', counts: { done: 2, cancelled: 1 } },
    /the queue was paused/,
  ],
  ['another queue is paused', one, [{ ...paused!, queue: 'other' }, ...ended('a')], oneDone, /of another queue/],
  ['a run is paused twice', one, [paused!, paused!, resumed!, ...ended('a')], oneDone, /changes nothing/],
  ['a run goes on that was not paused', one, [resumed!, ...ended('a')], oneDone, /changes nothing/],
  [
    'an item for failures runs after a success',
    failing,
    both,
    { status: 'succeeded', counts: { done: 2 } },
    /depends on "a"/,
  ],
  [
    'an item for every case runs before it is clear',
    always,
    [...ended('b'), ...ended('a')],
    { status: 'succeeded', counts: { done: 2 } },
    /depends on "a"/,
  ],
  [
    'an item is skipped while one of its sources may still serve',
    either,
    [...ended('a', 'failed', 'Lost'), skipped('c', 'DependencyFailed'), ...produced('b')],
    { status: 'failed', counts: { failed: 1, skipped: 1, done: 1 } },
    /no dependency of "c"/,
  ],
  [
    'an item runs though none of its sources serves',
    either,
    [...ended('a', 'failed', 'Lost'), ...ended('c'), ...ended('b')],
    { status: 'failed', counts: { failed: 1, done: 2 } },
    /depends on "a"/,
  ],
  [
    'the exit item runs before the end',
    leaving,
    [...ended('a'), ...ended('z'), ...ended('b')],
    three,
    /waits for the end of all others/,
  ],
  [
    'another item runs though the run was cancelled',
    leaving,
    [cancelled, ...ended('a'), skipped('b', 'Cancelled'), ...ended('z')],
    { status: 'cancelled', counts: { done: 2, cancelled: 1 } },
    /had been cancelled/,
  ],
  [
    'a run without a timeout times out',
    leaving,
    [timedOut, skipped('a', 'RunTimedOut'), skipped('b', 'RunTimedOut'), ...ended('z')],
    twoCancelled,
    /the run had not timed out/,
  ],
  [
    'a run times out before its time',
    { ...leaving, timeoutMs: 3_600_000 },
    [timedOut, skipped('a', 'RunTimedOut'), skipped('b', 'RunTimedOut'), ...ended('z')],
    twoCancelled,
    /the run had not timed out/,
  ],
  [
    'an item ends for a timeout of the run that was none',
    short,
    [cancelled, skipped('a', 'RunTimedOut'), skipped('b', 'Cancelled'), ...ended('z')],
    twoCancelled,
    /the run had not timed out/,
  ],
  [
    'an attempt ends for a timeout of the run that has not come yet',
    short,
    [...ended('a', 'cancelled', 'RunTimedOut'), timedOut, skipped('b', 'RunTimedOut'), ...ended('z')],
    twoCancelled,
    /the run had not timed out/,
  ],
  [
    'the exit item ends with the timeout of the run',
    short,
    [...ended('a'), ...ended('b'), timedOut, skipped('z', 'RunTimedOut')],
    { status: 'cancelled', counts: { done: 2, cancelled: 1 } },
    /runs whatever happened/,
  ],
  [
    'an attempt is cancelled for another timeout',
    short,
    [fired('a'), timedOut, skipped('b', 'RunTimedOut'), reconciled('a', 'failed', 'RunTimedOut'), ...ended('z')],
    { status: 'cancelled', counts: { failed: 1, cancelled: 1, done: 1 } },
    /contradict/,
  ],
  [
    'an item asks and is fired without an answer',
    one,
    [fired('a'), asks('a'), ...ended('a')],
    oneDone,
    /asking and may not/,
  ],
  [
    'an item gets another answer than was given',
    one,
    [
      fired('a'),
      asks('a'),
      answered('a', 'blue'),
      { ...fired('a', 2), ...told('red') },
      reconciled('a', 'done', 'Succeeded', 2),
    ],
    oneDone,
    /the answer that was given/,
  ],
  [
    'an item does not get the answer that was given',
    one,
    [fired('a'), asks('a'), answered('a', 'blue'), fired('a', 2), reconciled('a', 'done', 'Succeeded', 2)],
    oneDone,
    /the answer that was given/,
  ],
  [
    'an item gets an answer that nobody gave',
    one,
    [{ ...fired('a'), ...told('blue') }, reconciled('a', 'done', 'Succeeded')],
    oneDone,
    /the answer that was given/,
  ],
  ['an answer comes without a question', one, [answered('a', 'blue'), ...ended('a')], oneDone, /had not asked/],
  [
    'a question is answered twice',
    one,
    [fired('a'), asks('a'), answered('a', 'blue'), answered('a', 'red')],
    oneDone,
    /had not asked/,
  ],
  [
    'an item goes on unanswered that may not',
    one,
    [
      fired('a'),
      asks('a'),
      unanswered,
      { ...fired('a', 2), ...told('nothing') },
      reconciled('a', 'done', 'Succeeded', 2),
    ],
    oneDone,
    /may not go on without/,
  ],
  ['an item ends with its question open', one, [fired('a'), asks('a')], oneDone, /still asking/],
  [
    'an asking item is denied for something else',
    one,
    [fired('a'), asks('a'), denied('a', 'QueueTimedOut', 1)],
    oneDenied,
    /no end for QueueTimedOut/,
  ],
  ['nobody answers what was not asked', one, [denied('a', 'InputTimedOut', 0)], oneDenied, /no end for InputTimedOut/],
  [
    'a question is nowhere',
    one,
    [fired('a'), reconciled('a', 'waiting', 'WaitingForInput'), denied('a', 'InputTimedOut', 1)],
    oneDenied,
    /no result holds/,
  ],
  [
    'an item asks for another reason',
    one,
    [fired('a'), { ...asks('a'), reason: 'Lost' }, denied('a', 'InputTimedOut', 1)],
    oneDenied,
    /contradict/,
  ],
  ['an approval is fired', asking, both, { status: 'succeeded', counts: { done: 2 } }, /is an approval/],
  [
    'something else than an approval is decided',
    open,
    [decided('a', 'approved', 'Approved'), ...ended('b'), closed],
    { status: 'succeeded', counts: { done: 2 } },
    /is no approval/,
  ],
  [
    'an approval is decided twice',
    asking,
    [decided('a', 'rejected', 'Rejected'), decided('a', 'approved', 'Approved'), ...ended('b')],
    { status: 'succeeded', counts: { done: 2 } },
    /not open for a decision/,
  ],
  [
    'a decision has the reason of the other',
    asking,
    [decided('a', 'approved', 'Rejected'), ...ended('b')],
    { status: 'succeeded', counts: { done: 2 } },
    /contradict/,
  ],
  [
    'a run grows that was not open',
    { items: open.items },
    [grown(), ...both, ...ended('c')],
    three,
    /not open for extensions/,
  ],
  [
    'a run grows after it was closed',
    open,
    [closed, grown(), ...both, ...ended('c')],
    three,
    /not open for extensions/,
  ],
  [
    'a run grows because of an item that has not ended',
    open,
    [grown('a'), ...both, ...ended('c'), closed],
    three,
    /"a" had not ended/,
  ],
  [
    'a run grows by the same items twice',
    open,
    [grown(), grown(), ...both, ...ended('c'), closed],
    three,
    /that there is already/,
  ],
  [
    'an appended item has no outcome',
    open,
    [grown(), ...both, closed],
    { status: 'succeeded', counts: { done: 2 } },
    /"c" has no outcome/,
  ],
  [
    'a run is closed that was never open',
    { items: open.items },
    [...both, closed],
    { status: 'succeeded', counts: { done: 2 } },
    /never open/,
  ],
  ['an open run ends', open, both, { status: 'succeeded', counts: { done: 2 } }, /still open/],
];

for (const [name, plan, events, completed, why] of poorer) {
  test(`a log is refused in which ${name}`, async () => {
    const report = await verifyBundle(memoryReader(withExtension(bundle(events, completed, plan))), trust);
    assert.deepEqual(
      [report.failure, why.test(report.checks.events.detail)],
      ['events', true],
      report.checks.events.detail,
    );
  });
}

test('an input from the second choice is refused while the first had served', async () => {
  const events = [...produced('a'), ...produced('b'), consuming('c', 'b'), reconciled('c', 'done', 'Succeeded')];
  const report = await verifyBundle(memoryReader(bundle(events, three, either)), trust);
  assert.equal(report.failure, 'closure');
});

test('a dispatch with another answer than the log is refused', () => {
  const fired = { runId: 'r', itemId: 'a', attempt: 2, inputs: {}, ...told('blue') };
  const manifest = {
    runId: 'r',
    itemId: 'a',
    attempt: 2,
    inputs: {},
    pipeline: { sha256: sha(jcs(pipeline)), spec: pipeline },
  };
  const problem = (answer: Json): string | undefined => {
    const predicate = { ...manifest, ...answer };
    const subject = [
      { name: 'pipeline', digest: { sha256: manifest.pipeline.sha256 } },
      { name: 'answer', digest: { sha256: sha('blue') } },
    ];
    return dispatchProblem({ subject, predicate } as unknown as DispatchStatement, { fired } as unknown as AttemptView);
  };
  assert.deepEqual([told('blue'), told('red'), {}].map(problem), [
    undefined,
    'has another answer than the log',
    'has another answer than the log',
  ]);
});
