/** The main paths of the worker: what it lays out, what it runs, what it seals. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { test } from 'node:test';
import { Boot, Output } from '@pangolin/contracts/output';
import { Value } from 'typebox/value';
import { runStandalone } from '@pangolin/worker-image/runner';
import { finished, isRoot, linesOf, prepare, run, scratch, script, start, type User } from './harness.ts';
import { poll } from '../poll.ts';

const users: readonly User[] = isRoot ? ['separate', 'same', 'plain'] : ['plain'];

for (const user of users) {
  test(`a task is staged, run, captured and sealed (${user} user)`, async () => {
    const result = await run({
      user,
      files: { 'src/a.txt': 'one\n', 'tools/x': 'x' },
      inputs: { data: 'given' },
      params: { greeting: 'hi' },
      blocks: [
        script('git log --format=%s && git status --porcelain && git rev-parse --abbrev-ref HEAD'),
        script('cat $PANGOLIN_INPUTS/data inputs/data && cat $PANGOLIN_PARAMS'),
        script('echo two >> src/a.txt; rm tools/x; mkdir -p outputs/sub; echo result > $PANGOLIN_OUTPUTS/sub/r.txt'),
        { kind: 'capture', what: 'patch', required: true },
        script('echo late >> src/a.txt'),
      ],
    });
    assert.equal(result.code, 0, result.notes);
    assert.equal(result.printed, 'base\nmain\ngivengiven{"greeting":"hi"}');
    assert.ok(Value.Check(Output, result.output));
    assert.ok(Value.Check(Boot, JSON.parse(readFileSync(join(result.dirs.out, 'boot.json'), 'utf8'))));
    assert.equal(result.output.partial, false);
    assert.equal(result.output.products.patch?.files, 2);
    assert.match(result.patch ?? '', /^\+two$/m);
    assert.doesNotMatch(result.patch ?? '', /late/);
    assert.deepEqual(Object.keys(result.output.products.outputs), ['sub/r.txt']);
  });
}

test('a block sees exactly the documented environment', async () => {
  const { printed, dirs } = await run({ blocks: [script('env | sort', { env: { MINE: '1', HOME: '/elsewhere' } })] });
  const env = Object.fromEntries(printed.split('\n').map((line) => line.split(/=(.*)/s) as [string, string]));
  delete env['_'];
  const marked = Object.keys(env).filter((name) => name !== 'PANGOLIN_MARK' && name !== 'OLDPWD' && name !== 'SHLVL');
  assert.deepEqual(marked.sort(), [
    'CI',
    'HOME',
    'LANG',
    'MINE',
    'PANGOLIN_ATTEMPT',
    'PANGOLIN_INPUTS',
    'PANGOLIN_ITEM_ID',
    'PANGOLIN_OUTPUTS',
    'PANGOLIN_PARAMS',
    'PANGOLIN_RUN_ID',
    'PATH',
    'PWD',
    'TMPDIR',
  ]);
  assert.equal(env['HOME'], '/elsewhere');
  assert.equal(env['PANGOLIN_OUTPUTS'], join(dirs.work, 'workspace', 'outputs'));
});

test('a failing gate skips what follows, and what exists is captured as partial', async () => {
  const { code, output, patch } = await run({
    files: { a: 'a\n' },
    blocks: [
      script('echo b > b; echo o > outputs/o; exit 7', { id: 'break' }),
      script('echo never > never'),
      { kind: 'capture', what: 'patch' },
    ],
  });
  assert.equal(code, 1);
  assert.equal(output.reason, 'ExitNonZero');
  assert.match(output.message ?? '', /block break \(script\): it exited with 7/);
  assert.deepEqual(
    output.blocks.map(({ status, exitCode, reason }) => [status, exitCode, reason]),
    [
      ['failed', 7, 'ExitNonZero'],
      ['skipped', undefined, undefined],
      ['skipped', undefined, undefined],
    ],
  );
  assert.equal(output.partial, true);
  assert.match(patch ?? '', /b\/b/);
  assert.deepEqual(Object.keys(output.products.outputs), ['o']);
});

test('a failing verify block is reported and fails nothing', async () => {
  const { code, output } = await run({ blocks: [script('exit 3', { lens: 'verify' }), script('true')] });
  assert.equal(code, 0);
  assert.deepEqual(
    output.blocks.map(({ lens, status, exitCode }) => [lens, status, exitCode]),
    [
      ['verify', 'failed', 3],
      ['gate', 'succeeded', 0],
    ],
  );
});

test('a program that cannot be started fails its block, and a killed one names its signal', async () => {
  const missing = await run({ blocks: [{ kind: 'script', command: ['no-such-program', '--x'] }] });
  assert.equal(missing.output.reason, 'ExitNonZero');
  assert.match(missing.output.message ?? '', /could not be started/);
  const killed = await run({ blocks: [script('kill -SEGV $$')] });
  assert.equal(killed.output.reason, 'BlockKilled');
  assert.equal(killed.output.blocks[0]?.signal, 'SIGSEGV');
});

test('a block can write to /dev/stdout and /dev/stderr by name', async () => {
  const { code, log } = await run({ blocks: [script('echo a > /dev/stdout && echo b > /dev/stderr')] });
  assert.equal(code, 0);
  assert.deepEqual(
    log.map(({ block, stream, line }) => [block, stream, line]),
    [
      [0, 'stdout', 'a'],
      [0, 'stderr', 'b'],
    ],
  );
});

test('a required product that is empty is ProductMissing, and an asked-for empty patch is a patch', async () => {
  const missing = await run({ files: { a: 'a' }, blocks: [{ kind: 'capture', what: 'outputs', required: true }] });
  assert.equal(missing.output.reason, 'ProductMissing');
  const empty = await run({ files: { a: 'a' }, blocks: [{ kind: 'capture', what: 'patch' }] });
  assert.equal(empty.output.status, 'succeeded');
  assert.deepEqual([empty.output.products.patch?.size, empty.output.products.patch?.files], [0, 0]);
  const none = await run({ files: { a: 'a' }, blocks: [script('true')] });
  assert.equal(none.output.products.patch, undefined);
});

test('what the blocks say is carried along, and what is malformed fails the attempt', async () => {
  const good = await run({ blocks: [script(`echo '{"summary":"did it","output":{"n":1}}' > .pangolin/output.json`)] });
  assert.deepEqual(good.output.asserted, { summary: 'did it', output: { n: 1 } });
  for (const bad of ['{', '[]', '{"summary":1}', '{"output":"\\ud800"}']) {
    const result = await run({ blocks: [script(`printf '%s' '${bad}' > .pangolin/output.json`)] });
    assert.deepEqual([result.output.reason, result.output.asserted], ['OutputSchemaMismatch', undefined]);
    assert.match(result.output.message ?? '', /^\.pangolin\/output\.json: /);
  }
});

test('an input, a pack or params that do not have their digest are StageFailed', async () => {
  const files = { a: 'a' };
  const swap = (task: Record<string, unknown>): void => {
    const grants = task['grants'] as { inputs: Record<string, unknown>; workspace: unknown };
    [grants.inputs['data'], grants.workspace] = [grants.workspace, grants.inputs['data']];
  };
  const cases = [
    [
      { inputs: { data: 'x', other: 'y' }, tamper: (t: Record<string, unknown>) => rename(t, 'data', 'input-other') },
      /the input data does not/,
    ],
    [{ inputs: { data: 'x' }, files, tamper: swap }, /the workspace/],
    [{ params: { a: 1 }, tamper: (t: Record<string, unknown>) => void (t['params'] = { a: 2 }) }, /the params/],
    [{ tamper: (t: Record<string, unknown>) => void (t['params'] = { a: 2 }) }, /the params/],
    [
      { inputs: { data: 'x' }, tamper: (t: Record<string, unknown>) => rename(t, 'data', '../out/boot.json') },
      /leaves the input directory/,
    ],
  ] as const;
  for (const [spec, message] of cases) {
    const { code, output } = await run({ ...spec, blocks: [script('echo ran')] });
    assert.deepEqual([code, output.reason], [1, 'StageFailed']);
    assert.match(output.message ?? '', message);
    assert.deepEqual(
      output.blocks.map(({ status }) => status),
      ['skipped'],
    );
  }
});

function rename(task: Record<string, unknown>, key: string, path: string): void {
  (task['grants'] as { inputs: Record<string, unknown> }).inputs[key] = { path };
}

test('a name that the workspace uses already is StageFailed, with the name', async () => {
  const taken = await run({ files: { 'inputs/data': 'tracked' }, inputs: { data: 'x' }, blocks: [script('true')] });
  assert.equal(taken.output.reason, 'StageFailed');
  assert.match(taken.output.message ?? '', /inputs\/data exists in the workspace/);
  const file = await run({ files: { outputs: 'a file' }, blocks: [script('true')] });
  assert.match(file.output.message ?? '', /outputs of the workspace is not a directory/);
});

test('an input comes from a URL, and its query never reaches a message', async () => {
  const server = createServer((request, response) => {
    if (request.url?.startsWith('/good')) response.end('x');
    else response.writeHead(403).end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address() as { port: number };
  const from = (path: string) => (task: Record<string, unknown>) => {
    const url = `http://127.0.0.1:${address.port}/${path}?signature=s3cr3t`;
    (task['grants'] as { inputs: Record<string, unknown> }).inputs['data'] = { url };
  };
  const blocks = [script('cat inputs/data')];
  try {
    const good = await run({ inputs: { data: 'x' }, tamper: from('good'), blocks });
    assert.equal(good.printed, 'x');
    const denied = await run({ inputs: { data: 'x' }, tamper: from('denied'), blocks });
    assert.match(denied.output.message ?? '', /answered 403/);
    assert.doesNotMatch(JSON.stringify(denied.output) + denied.notes, /s3cr3t/);
  } finally {
    server.close();
  }
});

test('a manifest that is not the announced one is refused with exit 4 and nothing written', async () => {
  const blocks = [script('true')];
  const announced = await prepare({ blocks });
  const other = await prepare({ blocks: [script('false')] });
  const cases: [string, Awaited<ReturnType<typeof prepare>>][] = [
    [
      'another digest',
      {
        ...announced,
        env: { ...announced.env, PANGOLIN_MANIFEST_SHA256: other.env['PANGOLIN_MANIFEST_SHA256'] ?? '' },
      },
    ],
    ['no digest', { ...other, env: { ...other.env, PANGOLIN_MANIFEST_SHA256: undefined as unknown as string } }],
    ['no task', { ...announced, env: { ...announced.env, PANGOLIN_IN: announced.out } }],
    ['an unknown block', await prepare({ blocks: [{ kind: 'agent' } as never] })],
  ];
  for (const [what, dirs] of cases) {
    const { code, stderr } = await start(dirs).ended;
    assert.equal(code, 4, what);
    assert.match(stderr, /^pangolin-worker: /);
    assert.deepEqual(readdirSync(dirs.out), []);
  }
});

test('of many workers of one attempt exactly one runs it, and the others exit 3', async () => {
  const dirs = await prepare({ blocks: [script('echo run >> $TMPDIR/../workspace/count; cat count')] });
  const ended = await Promise.all(Array.from({ length: 4 }, () => start(dirs).ended));
  assert.deepEqual(ended.map(({ code }) => code).sort(), [0, 3, 3, 3]);
  assert.equal(finished(ended.find(({ code }) => code === 0)!).printed, 'run');
});

test('a worker that was killed leaves no output.json, and its attempt is not started again', async () => {
  const dirs = await prepare({ blocks: [script('echo $$; exec sleep 60')] });
  const { child, ended } = start(dirs);
  const log = join(dirs.out, 'log', '000000.ndjson');
  await poll('the block runs', () => linesOf(log).length > 0);
  child.kill('SIGKILL');
  await ended;
  const before = readdirSync(dirs.out).sort();
  assert.equal(existsSync(join(dirs.out, 'output.json')), false);
  assert.equal((await start(dirs).ended).code, 3);
  assert.deepEqual(readdirSync(dirs.out).sort(), before);
  process.kill(-Number(linesOf(log)[0]?.line), 'SIGKILL');
});

test('a standalone directory in gives a directory out', async () => {
  const dir = mkdtempSync(join(scratch, 'standalone-'));
  mkdirSync(join(dir, 'in', 'workspace'), { recursive: true });
  mkdirSync(join(dir, 'in', 'inputs'));
  writeFileSync(join(dir, 'in', 'workspace', 'a'), 'a\n');
  writeFileSync(join(dir, 'in', 'inputs', 'data'), 'more\n');
  const pipeline = { blocks: [script('cat inputs/data >> a; cp a outputs/a')] };
  writeFileSync(join(dir, 'in', 'task.json'), JSON.stringify({ schema: 'standalone-task/1', pipeline, timeout: '1m' }));
  assert.equal(await runStandalone(dir), 0);
  assert.match(readFileSync(join(dir, 'out', 'patch'), 'utf8'), /^\+more$/m);
  assert.equal(readFileSync(join(dir, 'out', 'outputs', 'a'), 'utf8'), 'a\nmore\n');
  const output = JSON.parse(readFileSync(join(dir, 'out', 'output.json'), 'utf8')) as Output;
  assert.deepEqual([output.runId, output.itemId, output.attempt], ['standalone', 'task', 1]);
});
