/** Reading runs: status, watch and logs. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { appendFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { attemptFile, attemptPrefix, eventsKey, receiptKey, specKey } from '@pangolin/contracts/layout';
import { openStore } from '@pangolin/storage/open';
import { awaitRun } from '../../cli/src/read/admitted.ts';
import { workOf } from '../../cli/src/read/work.ts';
import { renderRun } from '../../cli/src/render/run.ts';
import type { ItemStatus } from '@pangolin/contracts/status';
import { exampleStorage, pangolin, root, SEALED, StorageFolder } from './harness.ts';

const at = (storage: StorageFolder, ...args: string[]) => pangolin(['--storage', storage.dir, ...args]);

test('runs are listed newest first, whatever else lies below them', async () => {
  const storage = exampleStorage();
  for (let n = 1; n <= 1200; n += 1)
    storage.put(`${attemptPrefix({ runId: 'bad', itemId: 'broken', attempt: 1 })}outputs/${n}`, '');
  storage.put('runs/.stray/file', 'not a run');
  storage.put('runs/%ZZ/status.json', 'not a run either');
  const { code, stdout } = await at(storage, 'orch', 'status', '-o', 'json');
  assert.equal(code, 0);
  const { runs } = JSON.parse(stdout) as { runs: { run: string; phase: string; counts: unknown }[] };
  assert.deepEqual(
    runs.map(({ run }) => run),
    ['open', 'bad', 'good'],
  );
  assert.deepEqual(runs[1]?.counts, { failed: 1, skipped: 1, total: 2 });
  const limited = await at(storage, 'orch', 'status', '--limit', '1');
  assert.match(limited.stdout, /^open /m);
  assert.doesNotMatch(limited.stdout, /^good /m);
  assert.match(limited.stderr, /2 older runs are not shown/);
});

test('an empty storage has no runs, which is no error', async () => {
  const storage = new StorageFolder();
  assert.deepEqual(JSON.parse((await at(storage, 'orch', 'status', '-o', 'json')).stdout), { runs: [] });
  const { code, stdout, stderr } = await at(storage, 'orch', 'status');
  assert.deepEqual([code, stdout], [0, '']);
  assert.match(stderr, /^No runs in /);
});

test('a storage that is a file is named as one', async () => {
  const storage = new StorageFolder();
  storage.put('file', '');
  const { code, stdout } = await pangolin(['--storage', join(storage.dir, 'file'), 'doctor']);
  assert.equal(code, 6);
  assert.match(stdout, /^fail {2}storage +cannot open the storage folder .*\n +It is a file; name a folder\.$/m);
});

test('one run is shown with its items, and says what to do about those that did not succeed', async () => {
  const { stdout } = await at(exampleStorage(), 'orch', 'status', 'bad');
  assert.match(stdout, /^bad {2}failed {2}sealed$/m);
  assert.match(stdout, /^2 items: 1 failed, 1 skipped$/m);
  assert.match(stdout, /^broken +failed +ExitNonZero +2 +900ms +block 0 exited with 3$/m);
  assert.match(stdout, /^ExitNonZero: A gate block exited non-zero/m);
  assert.match(stdout, /^DependencyFailed: /m);
  assert.match(stdout, /^Next:\n {2}pangolin orch logs bad\/broken\n {2}pangolin orch retry bad /m);
});

test('one item is shown with what it used, reached, was given and says', async () => {
  const storage = new StorageFolder();
  const usage = {
    runtime: 'claude-code',
    model: 'm-1',
    turns: 3,
    inputTokens: 1200,
    outputTokens: 40,
    costUsd: '0.0123',
  };
  const output = {
    blocks: [
      { index: 0, kind: 'agent', status: 'succeeded', durationMs: 2000, usage },
      { index: 1, id: 'lint', kind: 'script', status: 'failed', reason: 'ExitNonZero', exitCode: 3, durationMs: 10 },
      { index: 2, kind: 'capture', status: 'skipped' },
    ],
    asserted: { intents: [{ kind: 'dev.open-pr' }], signals: [{ name: 'coverage', value: 0.9 }] },
  };
  const web = { host: 'a.test', port: 443 };
  const egress = [
    { event: 'allowed', connection: 1, method: 'CONNECT', ...web, address: '1.1.1.1' },
    { event: 'refused', connection: 2, method: 'GET', host: 'b.test', port: 80, reason: 'NotAllowed' },
    { event: 'allowed', connection: 3, method: 'CONNECT', ...web, address: '1.1.1.1' },
    { event: 'closed', connection: 3, sent: 5, received: 0, reason: 'NameMismatch' },
    { event: 'refused', connection: 4, method: 'GET', host: 'b.test', port: 80, reason: 'NotAllowed' },
    { event: 'closed', connection: 1, sent: 10, received: 900 },
  ];
  const bundle = storage.product(JSON.stringify({ values: { A: 'b' }, secrets: { KEY: { ref: 'model' } } }));
  const secrets = { KEY: { ref: 'lint-key', as: 'file' }, TOKEN: { ref: 'npm' } };
  const blocks = [
    { kind: 'agent' },
    { kind: 'script', id: 'lint', command: 'x', secrets },
    { kind: 'capture', what: 'patch' },
  ];
  const env = [{ ref: 'model', sha256: bundle.sha256 }];
  storage.put(
    specKey('r'),
    JSON.stringify({ pipelines: { p: { blocks } }, items: [{ id: 'fix', pipeline: { sha256: 'p' }, env }] }),
  );
  storage.run('r', { ...SEALED, phase: 'failed' }, [
    {
      ...{ id: 'fix', phase: 'failed', reason: 'ExitNonZero', attempts: 1 },
      result: storage.product(JSON.stringify(output)).sha256,
      egress: storage.product(egress.map((line) => `${JSON.stringify(line)}\n`).join('') + '{"half').sha256,
    },
  ]);
  const { stdout } = await at(storage, 'orch', 'status', 'r/fix');
  assert.match(
    stdout,
    /^block 0 \(agent\): succeeded in 2\.0s; says: m-1, 3 turns, 1200 tokens in, 40 tokens out, 0\.0123 USD$/m,
  );
  assert.match(
    stdout,
    /^block lint \(script\): failed \(ExitNonZero, exit code 3\) in 10ms\nblock 2 \(capture\): skipped$/m,
  );
  assert.match(
    stdout,
    /^secret model: KEY of block 0\nsecret lint-key: KEY \(a file\) of block lint\nsecret npm: TOKEN of block lint$/m,
  );
  assert.match(
    stdout,
    /^network a\.test:443: reached 2 times, 15 bytes sent, 900 received; refused once: NameMismatch$/m,
  );
  assert.match(stdout, /^network b\.test:80: refused 2 times: NotAllowed$/m);
  assert.match(stdout, /^intent dev\.open-pr:\nsignal coverage: 0\.9$/m);
  const json = JSON.parse((await at(storage, 'orch', 'status', 'r/fix', '-o', 'json')).stdout) as Record<
    string,
    unknown
  >;
  assert.deepEqual(json['destinations'], [
    { ...web, allowed: 2, sent: 15, received: 900, refused: { NameMismatch: 1 } },
    { host: 'b.test', port: 80, allowed: 0, sent: 0, received: 0, refused: { NotAllowed: 2 } },
  ]);
  assert.deepEqual((json['secrets'] as unknown[])[0], { ref: 'model', variable: 'KEY', as: 'env', blocks: ['0'] });
  assert.deepEqual([json['blocks'], json['asserted']], [output.blocks, output.asserted]);

  const late = { items: [{ id: 'late', pipeline: { sha256: 'q' } }], pipelines: { q: { blocks: [blocks[1]] } } };
  const { sha256 } = storage.product(JSON.stringify(late));
  storage.put(eventsKey('r'), `${JSON.stringify({ kind: 'run.extended', items: { sha256 } })}\n`);
  const joined = { id: 'late', phase: 'running', reason: 'Running', attempts: 1 } as const;
  const { secrets: granted } = await workOf(await openStore(storage.dir), 'r', joined);
  assert.deepEqual(
    granted?.map(({ ref, blocks: to }) => [ref, to]),
    [
      ['lint-key', ['lint']],
      ['npm', ['lint']],
    ],
  );
});

test('of many items the causes of a failure are shown first, and --failed shows nothing else', async () => {
  const items = Array.from({ length: 1000 }, (_, n): ItemStatus => {
    const failed = n % 27 === 5;
    return failed
      ? { id: `i${n}`, phase: 'failed', reason: 'TimedOut', attempts: 1 }
      : { id: `i${n}`, phase: 'skipped', reason: 'DependencyFailed', attempts: 0 };
  });
  const storage = new StorageFolder();
  const run = storage.run('many', { ...SEALED, phase: 'failed' }, items);
  const lines = (await renderRun(run, items, (_style, text) => text)).split('\n');
  assert.equal(lines.filter((line) => /^i\d+ +failed /.test(line)).length, 37);
  assert.equal(lines.filter((line) => /^i\d+ /.test(line)).length, 500);
  const { stdout } = await at(storage, 'orch', 'status', 'many', '--failed', '-o', 'json');
  assert.equal((JSON.parse(stdout) as { items: unknown[] }).items.length, 37);
});

test('as JSON a run is its status with its items', async () => {
  const { stdout } = await at(exampleStorage(), 'orch', 'status', 'bad', '-o', 'json');
  const run = JSON.parse(stdout) as { schema: string; run: string; items: { id: string }[] };
  assert.deepEqual([run.schema, run.run, run.items.map(({ id }) => id)], ['status/1', 'bad', ['broken', 'after']]);
});

test('rejected submissions are listed when asked for', async () => {
  const storage = exampleStorage();
  const receipt = {
    schema: 'receipt/1',
    sha256: '0'.repeat(64),
    at: '2026-11-23T09:00:00.000Z',
    actor: 'service:inbox',
    kind: 'Run',
  };
  const errors = [{ path: '/spec', code: 'UnknownField', message: 'no such field' }];
  storage.put(
    receiptKey('bad.yaml'),
    JSON.stringify({ ...receipt, submission: 'bad.yaml', verdict: 'rejected', errors }),
  );
  storage.put(
    receiptKey('ok.yaml'),
    JSON.stringify({ ...receipt, submission: 'ok.yaml', verdict: 'accepted', run: 'good', errors: [] }),
  );
  const text = await at(storage, 'orch', 'status', '--receipts');
  assert.match(text.stdout, /bad\.yaml +service:inbox +UnknownField: no such field/);
  assert.doesNotMatch(text.stdout, /ok\.yaml/);
  const json = JSON.parse((await at(storage, 'orch', 'status', '--receipts', '-o', 'json')).stdout) as {
    receipts: { submission: string }[];
  };
  assert.deepEqual(
    json.receipts.map(({ submission }) => submission),
    ['bad.yaml'],
  );
});

test('damaged and foreign records are errors, not crashes', async () => {
  const storage = exampleStorage();
  storage.put('runs/torn/status.json', '{"schema":"status/1","run":');
  const torn = await at(storage, 'orch', 'status', 'torn');
  assert.equal(torn.code, 1);
  assert.match(torn.stderr, /runs\/torn\/status\.json is damaged[^]*\[INTEGRITY\]/);
  storage.put('runs/newer/status.json', '{"schema":"status/9"}');
  const newer = await at(storage, 'orch', 'status', 'newer');
  assert.equal(newer.code, 5);
  assert.match(newer.stderr, /has the schema "status\/9", not status\/1/);
});

test('watching a run that is over prints its items once and exits with its outcome', async () => {
  const storage = exampleStorage();
  const good = await at(storage, 'orch', 'watch', 'good');
  assert.equal(good.code, 0);
  assert.match(
    good.stdout,
    /edit {2}done {2}Succeeded \(attempt 1, 4\.2s\)\n.*good {2}succeeded, sealed {2}1 item: 1 done/,
  );
  const bad = await at(storage, 'orch', 'watch', 'bad', '-o', 'json');
  assert.equal(bad.code, 1);
  const lines = bad.stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as { type: string; id?: string; run: string });
  assert.deepEqual(
    lines.map(({ type, id, run }) => [type, id, run]),
    [
      ['item', 'broken', 'bad'],
      ['item', 'after', 'bad'],
      ['run', undefined, 'bad'],
    ],
  );
});

test('watch gives up with exit code 6 after the time that it was given, and says what the run waits for', async () => {
  const storage = exampleStorage();
  storage.run('asks', { phase: 'running', paused: 'run' }, [
    { id: 'ok', phase: 'waiting', reason: 'WaitingForApproval', attempts: 0 },
  ]);
  const { code, stdout, stderr } = await at(storage, 'orch', 'watch', 'asks', '--timeout', '0s');
  assert.deepEqual([code, stdout], [6, '10:01:00  ok  waiting  WaitingForApproval\n']);
  assert.match(stderr, /^ {2}pangolin orch resume asks\n {2}pangolin orch approve asks\/ok /m);
  assert.match(
    stderr,
    /run asks is still running[^]*\[UNAVAILABLE\]\nhint: It waits for you: pangolin orch resume asks$/m,
  );
});

test('watch waits for a file that was dropped a moment ago, where a controller serves', async () => {
  const storage = exampleStorage();
  storage.put('inbox/soon.yaml', 'not taken yet');
  const store = await openStore(storage.dir);
  await assert.rejects(awaitRun(store, 'soon'), /no run soon/, 'nobody serves');
  const now = new Date().toISOString();
  const lease = { schema: 'lease/1', epoch: 1, deployment: 'd', since: now, renewedAt: now, ttlMs: 90_000 };
  storage.put('controller/lease.json', JSON.stringify({ ...lease, host: hostname(), pid: process.pid }));
  const waited = awaitRun(store, 'soon');
  setTimeout(() => storage.run('soon', {}, []), 100);
  await waited;
  const elsewhere = await at(storage, 'orch', 'status', 'later');
  assert.match(elsewhere.stderr, /\[NOT_FOUND\]\nhint: Files wait in its inbox\//);
});

test('watch prints what changes and ends when the run is sealed, not when it is terminal', async () => {
  const storage = exampleStorage();
  const child = spawn(join(root, 'bin', 'pangolin'), ['--storage', storage.dir, 'orch', 'watch', 'open'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let text = '';
  const until = async (pattern: RegExp): Promise<void> => {
    for await (const chunk of child.stdout.iterator({ destroyOnReturn: false })) {
      text += String(chunk);
      if (pattern.test(text)) return;
    }
    assert.match(text, pattern);
  };
  const item = { id: 'busy', phase: 'done', reason: 'Succeeded', attempts: 1, durationMs: 10 } as const;
  await until(/busy {2}running/);
  storage.run('open', { phase: 'succeeded', finishedAt: SEALED.finishedAt }, [item]);
  await until(/busy {2}done[^]*open {2}succeeded {2}1 item/);
  assert.equal(child.exitCode, null);
  storage.run('open', { ...SEALED }, [item]);
  await until(/open {2}succeeded, sealed/);
  const code = child.exitCode ?? (await new Promise((resolve) => child.on('close', resolve)));
  assert.equal(code, 0);
  assert.equal(text.match(/busy {2}done/g)?.length, 1);
});

const line = (text: string, more: object = {}): string =>
  `${JSON.stringify({ t: '2026-11-23T10:00:01.000Z', block: 0, stream: 'stdout', line: text, ...more })}\n`;
const logKey = (runId: string, itemId: string, attempt: number, seq: number): string =>
  `${attemptPrefix({ runId, itemId, attempt })}${attemptFile.log(seq)}`;

test('logs are the latest attempt of every item, prefixed; or of one item, or of one attempt', async () => {
  const storage = exampleStorage();
  storage.put(logKey('bad', 'broken', 1, 0), line('first try'));
  storage.put(
    logKey('bad', 'broken', 2, 0),
    line('second \u001b[31mtry\u001b[0m') + line('booted', { stream: 'worker' }),
  );
  storage.put(logKey('bad', 'broken', 2, 1), `${line('next file')}garbage\n${line('cut').slice(0, 20)}`);
  assert.equal(
    (await at(storage, 'orch', 'logs', 'bad')).stdout,
    'broken | second try\nbroken | [worker] booted\nbroken | next file\nbroken | [worker] garbage\n',
  );
  assert.equal((await at(storage, 'orch', 'logs', 'bad/broken', '--attempt', '1')).stdout, 'first try\n');
  const json = (await at(storage, 'orch', 'logs', 'bad/broken', '--attempt', '1', '-o', 'json')).stdout;
  assert.deepEqual(JSON.parse(json), {
    item: 'broken',
    attempt: 1,
    t: '2026-11-23T10:00:01.000Z',
    block: 0,
    stream: 'stdout',
    line: 'first try',
  });
});

test('logs -f prints lines as they come, goes on with the next attempt, and ends with the item', async () => {
  const storage = exampleStorage();
  storage.put(logKey('open', 'busy', 1, 0), line('one'));
  const child = spawn(join(root, 'bin', 'pangolin'), ['--storage', storage.dir, 'orch', 'logs', 'open/busy', '-f'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let text = '';
  const until = async (wanted: string): Promise<void> => {
    if (text === wanted) return;
    for await (const chunk of child.stdout.iterator({ destroyOnReturn: false })) {
      text += String(chunk);
      if (text === wanted) return;
    }
    assert.equal(text, wanted);
  };
  await until('one\n');
  const half = line('two');
  appendFileSync(join(storage.dir, logKey('open', 'busy', 1, 0)), half.slice(0, 30));
  appendFileSync(join(storage.dir, logKey('open', 'busy', 1, 0)), half.slice(30));
  await until('one\ntwo\n');
  storage.put(logKey('open', 'busy', 2, 0), line('three'));
  storage.run('open', { phase: 'running' }, [{ id: 'busy', phase: 'running', reason: 'Running', attempts: 2 }]);
  await until('one\ntwo\nthree\n');
  storage.run('open', { ...SEALED }, [{ id: 'busy', phase: 'done', reason: 'Succeeded', attempts: 2 }]);
  const code = child.exitCode ?? (await new Promise((resolve) => child.on('close', resolve)));
  assert.equal(code, 0);
});

test('a reader that leaves early is no error', async () => {
  const storage = exampleStorage();
  storage.put(logKey('bad', 'broken', 2, 0), line('x'.repeat(1000)).repeat(2000));
  const script = `"$1" --storage "$2" orch logs bad | head -n 1 | cut -c1-9; echo "status \${PIPESTATUS[0]}"`;
  const child = spawn('bash', ['-c', script, '-', join(root, 'bin', 'pangolin'), storage.dir], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const [out, err]: [string[], string[]] = [[], []];
  child.stdout.on('data', (chunk) => out.push(String(chunk)));
  child.stderr.on('data', (chunk) => err.push(String(chunk)));
  await new Promise((resolve) => child.on('close', resolve));
  assert.deepEqual([out.join(''), err.join('')], ['broken | \nstatus 0\n', '']);
});
