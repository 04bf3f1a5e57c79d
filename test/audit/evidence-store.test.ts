import assert from 'node:assert/strict';
import { test } from 'node:test';
import { canonical, parseCanonical } from '@pangolin/contracts/canonical';
import { append, emptyFrontier, rootOf } from '@pangolin/contracts/merkle';
import { predicateTypes, type Statement } from '@pangolin/contracts/statement';
import { signEnvelope } from '@pangolin/contracts/dsse';
import { dispatchStatement, provenanceStatement } from '@pangolin/controller/audit/statements';
import { EvidenceStore, type NewEvent } from '@pangolin/controller/store/evidence';
import { manifestOf, openWorld, START, type World } from './world.ts';

const retried = (at: number): NewEvent => ({
  at,
  actor: 'service:controller',
  body: { kind: 'item.retried', itemId: `item-${at}`, attempt: 1, reason: 'ExitNonZero' },
});
const completed: NewEvent = {
  at: START,
  actor: 'service:controller',
  body: {
    kind: 'run.completed',
    status: 'failed',
    counts: { done: 0, failed: 1, skipped: 0, cancelled: 0, denied: 0 },
  },
};

function transaction(world: World, body: () => void): void {
  world.db.transaction(body)();
}

async function linesOf(world: World, runId: string): Promise<string[]> {
  const chunks: Buffer[] = [];
  for await (const chunk of world.evidence.eventFile(runId)) chunks.push(chunk);
  return Buffer.concat(chunks).toString('utf8').split('\n').slice(0, -1);
}

test('lines are canonical, numbered without gaps across transactions, and the tree is over them', async () => {
  await using world = await openWorld();
  transaction(world, () => world.evidence.appendEvents('a', [retried(START), retried(START + 5)]));
  transaction(world, () => world.evidence.appendEvents('b', [retried(START)]));
  transaction(world, () => {
    world.evidence.appendEvents('a', [retried(START + 6)]);
    world.evidence.appendEvents('a', [retried(START + 7)]);
    world.evidence.appendEvents('a', []);
  });
  const lines = await linesOf(world, 'a');
  const events = lines.map((line) => parseCanonical(Buffer.from(line)) as { seq: number; runId: string; at: string });
  assert.deepEqual(
    events.map(({ seq, runId }) => [seq, runId]),
    [0, 1, 2, 3].map((seq) => [seq, 'a']),
  );
  assert.equal(
    lines[0],
    canonical({
      ...retried(START).body,
      actor: 'service:controller',
      at: '2026-11-23T12:00:00.000Z',
      runId: 'a',
      seq: 0,
    }),
  );
  const frontier = lines.reduce((tree, line) => append(tree, Buffer.from(line)), emptyFrontier);
  assert.deepEqual(world.evidence.runTree('a'), { size: 4, root: rootOf(frontier), closed: false });
  assert.equal((await linesOf(world, 'b')).length, 1);
});

test('time never goes back within a run', async () => {
  await using world = await openWorld();
  transaction(world, () => world.evidence.appendEvents('a', [retried(START + 10), retried(START)]));
  transaction(world, () => world.evidence.appendEvents('a', [retried(START + 5), retried(START + 20)]));
  const times = (await linesOf(world, 'a')).map((line) => Date.parse((JSON.parse(line) as { at: string }).at) - START);
  assert.deepEqual(times, [10, 10, 10, 20]);
});

test('what is rolled back leaves no trace and no gap', async () => {
  await using world = await openWorld();
  transaction(world, () => world.evidence.appendEvents('a', [retried(START)]));
  world.db.exec('BEGIN');
  world.evidence.appendEvents('a', [retried(START + 1)]);
  world.evidence.openSeal('a');
  world.db.exec('ROLLBACK');
  transaction(world, () => world.evidence.appendEvents('a', [retried(START + 2)]));
  assert.deepEqual(
    (await linesOf(world, 'a')).map((line) => (JSON.parse(line) as { seq: number }).seq),
    [0, 1],
  );
  assert.equal(world.evidence.sealOf('a'), undefined);
});

test('nothing can be written outside a transaction', async () => {
  await using world = await openWorld();
  const envelope = await signEnvelope(world.keys.attest, Buffer.from('{}'));
  assert.throws(() => world.evidence.appendEvents('a', [retried(START)]), { code: 'INTERNAL' });
  assert.throws(() => world.evidence.addStatement('a', envelope), { code: 'INTERNAL' });
  assert.throws(() => world.evidence.openSeal('a'), { code: 'INTERNAL' });
});

test('no event follows the completion of a run', async () => {
  await using world = await openWorld();
  assert.throws(() => transaction(world, () => world.evidence.appendEvents('a', [completed, retried(START)])), {
    code: 'CONFLICT',
  });
  transaction(world, () => world.evidence.appendEvents('a', [completed]));
  assert.throws(() => transaction(world, () => world.evidence.appendEvents('a', [retried(START)])), {
    code: 'CONFLICT',
  });
  assert.deepEqual([world.evidence.runTree('a').size, world.evidence.runTree('a').closed], [1, true]);
});

test('an event with a value that has no canonical form is refused', async () => {
  await using world = await openWorld();
  const event = { ...retried(START), actor: 'human:\ud800' };
  assert.throws(() => transaction(world, () => world.evidence.appendEvents('a', [event])), { code: 'INVALID' });
});

test('a seal moves on only from the stage where it is', async () => {
  await using world = await openWorld();
  transaction(world, () => world.evidence.openSeal('a'));
  world.evidence.advanceSeal('a', 'open', 'uploaded', { payload: Buffer.from('x') });
  assert.throws(() => world.evidence.advanceSeal('a', 'open', 'uploaded', { payload: Buffer.from('y') }), {
    code: 'CONFLICT',
  });
  transaction(world, () => world.evidence.openSeal('a'));
  assert.deepEqual(
    [world.evidence.sealOf('a')!.stage, world.evidence.sealOf('a')!.payload?.toString()],
    ['uploaded', 'x'],
  );
});

test('a dispatch is found again by its digest', async () => {
  await using world = await openWorld();
  const manifest = manifestOf('a', 'item', { key: { sha256: '2'.repeat(64), from: 'submission' } });
  const { payload, sha256 } = dispatchStatement(manifest);
  const envelope = await signEnvelope(world.keys.attest, payload);
  let number = 0;
  transaction(world, () => (number = world.evidence.addDispatch({ manifest, envelope, sha256 })));
  assert.deepEqual(world.evidence.dispatch(number, sha256).manifest, manifest);
  const later = new EvidenceStore(world.db);
  assert.deepEqual(later.dispatch(number, sha256), { manifest, envelope, sha256 });
  assert.throws(() => later.dispatch(number, '0'.repeat(64)), { code: 'NOT_FOUND' });
  assert.throws(() => later.dispatch(number + 1, '1'.repeat(64)), { code: 'NOT_FOUND' });
});

test('a dispatch statement is about everything that it brings together', () => {
  const workspace = { kind: 'git' as const, commit: 'c'.repeat(40), sha256: '3'.repeat(64), size: 1 };
  const manifest = {
    ...manifestOf('a', 'item', {
      z: { sha256: '4'.repeat(64), from: 'submission' as const },
      b: { sha256: '5'.repeat(64), from: { itemId: 'x', output: 'patch' } },
    }),
    workspace,
    params: { sha256: '6'.repeat(64) },
  };
  const statement = parseCanonical(dispatchStatement(manifest).payload) as Statement;
  assert.equal(statement.predicateType, predicateTypes.dispatch);
  assert.deepEqual(
    statement.subject.map(({ name, digest }) => [name, digest.sha256[0]]),
    [
      ['image', '1'],
      ['pipeline', manifest.pipeline.sha256[0]],
      ['workspace', '3'],
      ['params', '6'],
      ['input:b', '5'],
      ['input:z', '4'],
    ],
  );
  assert.deepEqual(statement.predicate, manifest);
});

test('provenance is about the products and names what they came from', () => {
  const manifest = manifestOf('run', 'item', { b: { sha256: '5'.repeat(64), from: { itemId: 'x', output: 'patch' } } });
  const { payload } = provenanceStatement({
    manifest,
    dispatch: '7'.repeat(64),
    logOrigin: 'log.example',
    outputs: { patch: { sha256: '8'.repeat(64) }, 'outputs/a.txt': { sha256: '9'.repeat(64) } },
    result: 'a'.repeat(64),
    params: { deep: [1.5] },
    startedOn: '2026-11-23T12:00:00.000Z',
    finishedOn: '2026-11-23T12:00:01.000Z',
  });
  const { subject, predicateType, predicate } = parseCanonical(payload) as Statement;
  assert.equal(predicateType, 'https://slsa.dev/provenance/v1');
  assert.deepEqual(
    subject.map(({ name }) => name),
    ['outputs/a.txt', 'patch'],
  );
  assert.deepEqual(predicate, {
    buildDefinition: {
      buildType: 'https://pangolin.dev/attestation/offload-item/v1',
      externalParameters: { runId: 'run', itemId: 'item', attempt: 1, params: { deep: [1.5] } },
      internalParameters: { provider: 'process', limits: manifest.limits, sandbox: manifest.sandbox },
      resolvedDependencies: [
        { name: 'dispatch', digest: { sha256: '7'.repeat(64) } },
        { name: 'image', digest: { sha256: '1'.repeat(64) } },
        { name: 'pipeline', digest: { sha256: manifest.pipeline.sha256 } },
        { name: 'input:b', digest: { sha256: '5'.repeat(64) } },
      ],
    },
    runDetails: {
      builder: { id: 'https://pangolin.dev/attestation/serve@v1', version: { pangolin: '0.1.0' } },
      metadata: {
        invocationId: 'log.example/run/item/1',
        startedOn: '2026-11-23T12:00:00.000Z',
        finishedOn: '2026-11-23T12:00:01.000Z',
      },
      byproducts: [{ name: 'output.json', digest: { sha256: 'a'.repeat(64) } }],
    },
  });
});

test('appending and signing rates (printed, not asserted)', async (t) => {
  await using world = await openWorld();
  const fired = (at: number): NewEvent => ({
    at: START + at,
    actor: 'service:controller',
    body: { kind: 'item.fired', itemId: `item-${at}`, attempt: 1, dispatch: { sha256: '0'.repeat(64) }, inputs: {} },
  });
  const count = 20_000;
  let began = performance.now();
  for (let at = 0; at < count; at += 500) {
    const events = Array.from({ length: 500 }, (_, index) => fired(at + index));
    transaction(world, () => world.evidence.appendEvents('a', events));
  }
  t.diagnostic(`append, batches of 500: ${Math.round((count / (performance.now() - began)) * 1000)} events/s`);
  began = performance.now();
  for (let at = 0; at < 2000; at++) {
    const { payload } = dispatchStatement(manifestOf('a', `item-${at}`));
    const envelope = await signEnvelope(world.keys.attest, payload);
    if (at % 500 === 0) world.db.exec('BEGIN');
    world.evidence.addStatement('a', envelope);
    if (at % 500 === 499) world.db.exec('COMMIT');
  }
  t.diagnostic(
    `build, sign and keep a dispatch: ${Math.round((2000 / (performance.now() - began)) * 1000)} statements/s`,
  );
});
