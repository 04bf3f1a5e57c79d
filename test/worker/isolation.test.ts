/** What a hostile block can reach, and what it can forge: nothing. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync, type StdioOptions } from 'node:child_process';
import { closeSync, copyFileSync, existsSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { parseAssignment } from '@pangolin/worker-image/assignment';
import { optionsFrom } from '@pangolin/worker-image/options';
import { stage } from '@pangolin/worker-image/stage/stage';
import { StoreClient } from '@pangolin/worker-image/store-client';
import { TaskGrants } from '@pangolin/worker-image/task-grants';
import { poll } from '../poll.ts';
import { cutOut } from '../redteam/weakened.ts';
import { BLOCK_UID, bundle, finished, needsRoot, prepare, run, scratch, script, start } from './harness.ts';
import type { Dirs } from './harness.ts';

/** Shell: says what it could reach of the process that started it and of the runner's directories. */
const SPY = `
runner=$PPID
for what in environ mem maps; do
  if head -c 1 /proc/$runner/$what >/dev/null 2>&1; then echo "read $what"; fi
done
if ls /proc/$runner/fd/0 >/dev/null 2>&1; then echo "read fd"; fi
grep -l runner-secret /proc/[0-9]*/environ 2>/dev/null
for file in "$W/private/git/HEAD" "$IN/task.json" "$OUT/boot.json"; do
  if cat "$file" >/dev/null 2>&1; then echo "read $file"; fi
done
for file in "$OUT/output.json" "$OUT/boot.json" "$OUT/log/000009.ndjson" "$OUT/patch" "$IN/x" "$W/x" "$W/private/x"; do
  if (echo forged > "$file") 2>/dev/null; then echo "wrote $file"; fi
done
kill -TERM $runner 2>/dev/null && echo "signalled the runner"
ls /proc/self/fd | tr '\\n' ' '
`;

test(
  'a block reaches nothing of the runner: environment, memory, descriptors, directories, signals',
  needsRoot,
  async () => {
    const env = { W: '..', IN: '../../in', OUT: '../../out' };
    const result = await run({ files: { a: 'a' }, blocks: [script(SPY, { env })] });
    assert.equal(result.output.reason, undefined, result.notes);
    assert.equal(result.printed.trim(), '0 1 2 3', 'only ls itself opened a fourth descriptor');
    assert.deepEqual(result.output.sandbox, { user: 'separate', capabilities: 'none' });
  },
);

/** Runs the worker with what it may have of the kernel's capabilities, or hand on; false where that cannot be done. */
function underSetpriv(t: TestContext, args: readonly string[], program: string, dirs: Dirs): boolean {
  const { error } = spawnSync('setpriv', [...args, process.execPath, program], { env: dirs.env });
  if (error === undefined) return true;
  assert.equal(process.env['CI'], undefined, 'setpriv is missing');
  t.skip('setpriv is missing');
  return false;
}

test('where the kernel lets blocks into the worker none is run', needsRoot, async (t) => {
  // The switch of users leaves blocks a capability that opens other processes to them.
  const leaky = ['--securebits=+no_setuid_fixup', '--inh-caps=+sys_ptrace', '--ambient-caps=+sys_ptrace'];
  const blocks = [script('head -c 1 /proc/$PPID/maps >/dev/null && ls /proc/$PPID/root/ >/dev/null && echo GOT')];
  const trusting = join(scratch, 'trusting.mjs');
  copyFileSync(bundle(), trusting);
  cutOut([trusting], [[/(?<=^async function proveGuard\([^)]*\) \{)/gm, 1, ' return;']]);
  const [reached, kept] = [await prepare({ blocks }), await prepare({ blocks })];
  if (!underSetpriv(t, leaky, trusting, reached) || !underSetpriv(t, leaky, bundle(), kept)) return;
  assert.equal(finished({ code: 0, stderr: '', dirs: reached }).printed, 'GOT', 'the attack does not work at all');
  const { output, printed } = finished({ code: 0, stderr: '', dirs: kept });
  assert.deepEqual([output.reason, output.sandbox, printed], ['SandboxUnsupported', undefined, '']);
  assert.match(output.message ?? '', /could reach into the worker: .*\/proc\/\d+\/maps.*no block was run/);
});

test('descriptors that the starter leaked do not reach a block', needsRoot, async () => {
  const dirs = await prepare({ blocks: [script('ls -l /proc/self/fd')] });
  // Node itself keeps the first few from its children, so this one is far up.
  const leak = openSync(join(dirs.in, 'task.json'), 'r');
  const stdio: StdioOptions = [...Array.from({ length: 60 }, () => 'ignore' as const), leak];
  spawnSync(process.execPath, [bundle()], { env: dirs.env, stdio });
  closeSync(leak);
  const { printed } = finished({ code: 0, stderr: '', dirs });
  assert.match(printed, / 2 -> /);
  assert.doesNotMatch(printed, /task\.json/);
});

test('a block cannot name a file of the runner through a hard link or a link in outputs', needsRoot, async () => {
  const { code, output, patch, notes } = await run({
    files: { a: 'a\n' },
    blocks: [
      script(
        'ln -s /etc/passwd outputs/link; ln -s /etc/passwd passwd; ln -s / root; mkfifo outputs/pipe; echo ok > outputs/ok',
      ),
    ],
  });
  assert.equal(code, 0);
  assert.deepEqual(Object.keys(output.products.outputs), ['ok']);
  assert.match(
    notes,
    /outputs\/link is no regular file[\s\S]*outputs\/pipe is no regular file|outputs\/pipe is no[\s\S]*outputs\/link is no/,
  );
  assert.match(patch ?? '', /new file mode 120000/);
  assert.doesNotMatch(patch ?? '', /root:/);
});

test('a file that belongs to somebody else is no product', needsRoot, async () => {
  const dirs = await prepare({
    files: { a: 'a\n' },
    blocks: [script('until [ -e outputs/planted ]; do sleep 0.05; done')],
  });
  const { ended } = start(dirs);
  await poll('the workspace is there', () => existsSync(join(dirs.work, 'workspace', '.pangolin', 'inputs.json')));
  const workspace = join(dirs.work, 'workspace');
  writeFileSync(join(workspace, 'planted'), 'of root');
  writeFileSync(join(workspace, 'outputs', 'planted'), 'of root');
  const { output, patch, notes } = finished(await ended);
  assert.deepEqual(output.products, { outputs: {} });
  assert.equal(patch, undefined);
  assert.match(notes, /planted does not belong to the block user/);
});

test('only the ignore rules of the baseline hide new files, and they never hide tracked ones', needsRoot, async () => {
  const { patch } = await run({
    files: {
      '.gitignore': 'node_modules/\n*.log\n!keep.log\n',
      'src/.gitignore': '/gen\n',
      'kept.log': 'tracked\n',
      'node_modules/vendored': 'v\n',
    },
    blocks: [
      script(`mkdir -p node_modules/x src/gen/deep lib/gen deep/er
        touch node_modules/x/y src/gen/deep/z x.log
        for f in keep.log lib/gen/shown deep/er/new ':top' node_modules.txt; do echo n > "$f"; done
        echo changed > kept.log; echo changed > node_modules/vendored
        echo '*' > deep/.gitignore; echo '*' >> .gitignore`),
    ],
  });
  const names = [...(patch ?? '').matchAll(/^diff --git a\/(.*) b\//gm)].map((match) => match[1]);
  assert.deepEqual(
    names.sort(),
    [
      '.gitignore',
      ':top',
      'deep/.gitignore',
      'deep/er/new',
      'keep.log',
      'kept.log',
      'lib/gen/shown',
      'node_modules.txt',
      'node_modules/vendored',
    ].sort(),
  );
});

test('a repository planted inside the workspace hides nothing but itself', needsRoot, async () => {
  const { patch, notes } = await run({
    files: { 'sub/tracked': 'one\n' },
    blocks: [
      script(
        'cd sub && git init -q . && echo two > tracked && echo new > new && git add -A && mkdir x && echo gitdir: /nowhere > x/.git && echo y > x/y',
      ),
    ],
  });
  const names = [...(patch ?? '').matchAll(/^diff --git a\/(.*) b\//gm)].map((match) => match[1]);
  assert.deepEqual(names, ['sub/new', 'sub/tracked', 'sub/x/y']);
  assert.match(notes, /sub\/\.git belongs to a repository inside the workspace/);
});

test('a daemon that left its session and ignores SIGTERM is dead before anything is captured', needsRoot, async () => {
  const daemon = `trap '' TERM HUP; while :; do echo tick >> a; echo tick >> outputs/o; sleep 0.01; done`;
  const { output, patch, notes } = await run({
    files: { a: '' },
    blocks: [
      script(`(env -i setsid sh -c "$DAEMON" </dev/null >/dev/null 2>&1 &) ; until [ -s a ]; do sleep 0.01; done`, {
        env: { DAEMON: daemon },
      }),
      { kind: 'capture', what: 'patch', required: true },
    ],
  });
  assert.equal(output.status, 'succeeded');
  assert.match(notes, /killed \d+ processes that the block left behind/);
  assert.match(patch ?? '', /^\+tick$/m);
  const left = execFileSync('ps', ['-eo', 'uid,pid,stat'])
    .toString()
    .split('\n')
    .filter((line) => new RegExp(`^\\s*${BLOCK_UID}\\s+\\d+\\s+[^Z]`).test(line));
  assert.deepEqual(left, []);
});

test('a block that forks without end is stopped', needsRoot, async () => {
  const { output } = await run({
    blocks: [
      {
        ...script(`ulimit -u 200 2>/dev/null; bomb() { while :; do (bomb &) ; done; }; bomb 2>/dev/null`),
        timeout: '1s',
      },
    ],
    graceMs: 500,
  });
  assert.equal(output.reason, 'TimedOut');
});

test('where blocks share the user of the runner, what stays in their session or keeps its environment is killed', async () => {
  const { notes, output } = await run({
    user: 'plain',
    blocks: [script('(setsid sleep 300 &); sleep 300 & echo started')],
  });
  assert.equal(output.status, 'succeeded');
  assert.match(notes, /killed 2 processes/);
});

test('a manifest that promises a separate user is refused where there is none', async () => {
  const dirs = await prepare({ user: 'plain', blocks: [script('true')] });
  const never = new AbortController().signal;
  const assignment = parseAssignment(readFileSync(join(dirs.in, 'task.json')), dirs.env['PANGOLIN_MANIFEST_SHA256']);
  const options = optionsFrom(dirs.env, never);
  const grants = new TaskGrants(dirs.in, new StoreClient(), assignment.grants);
  const staged = stage({ ...assignment, separateUser: true }, options, grants, never);
  await assert.rejects(staged, /promises a separate block user/);
});

test('the attempt directory is closed to a block user who could write into it', needsRoot, async () => {
  const dirs = await prepare({ blocks: [script('ls ../../out; echo forged > ../../out/output.json; true')] });
  execFileSync('chmod', ['0777', dirs.out]);
  const { output, printed } = finished(await start(dirs).ended);
  assert.deepEqual([output.status, printed], ['succeeded', '']);
  assert.equal(execFileSync('stat', ['-c', '%a', dirs.out]).toString().trim(), '700');
});

test('five capabilities are enough, with no new privileges', needsRoot, async (t) => {
  const dirs = await prepare({
    files: { a: 'a\n' },
    inputs: { data: 'x' },
    blocks: [
      script(
        '(setsid sleep 300 &); echo b >> a; umask 077; mkdir outputs/d; echo o > outputs/d/o; chmod 0 outputs/d/o outputs/d',
      ),
    ],
  });
  const caps = '-all,+setuid,+setgid,+chown,+dac_override,+kill';
  if (!underSetpriv(t, ['--no-new-privs', `--bounding-set=${caps}`], bundle(), dirs)) return;
  const { output, patch, notes } = finished({ code: 0, stderr: '', dirs });
  assert.equal(output.status, 'succeeded');
  assert.match(patch ?? '', /^\+b$/m);
  assert.deepEqual(Object.keys(output.products.outputs), ['d/o']);
  assert.match(notes, /killed 1 processes/);
});
