import assert from 'node:assert/strict';
import { test } from 'node:test';
import { memoryReader } from '@pangolin/verify/readers/memory';
import { renderReport } from '@pangolin/verify/render';
import type { Report } from '@pangolin/verify/report';
import { verifyBundle } from '@pangolin/verify/verify';
import { checkEgressLog } from '@pangolin/verify/egress-log';
import { eventsOf, forgeKeys, logOf, resealed, sha, trustOf, type Files } from './forge.ts';
import { isLower } from './harness.ts';
import { egressLog, tell } from './story.ts';

const keys = forgeKeys();
const trust = trustOf(keys);
const { files } = tell(keys);
const now = Date.parse('2026-04-01T00:00:00.000Z');
const verify = (bundle: Files, change: { trust?: typeof trust | undefined } = { trust }): Promise<Report> =>
  verifyBundle(memoryReader(bundle), change.trust, { now });
const without = (pattern: RegExp): Files => new Map([...files].filter(([name]) => !pattern.test(name)));

test('a whole bundle verifies, and the report says what that means', async () => {
  const report = await verify(files);
  assert.equal(report.verdict, 'verified');
  assert.deepEqual(
    { claim: report.claim, guarantee: report.guarantee, timeTier: report.timeTier, closure: report.closure },
    {
      claim: 'tamper-detecting',
      guarantee: 'detect',
      timeTier: 'asserted',
      closure: { status: 'ok', edges: 4, unconfirmed: 0 },
    },
  );
  assert.deepEqual(report.statements, { present: 7, withheld: 0, signed: 7 });
  // The workspace is in the plan and was not exported.
  assert.deepEqual(report.blobs, { present: 17, withheld: 1 });
  assert.deepEqual(report.run?.counts, { done: 2, failed: 1, skipped: 1, cancelled: 0, denied: 0 });
  const agents = report.facts.filter(({ observer }) => observer === 'agent').map(({ statement }) => statement);
  assert.match(
    agents.join('\n'),
    /turns, tokens and cost of 4 agent blocks are .* 8 turns, 120 tokens in, 0 out, 0\.042 US dollars in all\.[^]*4 intents and 4 signals/,
  );
  assert.ok(report.facts.some(({ statement }) => /^In 4 results .* found no way into the worker/.test(statement)));
  assert.deepEqual(new Set(report.facts.map(({ observer }) => observer)), new Set(['controller', 'worker', 'agent']));
  assert.deepEqual(
    report.findings.map(({ code }) => code),
    ['shared-user'],
  );
  assert.equal(report.checks.witnesses.result, 'n/a');
});

test('what the log says of policies is no more than it says of every attempt', async () => {
  const policy = Buffer.from('permit(principal, action, resource);');
  const authz = { verdict: 'allow', principal: 'human:alice', onBehalfOf: 'agent:planner', policy: { sha256: sha(policy) } }; // prettier-ignore
  const fired = (last: number): Files =>
    resealed(keys, files, (events) => {
      for (const event of events.slice(0, last)) if (event.kind === 'item.fired') event.authz = authz;
    });
  const withPolicy = (bundle: Files): Files => new Map(bundle).set(`blobs/${sha(policy)}`, policy);
  const reports = [files, withPolicy(fired(3)), withPolicy(fired(100)), fired(100)].map((each) => verify(each));
  const said = (await Promise.all(reports)).map(({ verdict, authzTier, blobs }) => [verdict, authzTier, blobs.withheld]); // prettier-ignore
  assert.deepEqual(said, [['verified', 'none', 1], ['verified', 'partial', 1], ['verified', 'evaluated', 1], ['verified', 'evaluated', 2]]); // prettier-ignore
  assert.match(renderReport(await verify(fired(100))), /^Authorization: evaluated\. Before every attempt a policy/m);
  assert.equal((await verify(withPolicy(files))).failure, 'blob');
});

test('a lean bundle verifies, with everything withheld counted', async () => {
  const report = await verify(without(/\//));
  assert.equal(report.verdict, 'verified');
  assert.deepEqual(report.blobs, { present: 0, withheld: 12 });
  assert.deepEqual(report.statements, { present: 0, withheld: 7, signed: 0 });
  assert.equal(report.checks.blobs.result, 'n/a');
  assert.equal(report.checks.attestations.result, 'n/a');
  assert.deepEqual(
    report.findings.map(({ code }) => code),
    ['plan-withheld', 'edges-unconfirmed'],
  );
  assert.equal(report.closure.unconfirmed, 2);
});

test('an egress log is held against the list of hosts of its manifest, where both are there', async () => {
  const whole = await verify(files);
  assert.deepEqual(whole.checks.egress, { result: true, detail: '2 connections in 1 egress log, each granted; 1 refused.' }); // prettier-ignore
  assert.ok(whole.facts.some(({ observer, statement }) => observer === 'controller' && /let 2 connections through/.test(statement))); // prettier-ignore
  const { egress } = eventsOf(files).find((each) => each.egress)!;
  const dispatch = eventsOf(files).find((each) => each.kind === 'item.fired' && each.itemId === 'apply')!.dispatch;
  for (const gone of [
    /^blobs\/./,
    new RegExp(egress.sha256),
    new RegExp(`^(dispatch|attestations)/${dispatch.sha256}`),
  ]) {
    const { verdict, checks } = await verify(without(gone));
    assert.deepEqual([verdict, checks.egress.result], ['verified', 'n/a']);
    assert.match(checks.egress.detail, /^It cannot be checked because 1 egress log of 1/);
  }
  const unrecorded = resealed(keys, without(new RegExp(egress.sha256)), (events) => {
    delete events.find((each) => each.egress).egress;
  });
  const report = await verify(unrecorded);
  assert.deepEqual([report.verdict, report.checks.egress.detail], ['verified', 'No task left an egress log.']);
  assert.ok(report.findings.some(({ code }) => code === 'egress-log-missing'));
});

test('a proxy that was killed leaves half a line, which is no fault', () => {
  const log = egressLog('run-1');
  const policy = { allow: ['*.example:443', 'registry.example:80'] };
  assert.deepEqual(checkEgressLog(Buffer.from(log.slice(0, -9)), policy), { allowed: 2, refused: 1 });
  assert.deepEqual(checkEgressLog(Buffer.alloc(0), policy), { allowed: 0, refused: 0 });
  assert.throws(() => checkEgressLog(Buffer.from(log), { allow: ['*.example:443'] }), /"registry.example:80", which is not granted/); // prettier-ignore
});

test('removing a blob lowers what the report says and nothing else', async () => {
  const base = await verify(files);
  for (const name of files.keys()) {
    if (!name.startsWith('blobs/')) continue;
    const bundle = new Map(files);
    bundle.delete(name);
    const report = await verify(bundle);
    assert.equal(report.verdict, 'verified', name);
    assert.ok(isLower(report, base), name);
  }
});

test('without a trust file nothing is verified, and nothing is called tampered with', async () => {
  const report = await verify(files, { trust: undefined });
  assert.equal(report.verdict, 'incomplete');
  assert.equal(report.failure, undefined);
  for (const id of [
    'signature',
    'seal',
    'checkpoint',
    'inclusion',
    'rebuild',
    'time',
    'attestations',
    'witnesses',
  ] as const) {
    assert.equal(report.checks[id].result, 'n/a', id);
    assert.match(report.checks[id].detail, /no trust file was given/, id);
  }
  assert.equal(report.checks.events.result, true);
  assert.equal(report.checks.closure.result, true);
  assert.equal(report.checks.blobs.result, true);
});

test('without a trust file a log that is not the sealed one still fails', async () => {
  const events = eventsOf(files);
  events[0].engine.version = '9';
  const report = await verify(new Map(files).set('events.jsonl', logOf(events)), { trust: undefined });
  assert.equal(report.failure, 'events');
});

test('a run that is not sealed is incomplete, whether it has ended or not', async () => {
  const ended = await verify(without(/seal/));
  assert.deepEqual([ended.verdict, ended.run?.status], ['incomplete', 'failed']);
  const running = without(/seal|attestations|provenance|dispatch/).set(
    'events.jsonl',
    logOf(eventsOf(files).slice(0, 4)),
  );
  const report = await verify(new Map([...running].filter(([name]) => !name.startsWith('blobs/'))));
  assert.equal(report.verdict, 'incomplete');
  assert.equal(report.run?.status, 'running');
  assert.match(report.checks.signature.detail, /not sealed/);
});

test('a failure names its class, and the checks behind it say that they were not made', async () => {
  const bundle = resealed(keys, files, (events) => void (events.at(-1).counts.done = 9));
  const report = await verify(bundle);
  assert.deepEqual([report.verdict, report.failure, report.checks.events.result], ['failed', 'events', false]);
  assert.equal(report.checks.closure.result, 'n/a');
  assert.match(report.checks.closure.detail, /not checked because of what is wrong before it \(events\)/);
});

test('what the seal was to carry and does not is a finding, never a failure', async () => {
  const bundle = resealed(keys, files, () => {}, {
    statement: ({ predicate }) => (predicate.expects = { timestamp: ['tsa-1'], witnesses: 2, anchor: ['bucket'] }),
  });
  const report = await verify(bundle);
  assert.equal(report.verdict, 'verified');
  const codes = new Set(report.findings.map(({ code }) => code));
  for (const code of ['timestamp-missing', 'witnesses-missing', 'anchor-not-checked'] as const) {
    assert.ok(codes.has(code), code);
  }
});

test('a run from the future is a finding', async () => {
  const report = await verifyBundle(memoryReader(files), trust, { now: 0 });
  assert.ok(report.findings.some(({ code }) => code === 'completed-in-the-future'));
});

const keyLives: readonly [string, (signer: Record<string, unknown>) => void, 'verified' | 'failed'][] = [
  [
    'valid then and not any more',
    (signer) => (signer.validFor = { start: '2026-01-01T00:00:00Z', end: '2026-03-20T00:00:00Z' }),
    'verified',
  ],
  ['not valid yet', (signer) => (signer.validFor = { start: '2026-03-02T00:00:00Z' }), 'failed'],
  [
    'not valid any more',
    (signer) => (signer.validFor = { start: '2026-01-01T00:00:00Z', end: '2026-02-01T00:00:00Z' }),
    'failed',
  ],
  ['revoked before', (signer) => (signer.revokedAt = '2026-02-01T00:00:00Z'), 'failed'],
  [
    'revoked after, with nobody to say that it was used before',
    (signer) => (signer.revokedAt = '2026-05-01T00:00:00Z'),
    'failed',
  ],
];

for (const [name, change, verdict] of keyLives) {
  for (const [index, failure] of [
    [0, 'time'],
    [1, 'attestation'],
  ] as const) {
    test(`a key that is ${name} ${verdict === 'failed' ? 'does not count' : 'counts'} (${failure})`, async () => {
      const report = await verify(files, { trust: trustOf(keys, (each) => change(each.signers[index])) });
      assert.deepEqual(
        [report.verdict, report.failure],
        verdict === 'failed' ? ['failed', failure] : ['verified', undefined],
      );
    });
  }
}

test('the checklist shows every check, and no control character of a bundle', async () => {
  const text = renderReport(await verify(files));
  assert.match(text, /^VERIFIED\./);
  assert.equal(text.match(/^[✓✗–] /gmu)?.length, 15);
  const evil = new Map(files).set('\u001b[2J\u202eevil', Buffer.from('x'));
  const failed = renderReport(await verify(evil));
  assert.match(failed, /^FAILED\./);
  assert.match(failed, /✗ The bundle is a closed set/);
  // eslint-disable-next-line no-control-regex -- that there is none is what is tested.
  assert.doesNotMatch(failed, /[\u0000-\u0009\u000b-\u001f\u202e]/);
});
