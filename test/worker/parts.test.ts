/** The small parts of the worker, each by itself. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { Value } from 'typebox/value';
import { BlockOutput } from '@pangolin/contracts/block-output';
import { PipelineSpec } from '@pangolin/contracts/pipeline';
import { pipelineProblem } from '@pangolin/worker-image/check-pipeline';
import { blockOutputProblem } from '@pangolin/worker-image/capture/block-output';
import { diagnose } from '@pangolin/worker-image/diagnose';
import { AttemptFailure } from '@pangolin/worker-image/failure';
import { judgeReport } from '@pangolin/worker-image/guard';
import { LineSplitter, LogWriter } from '@pangolin/worker-image/log-writer';
import { optionsFrom } from '@pangolin/worker-image/options';
import { WORKER_VERSION } from '@pangolin/worker-image/version';

const status = (uid: string, capabilities: string, rest = 'NoNewPrivs: 1\nSeccomp: 2\nend\n'): string =>
  `Uid: ${uid}\t${uid}\t${uid}\t${uid}\nCapPrm: ${capabilities}\nCapEff: ${capabilities}\n${rest}`;
/** What the process that tries the doors of the worker reports → what is said of it, under a manifest that promises all. */
const reports: readonly (readonly [string, RegExp])[] = [
  [
    `open /proc/7/maps\nopen /proc/7/fd\n${status('1000', '0000')}`,
    /reach into the worker: \/proc\/7\/maps, \/proc\/7\/fd; no block/,
  ],
  [Array.from({ length: 11 }, (_, n) => `open ${n}\n`).join(''), /: 0, 1, 2, 3, 4, 5, 6, 7, and 3 more; no block/],
  ['', /cannot be told/],
  ['end\n', /cannot be told/],
  [status('1000', '0000', ''), /cannot be told/],
  [status('0', '0000'), /do not run as 1000, but as 0 0 0 0/],
  [status('1000', '0001'), /hold capabilities/],
  ['Uid: 1000\nend\n', /hold capabilities/],
  [status('1000', '0000', 'NoNewPrivs: 0\nend\n'), /gain privileges/],
  [status('1000', '0000', 'NoNewPrivs: 1\nSeccomp: 0\nend\n'), /no filter/],
];
test('no block runs where its guard does not hold, or was not looked at whole', () => {
  const user = { uid: 1000, gid: 1000 };
  const promised = { capabilities: 'none', noNewPrivileges: true, seccomp: 'default' } as const;
  for (const [report, message] of reports)
    assert.throws(() => judgeReport(report, user, promised), { reason: 'SandboxUnsupported', message }, report);
  assert.deepEqual(judgeReport(status('1000', '0000'), user, promised), {
    user: 'separate',
    ...promised,
    seccomp: 'filter',
  });
  assert.deepEqual(judgeReport(status('1000', '0001', 'end\n'), user, {}), { user: 'separate' });
});

test('the worker accepts exactly the pipelines that the schema accepts', () => {
  const junk = fc.constantFrom(
    undefined,
    null,
    0,
    '',
    'x',
    [],
    {},
    ['a'],
    [1],
    { A: 'b' },
    { 'A-': 'b' },
    'gate',
    '5m',
    '5 minutes',
    true,
    '\u{1f600}'.repeat(40_000),
    'x'.repeat(65_537),
  );
  const field = (good: unknown): fc.Arbitrary<unknown> =>
    fc.oneof({ weight: 6, arbitrary: fc.constant(good) }, { weight: 1, arbitrary: junk });
  const block = fc.oneof(
    fc.record(
      {
        kind: field('script'),
        command: field('true'),
        id: field('a'),
        lens: field('verify'),
        timeout: field('1h30m'),
        env: field({ A: 'b' }),
      },
      { requiredKeys: [] },
    ),
    fc.record(
      { kind: field('capture'), what: field('patch'), required: field(true), extra: field(undefined) },
      { requiredKeys: [] },
    ),
    junk,
  );
  const pipeline = fc.oneof(
    fc.record({ blocks: fc.array(block, { maxLength: 3 }), description: field('d') }, { requiredKeys: ['blocks'] }),
    junk,
  );
  const verdicts = new Set<boolean>();
  fc.assert(
    fc.property(pipeline, (value) => {
      const spec = value === undefined ? undefined : (JSON.parse(JSON.stringify(value)) as unknown);
      const accepted = Value.Check(PipelineSpec, spec);
      verdicts.add(accepted);
      assert.equal(pipelineProblem(spec) === undefined, accepted, pipelineProblem(spec));
    }),
    { numRuns: 2000 },
  );
  assert.equal(verdicts.size, 2);
});

test('the worker accepts exactly the block outputs that the schema accepts', () => {
  const text = fc.oneof(fc.constant('x'), fc.constantFrom(1, null, [], '', '..', 'x'.repeat(65_537)));
  const entry = fc.oneof(
    fc.record(
      { kind: text, name: text, summary: text, params: text, value: text, message: text },
      { requiredKeys: [] },
    ),
    fc.record({ kind: fc.constant('a.b'), params: fc.constant({ a: [1] }) }),
    fc.record({ name: fc.constant('n'), value: fc.constant(1.5) }),
  );
  const list = fc.oneof(
    fc.array(entry, { maxLength: 3 }),
    fc.constantFrom([], {}, Array(101).fill({ kind: 'a', name: 'a' })),
  );
  const document = fc.oneof(
    fc.record({ summary: text, output: text, intents: list, signals: list, more: text }, { requiredKeys: [] }),
    fc.constantFrom([], null, 'x', {}),
  );
  const verdicts = new Set<boolean>();
  fc.assert(
    fc.property(document, (value) => {
      const accepted = Value.Check(BlockOutput, value);
      verdicts.add(accepted);
      assert.equal(blockOutputProblem(value) === undefined, accepted, blockOutputProblem(value));
    }),
    { numRuns: 2000 },
  );
  assert.equal(verdicts.size, 2);
});

test('a line splitter gives the same lines however the bytes arrive', () => {
  const text = fc
    .array(fc.constantFrom('a', '\n', '\r\n', 'é', '\u{1f600}', 'long '.repeat(5)), { maxLength: 60 })
    .map((parts) => parts.join(''));
  fc.assert(
    fc.property(text, fc.array(fc.nat({ max: 7 })), (whole, cuts) => {
      const at = (steps: readonly number[]): string[] => {
        const lines: string[] = [];
        const splitter = new LineSplitter((line) => lines.push(line), 16);
        let rest = Buffer.from(whole);
        for (const step of steps) {
          splitter.push(rest.subarray(0, step));
          rest = rest.subarray(step);
        }
        splitter.push(rest);
        splitter.end();
        return lines;
      };
      const lines = at([]);
      assert.deepEqual(at(cuts), lines);
      assert.ok(lines.every((line) => Buffer.byteLength(line) <= 16));
      assert.equal(lines.join(''), whole.replace(/\r?\n/g, ''));
    }),
  );
});

test('log files rotate at their limit, and the end of the log is told once', () => {
  const dir = mkdtempSync(join(tmpdir(), 'pangolin-log-'));
  try {
    const log = new LogWriter(dir, { fileBytes: 500, totalBytes: 2000, lineBytes: 100 });
    for (let i = 0; i < 100; i++) log.block(0, 'stdout', '2026-01-01T00:00:00.000Z', `line ${i}`);
    log.worker('done');
    const files = log.close();
    assert.deepEqual(
      files.map(({ file }) => file),
      readdirSync(join(dir, 'log'))
        .sort()
        .map((name) => `log/${name}`),
    );
    assert.ok(files.length > 3 && files.every(({ size }) => size <= 500));
    const text = files.map(({ file }) => readFileSync(join(dir, file), 'utf8')).join('');
    assert.equal(text.match(/log limit/g)?.length, 1);
    assert.match(text, /"line":"done"\}\n$/);
  } finally {
    rmSync(dir, { recursive: true });
  }
});

const swept = { killed: 0, survivors: [] };
const calm = { oomKills: 0, diskFull: false };
const verdicts = [
  [
    'an exit with 0 succeeds whatever else happened',
    { exitCode: 0, swept },
    { oomKills: 1, diskFull: true },
    undefined,
  ],
  ['a non-zero exit', { exitCode: 1, swept }, calm, 'ExitNonZero'],
  ['a signal', { signal: 'SIGBUS', swept }, calm, 'BlockKilled'],
  ['a shell whose child was killed', { exitCode: 137, swept }, calm, 'BlockKilled'],
  ['a kill by the kernel for memory', { signal: 'SIGKILL', swept }, { oomKills: 1, diskFull: false }, 'OOMKilled'],
  [
    'a build tool that reports the kill of its child',
    { exitCode: 2, swept },
    { oomKills: 3, diskFull: false },
    'OOMKilled',
  ],
  ['a full disk', { exitCode: 1, swept }, { oomKills: 0, diskFull: true }, 'DiskFull'],
  [
    'what we stopped has our reason',
    { signal: 'SIGKILL', stopped: new AttemptFailure('IdleTimedOut', ''), swept },
    calm,
    'IdleTimedOut',
  ],
  [
    'what we stopped and ended well in time',
    { exitCode: 0, stopped: new AttemptFailure('TimedOut', ''), swept },
    calm,
    'TimedOut',
  ],
] as const;
for (const [what, end, clues, reason] of verdicts) {
  test(`diagnosis: ${what}`, () => assert.equal(diagnose(end, clues)?.reason, reason));
}

test('a variable that is not what it must be is named', () => {
  const { signal } = new AbortController();
  assert.throws(() => optionsFrom({ PANGOLIN_GRACE_MS: '10s' }, signal), /PANGOLIN_GRACE_MS/);
  assert.throws(() => optionsFrom({ PANGOLIN_MANIFEST_SHA256: 'abc' }, signal), /PANGOLIN_MANIFEST_SHA256/);
  if (process.getuid?.() === 0) assert.throws(() => optionsFrom({ PANGOLIN_BLOCK_UID: '0' }, signal), /root/);
  const defaults = optionsFrom({}, signal);
  assert.deepEqual(
    [defaults.inDir, defaults.outDir, defaults.workDir, defaults.graceMs],
    ['/pangolin/in', '/pangolin/out', '/work', 10_000],
  );
});

test('the version is the one of the package', () => {
  const file = new URL('../../worker-image/package.json', import.meta.url);
  assert.equal((JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version, WORKER_VERSION);
});
