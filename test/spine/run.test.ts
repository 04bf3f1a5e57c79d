/** The whole path through the shipped command: from a file in inbox/ to patches, outputs, logs and a bundle that verifies. */
import assert from 'node:assert/strict';
import { globSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { conforms, findingsOf, type Kind } from '@pangolin/contracts/schema';
import {
  blocks,
  Deployment,
  dockerSkip,
  ends,
  git,
  outputs,
  patch,
  repository,
  runOf,
  script,
  type Compute,
} from './harness.ts';
import { poll } from '../poll.ts';

const BEGIN = 'date +%s%N > outputs/begin';
const END = 'sleep 0.3; date +%s%N > outputs/end';

/** As a user writes it; `$REPO` is filled in. */
const YAML = `
apiVersion: pangolin.dev/v1
kind: Run
metadata: { name: main, labels: { team: payments } }
spec:
  workspace: { git: { url: "$REPO" } }
  defaults: { timeout: 2m }
  items:
    - id: first            # first and second want the same lock
      resourceLocks: [src/a]
      pipeline: &edit
        blocks:
          - { kind: script, command: "${BEGIN}; sed -i \\"s/^one/$PANGOLIN_ITEM_ID/\\" src/a.txt; ${END}" }
          - { kind: capture, what: patch, required: true }
          - { kind: capture, what: outputs, required: true }
    - id: second
      resourceLocks: [src/a, src/b]
      pipeline: *edit
    - id: aside            # disjoint from both
      resourceLocks: [docs]
      pipeline: { blocks: [{ kind: script, command: "${BEGIN}; echo note > NOTES.md; printf '\\\\000\\\\377' > src/raw.bin; chmod -x run.sh; echo told; ${END}" }, { kind: capture, what: patch }, { kind: capture, what: outputs }] }
    - id: fan-in
      needs:
        change: { from: first, select: { kind: patch } }
        note: { from: aside, select: { kind: patch } }
        begun: { from: aside, select: { kind: output, path: begin } }
      pipeline:
        blocks:
          - { kind: script, command: "git apply inputs/change && git apply inputs/note && cp inputs/begun outputs/seen && mkdir outputs/deep && cat src/a.txt > outputs/deep/a.txt" }
          - { kind: capture, what: patch, required: true }
          - { kind: capture, what: outputs, required: true }
`;

/** The bare form. */
const plan = (repo: string): object => ({
  id: 'bare',
  queue: 'default',
  workspace: { git: { url: repo } },
  items: [
    { id: 'only', inputs: { answer: 42 }, ...blocks(script('cat "$PANGOLIN_PARAMS" > outputs/params.json'), outputs) },
  ],
});

/** `broken` fails in the run of this name only; whoever runs it again under another one is lucky. */
const failing = (repo: string): object =>
  runOf('failing', repo, [
    { id: 'good', ...blocks(script('echo data > outputs/data.txt'), outputs) },
    {
      id: 'broken',
      needs: { data: { from: 'good', select: { kind: 'output', path: 'data.txt' } } },
      retry: { maxAttempts: 2, backoff: { initial: '50ms' } },
      ...blocks(
        script('test "$PANGOLIN_RUN_ID" != failing || exit 7; cat inputs/data inputs/data > outputs/twice'),
        outputs,
      ),
    },
    { id: 'behind', depends_on: ['broken'], ...blocks(script('true')) },
    {
      id: 'denied',
      needs: { x: { from: 'good', select: { kind: 'output', path: 'nothing' } } },
      ...blocks(script('true')),
    },
  ]);

const good = { id: 'x', workspace: { git: { url: '/nowhere' } }, items: [{ id: 'a', ...blocks(script('true')) }] };
/** name → content, the code of the first error. */
const bad: Readonly<Record<string, readonly [string | Uint8Array, string]>> = {
  'truncated.json': [JSON.stringify(good).slice(0, -9), 'Truncated'],
  'binary.yaml': [Buffer.of(0x80, 0, 0xff, 0xfe, 1, 2, 3), 'Binary'],
  'twice.json': ['{"id":"x","id":"y","items":[]}', 'DuplicateKey'],
  'empty.yaml': ['', 'Empty'],
  'typo.json': [JSON.stringify({ ...good, item: [] }), 'UnknownField'],
};

async function exported(deployment: Deployment, target: string): Promise<(name: string) => string> {
  const to = join(deployment.dir, target.replace('/', '-'));
  const { code, stderr } = await deployment.cli('orch', 'outputs', target, '--to', to);
  assert.equal(code, 0, stderr);
  return (name) => readFileSync(join(to, name), 'utf8');
}

function path(compute: Compute): void {
  let deployment: Deployment;
  before(async () => {
    deployment = new Deployment(compute);
    deployment.drop('main.yaml', YAML.replace('$REPO', deployment.repo));
    writeFileSync(join(deployment.dir, 'plan.json'), JSON.stringify(plan(deployment.repo)));
    deployment.copyIn(join(deployment.dir, 'plan.json'), 'plan.json');
    deployment.drop('failing.json', failing(deployment.repo));
    for (const [name, [content]] of Object.entries(bad)) deployment.drop(name, content);
    await deployment.settle();
  });
  after(() => deployment.dispose());

  test('every dropped file, good or bad, gets a receipt and leaves the inbox', () => {
    for (const [name, [, code]] of Object.entries(bad)) {
      const receipt = deployment.receipt(name);
      assert.equal(receipt?.verdict, 'rejected', name);
      assert.equal(receipt.errors[0]?.code, code, `${name}: ${JSON.stringify(receipt.errors)}`);
      assert.equal(receipt.errors[0].file, name);
    }
    for (const [name, run] of [
      ['main.yaml', 'main'],
      ['plan.json', 'bare'],
      ['failing.json', 'failing'],
    ] as const) {
      const receipt = deployment.receipt(name);
      assert.deepEqual([receipt?.verdict, receipt?.run, receipt?.duplicate], ['accepted', run, undefined]);
    }
  });

  test('the status says of every item where it ended, why and after how many attempts', async () => {
    const status = await deployment.status('main');
    assert.equal(status.phase, 'succeeded');
    assert.deepEqual(status.labels, { team: 'payments' });
    assert.deepEqual(status.counts, { done: 4, total: 4 });
    assert.deepEqual(ends(status), {
      first: 'done Succeeded 1',
      second: 'done Succeeded 1',
      aside: 'done Succeeded 1',
      'fan-in': 'done Succeeded 1',
    });
    const fanIn = status.items.at(-1)!;
    assert.deepEqual(fanIn.depends_on?.toSorted(), ['aside', 'first']);
    assert.match(fanIn.startedAt ?? '', /^2.*Z$/);
    assert.ok(fanIn.finishedAt! >= fanIn.startedAt! && fanIn.durationMs! >= 0);
    assert.match(fanIn.patch?.sha256 ?? '', /^[0-9a-f]{64}$/);
    assert.deepEqual(Object.keys(fanIn.outputs ?? {}).sort(), ['deep/a.txt', 'seen']);
    const bare = await deployment.status('bare');
    assert.deepEqual(ends(bare), { only: 'done Succeeded 1' });
  });

  test('a run that failed names the reason of every item, and serving it until idle succeeds', async () => {
    const status = await deployment.status('failing');
    assert.equal(status.phase, 'failed');
    assert.deepEqual(ends(status), {
      good: 'done Succeeded 1',
      broken: 'failed ExitNonZero 2',
      behind: 'skipped DependencyFailed 0',
      denied: 'denied InputMissing 0',
    });
    assert.deepEqual(status.failed.map(({ id }) => id).sort(), ['behind', 'broken', 'denied']);
  });

  test('items that want one lock run one after the other, disjoint ones side by side', async () => {
    const [first, second] = [await exported(deployment, 'main/first'), await exported(deployment, 'main/second')];
    const spans = [first, second]
      .map((read) => [BigInt(read('begin')), BigInt(read('end'))] as const)
      .sort(([a], [b]) => (a < b ? -1 : 1));
    assert.ok(spans[0]![1] <= spans[1]![0], `${spans.join(' ')} overlap`);
    const order = deployment
      .events('main')
      .flatMap((event) => ('itemId' in event ? `${event.kind} ${event.itemId}` : []));
    const at = (what: string): number => order.indexOf(what);
    const firstEnd = Math.min(...order.flatMap((what, index) => (what.startsWith('item.reconciled') ? index : [])));
    assert.ok(at('item.fired first') < firstEnd && at('item.fired aside') < firstEnd, order.join('\n'));
    assert.ok(at('item.fired second') > at('item.reconciled first'), order.join('\n'));
  });

  test('a patch applies onto a clone, bytes and modes included', async () => {
    const clone = join(deployment.dir, 'clone');
    git(deployment.dir, 'clone', '-q', deployment.repo, clone);
    const { code, stderr } = await deployment.cli('orch', 'patch', 'main/fan-in', '--apply', clone);
    assert.equal(code, 0, stderr);
    assert.equal(readFileSync(join(clone, 'src/a.txt'), 'utf8'), 'first\ntwo\nthree\n');
    assert.deepEqual(readFileSync(join(clone, 'src/raw.bin')), Buffer.of(0, 255));
    assert.deepEqual(git(clone, 'status', '--porcelain').trimEnd().split('\n').sort(), [
      ' M run.sh',
      ' M src/a.txt',
      ' M src/raw.bin',
      '?? NOTES.md',
    ]);
  });

  test('outputs come back under their own names, and needs hand over what was selected', async () => {
    const [aside, fanIn] = [await exported(deployment, 'main/aside'), await exported(deployment, 'main/fan-in')];
    assert.equal(fanIn('seen'), aside('begin'));
    assert.equal(fanIn('deep/a.txt'), 'first\ntwo\nthree\n');
    const bare = await exported(deployment, 'bare/only');
    assert.deepEqual(JSON.parse(bare('params.json')), { answer: 42 });
  });

  test('logs have what the blocks printed', async () => {
    const { code, stdout } = await deployment.cli('orch', 'logs', 'main/aside');
    assert.equal(code, 0);
    assert.match(stdout, /^told$/m);
  });

  test('everything that is published conforms to the schema of its kind', () => {
    const kinds: Readonly<Record<string, Kind>> = {
      'receipts/*.json': 'receipt',
      'runs/*/status.json': 'status',
      'runs/*/items.ndjson': 'item',
      'runs/*/attempts/*/*/boot.json': 'boot',
      'runs/*/attempts/*/*/output.json': 'output',
      'runs/*/attempts/*/*/log/*.ndjson': 'logLine',
    };
    for (const [pattern, kind] of Object.entries(kinds)) {
      const files = globSync(pattern, { cwd: deployment.storage });
      assert.ok(files.length > 0, pattern);
      for (const file of files) {
        const text = readFileSync(join(deployment.storage, file), 'utf8');
        for (const document of file.endsWith('.ndjson') ? text.trimEnd().split('\n') : [text]) {
          assert.deepEqual(findingsOf(kind, JSON.parse(document)), [], file);
        }
      }
    }
    const manifests = deployment.predicates('main', 'dispatch');
    assert.equal(manifests.length, 4);
    for (const manifest of manifests) assert.deepEqual(findingsOf('dispatch', manifest), []);
  });

  test('the bundles of a run that succeeded and of one that failed verify', async () => {
    await deployment.verified('main');
    await deployment.verified('bare');
    await deployment.verified('failing');
  });

  test('nothing of a task stays behind', () => deployment.swept());

  test('the same run again changes nothing, another one under its id is a conflict', async () => {
    const before = deployment.events('bare');
    deployment.drop('again.json', plan(deployment.repo));
    deployment.drop('other.json', { ...plan(deployment.repo), items: [{ id: 'only', ...blocks(script('false')) }] });
    await deployment.settle();
    assert.deepEqual(
      [deployment.receipt('again.json')?.verdict, deployment.receipt('again.json')?.duplicate],
      ['accepted', true],
    );
    const other = deployment.receipt('other.json');
    assert.deepEqual([other?.verdict, other?.errors[0]?.code], ['rejected', 'Conflict']);
    assert.deepEqual(deployment.events('bare'), before);
  });

  test('a failed run is retried as a new one that takes over what had succeeded', async () => {
    assert.equal(
      (await deployment.cli('orch', 'retry', 'failing/broken', '--receipt-timeout', '0s', '--actor', 'human:ada')).code,
      0,
    );
    await deployment.settle();
    const status = await deployment.status('failing.retry1');
    assert.deepEqual(ends(status), { broken: 'done Succeeded 1', behind: 'done Succeeded 1' });
    assert.equal(status.labels['pangolin.dev/retry-of'], 'failing');
    assert.equal(status.actor, 'human:ada');
    const broken = await exported(deployment, 'failing.retry1/broken');
    assert.equal(broken('twice'), 'data\ndata\n');
    await deployment.verified('failing.retry1');
  });
}

function cancelling(compute: Compute): void {
  let deployment: Deployment;
  before(() => {
    deployment = new Deployment(compute);
  });
  after(() => deployment.dispose());

  test('cancelling a run stops its task, keeps its partial work and records who asked', async () => {
    const controller = deployment.serve({ args: ['--concurrency', '1'] });
    await controller.logged('it serves', ({ msg }) => msg === 'serving');
    const spec = join(deployment.dir, 'slow.json');
    const slow =
      "echo half > HALF.md; trap 'echo asked to stop; exit 3' TERM; echo ready; while :; do sleep 0.05; done";
    const run = runOf('slow', deployment.repo, [
      { id: 'busy', ...blocks(script(slow), patch) },
      { id: 'behind', depends_on: ['busy'], ...blocks(script('true')) },
      { id: 'queued', ...blocks(script('true')) },
    ]);
    writeFileSync(spec, JSON.stringify(run));
    assert.equal((await deployment.cli('orch', 'submit', spec)).code, 0);
    await poll(
      'the block runs',
      () => deployment.printed('slow', 'busy').includes('ready'),
      () => controller.text,
    );
    const [task] = globSync('controller/tasks-in/*/task.json', { cwd: deployment.storage });
    assert.ok(conforms('task', JSON.parse(readFileSync(join(deployment.storage, task!), 'utf8'))));
    const cancel = await deployment.cli('orch', 'cancel', 'slow', '--actor', 'human:eve', '--reason', 'enough');
    assert.equal(cancel.code, 0, cancel.stderr);
    assert.equal((await deployment.cli('orch', 'watch', 'slow', '--timeout', '60s')).code, 1);
    await deployment.swept();
    await controller.stop();

    const status = await deployment.status('slow');
    assert.equal(status.phase, 'cancelled');
    assert.deepEqual(ends(status), {
      busy: 'cancelled Cancelled 1',
      behind: 'cancelled Cancelled 0',
      queued: 'cancelled Cancelled 0',
    });
    assert.equal(status.items[0]?.partial, true);
    assert.match((await deployment.cli('orch', 'patch', 'slow/busy')).stdout, /^\+half$/m);
    // It had the time to say so: it was asked before it was killed.
    assert.match(deployment.printed('slow', 'busy'), /asked to stop/);
    const event = deployment.events('slow').find(({ kind }) => kind === 'run.cancelled');
    assert.deepEqual([event?.actor, event?.kind === 'run.cancelled' && event.comment], ['human:eve', 'enough']);
    await deployment.verified('slow');
  });
}

const withoutDocker = await dockerSkip();
describe('a run on the process provider', () => path('process'));
describe('a run on docker', { skip: withoutDocker }, () => path('docker'));
describe('cancelling on the process provider', () => cancelling('process'));
describe('cancelling on docker', { skip: withoutDocker }, () => cancelling('docker'));

test('a run edits this very repository at its newest commit', async (t) => {
  const deployment = new Deployment('process');
  t.after(() => deployment.dispose());
  const command = "sed -i '1s/^/<!-- seen -->\\n/' README.md && git log -1 --format=%H > outputs/commit";
  deployment.drop('self.json', runOf('self', repository, [{ id: 'edit', ...blocks(script(command), patch, outputs) }]));
  await deployment.settle();
  assert.deepEqual(ends(await deployment.status('self')), { edit: 'done Succeeded 1' });
  const clone = join(deployment.dir, 'clone');
  git(deployment.dir, 'clone', '-q', repository, clone);
  const read = await exported(deployment, 'self/edit');
  assert.equal(read('commit'), git(clone, 'rev-parse', 'HEAD'));
  assert.equal((await deployment.cli('orch', 'patch', 'self/edit', '--apply', clone)).code, 0);
  assert.deepEqual(git(clone, 'diff', '--numstat').trim(), '1\t0\tREADME.md');
  await deployment.verified('self');
});

test('a second controller of one storage stops at once and says why', async (t) => {
  const deployment = new Deployment('process');
  t.after(() => deployment.dispose());
  const first = deployment.serve();
  await first.logged('it serves', ({ msg }) => msg === 'serving');
  const second = deployment.serve();
  assert.deepEqual(await second.end(), { code: 4, signal: null });
  assert.match(second.text, /another controller serves/);
  assert.match(second.text, /stop the other one/);
  // The first one goes on.
  deployment.drop('after.json', runOf('after', deployment.repo, [{ id: 'a', ...blocks(script('true')) }]));
  await poll(
    'the run is sealed',
    () => first.log.some(({ msg, run }) => msg === 'run sealed' && run === 'after'),
    () => first.text,
  );
  await first.stop();
});
