/** What the command line refuses, and how it says so. Script tables: a line, its exit code, what it prints. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { exampleStorage, pangolin, tempDir } from './harness.ts';

const storage = exampleStorage();

interface Refusal {
  readonly line: string;
  readonly code: number;
  readonly says: RegExp;
}

const refusals: readonly Refusal[] = [
  {
    line: 'orhc status',
    code: 2,
    says: /^error: pangolin has no command "orhc" \[USAGE\]\nhint: Did you mean pangolin orch\?/,
  },
  { line: 'orch statsu', code: 2, says: /Did you mean pangolin orch status\? See pangolin orch --help\./ },
  { line: 'orch', code: 2, says: /Usage: pangolin orch COMMAND[^]*error: pangolin orch needs a command \[USAGE\]/ },
  { line: 'orch status --jsn', code: 2, says: /error: unknown flag "--jsn"/ },
  { line: 'orch status --stroage x', code: 2, says: /Did you mean --storage\?/ },
  { line: 'orch status -x', code: 2, says: /error: unknown flag "-x"/ },
  { line: 'orch status --no-quiet', code: 2, says: /error: unknown flag "--no-quiet"/ },
  { line: 'orch logs good -fz', code: 2, says: /error: unknown flag "-z"/ },
  { line: 'orch status --storage', code: 2, says: /error: --storage needs a value/ },
  { line: 'orch status --storage= good', code: 2, says: /error: --storage needs a value/ },
  { line: 'orch submit run.yaml --actor --wait', code: 2, says: /error: --actor needs a value[^]*--actor=--wait/ },
  { line: 'orch submit run.yaml --wait=yes', code: 2, says: /error: --wait takes no value/ },
  { line: 'orch status -o jsno', code: 2, says: /error: -o cannot be "jsno"[^]*Did you mean json\?/ },
  { line: 'orch logs good --attempt two', code: 2, says: /whole number from 1 to/ },
  { line: 'orch logs good --attempt 0', code: 2, says: /whole number from 1 to/ },
  { line: 'orch serve --concurrency 1e3', code: 2, says: /whole number from 1 to/ },
  { line: 'orch serve --compute dokcer', code: 2, says: /Did you mean docker\?/ },
  { line: 'orch serve --grace 0s', code: 2, says: /1s to 1h/ },
  { line: 'orch watch good --timeout 5', code: 2, says: /a duration such as 90s/ },
  { line: 'orch submit', code: 2, says: /error: FILE is missing/ },
  { line: 'orch status good extra', code: 2, says: /error: "extra" is one argument too many/ },
  { line: 'orch status -- --storage', code: 2, says: /"--storage" is not the id of a run/ },
  { line: 'orch status ../good', code: 2, says: /not the id of a run \[INVALID\]/ },
  { line: 'orch patch good', code: 2, says: /an item is needed \[INVALID\]/ },
  { line: 'orch status nope', code: 3, says: /there is no run nope[^]*\[NOT_FOUND\]/ },
  { line: 'orch patch good/edti', code: 3, says: /run good has no item edti[^]*Did you mean edit\?/ },
  {
    line: 'orch patch open/busy',
    code: 3,
    says: /open\/busy has no patch; it is running \(Running\)[^]*Wait until it is done/,
  },
  { line: 'orch audit open', code: 6, says: /run open is not sealed yet[^]*\[UNAVAILABLE\][^]*orch watch open/ },
  { line: 'orch cancel nope', code: 3, says: /there is no run nope/ },
  { line: 'orch retry good --as ../x', code: 2, says: /\[INVALID\]/ },
  { line: 'orch validate no-such-file.yaml', code: 3, says: /there is no file no-such-file\.yaml/ },
  { line: 'orch validate .', code: 2, says: /\. is a folder/ },
  { line: 'pipeline show dev.build', code: 3, says: /no pipeline dev\.build is registered/ },
  { line: 'worker run .', code: 3, says: /there is no in\/task\.json/ },
  { line: 'verify no-such-bundle', code: 2, says: /error: .*no-such-bundle.*\[INVALID\]/ },
];

for (const { line, code, says } of refusals) {
  test(`refuses: pangolin ${line}`, async () => {
    const result = await pangolin(['--storage', storage.dir, ...line.split(' ')]);
    assert.match(result.stderr, says);
    assert.equal(result.stdout, '');
    assert.equal(result.code, code);
  });
}

test('errors are one JSON document on stderr with -o json, before or after the command, and for lines that do not parse', async () => {
  for (const line of [
    ['-o', 'json', 'orch', 'status', 'nope'],
    ['orch', 'status', 'nope', '--output=json'],
  ]) {
    const { code, stderr, stdout } = await pangolin(['--storage', storage.dir, ...line]);
    const { error } = JSON.parse(stderr) as { error: Record<string, unknown> };
    assert.equal(error['code'], 'NOT_FOUND');
    assert.equal(error['exitCode'], 3);
    assert.match(String(error['message']), /there is no run nope/);
    assert.match(String(error['hint']), /orch status/);
    assert.deepEqual([code, stdout], [3, '']);
  }
  const unparsed = await pangolin(['orch', 'status', '--nope', '-o', 'json']);
  assert.equal((JSON.parse(unparsed.stderr) as { error: { code: string } }).error.code, 'USAGE');
});

test('a flag of the whole program works before, between and after the words of a command', async () => {
  const lines = [
    ['--storage', storage.dir, 'orch', 'status', 'good'],
    ['orch', '--storage', storage.dir, 'status', 'good'],
    ['orch', 'status', '--storage', storage.dir, 'good'],
    ['orch', 'status', 'good', `--storage=${storage.dir}`],
  ];
  for (const line of lines) {
    const { code, stdout } = await pangolin(line);
    assert.equal(code, 0, line.join(' '));
    assert.match(stdout, /^good {2}succeeded {2}sealed$/m);
  }
});

test('the storage comes from the flag, else from PANGOLIN_STORAGE, else from ./.pangolin', async () => {
  const env = { PANGOLIN_STORAGE: storage.dir };
  assert.match((await pangolin(['orch', 'status'], { env })).stdout, /^good /m);
  const cwd = tempDir();
  const missing = await pangolin(['orch', 'status'], { cwd });
  assert.equal(missing.code, 3);
  assert.match(missing.stderr, /there is no storage at \.\/\.pangolin \[NOT_FOUND\]/);
  assert.equal((await pangolin(['orch', 'status'], { cwd, env })).code, 0);
  assert.equal((await pangolin(['orch', 'status', '--storage', `${cwd}/other`], { cwd, env })).code, 3);
});

test('reading a storage that is not there does not create it', async () => {
  const cwd = tempDir();
  for (const line of ['orch status', 'orch logs x', 'pipeline list', 'orch cancel x', 'doctor']) {
    await pangolin(line.split(' '), { cwd });
  }
  const { stdout } = await pangolin(['init', '-o', 'json'], { cwd });
  const { created, kept } = JSON.parse(stdout) as { created: unknown; kept: unknown };
  assert.deepEqual([created, kept], [['run.yaml', '.pangolin'], []]);
});

test('there is no colour in a pipe, whatever TERM says', async () => {
  const { stdout, stderr } = await pangolin(['--storage', storage.dir, 'orch', 'status', 'bad'], {
    env: { TERM: 'xterm-256color', FORCE_COLOR: '1' },
  });
  // eslint-disable-next-line no-control-regex -- escape sequences are what must not be there
  assert.doesNotMatch(stdout + stderr, /\u001b/);
});

test('text of a worker cannot put escape sequences on the terminal', async () => {
  const { stdout } = await pangolin(['--storage', storage.dir, 'orch', 'status', 'bad']);
  assert.match(stdout, /block 0 exited with 3$/m);
});

test('--quiet leaves results and errors, and drops notes', async () => {
  const loud = await pangolin(['--storage', storage.dir, 'orch', 'logs', 'good']);
  assert.match(loud.stderr, /No log lines/);
  const quiet = await pangolin(['orch', 'logs', 'good', '-q', '--storage', storage.dir]);
  assert.deepEqual(quiet, { code: 0, stdout: '', stderr: '' });
});
