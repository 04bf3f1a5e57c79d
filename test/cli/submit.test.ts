/** Asking the controller: submit, cancel, retry. The test plays the controller by writing receipts. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { receiptTimeout } from '../../cli/src/read/receipts.ts';
import { receiptKey } from '@pangolin/contracts/layout';
import type { Problem, Receipt } from '@pangolin/contracts/status';
import { actorOfSubmission } from '@pangolin/contracts/submission';
import { exampleStorage, pangolin, SEALED, StorageFolder, tempDir } from './harness.ts';
import { poll } from '../poll.ts';

const RUN = `apiVersion: pangolin.dev/v1
kind: Run
metadata: { name: fresh }
spec:
  items:
    - id: only
      pipeline: { blocks: [ { kind: script, command: "true" } ] }
`;

function fileWith(text: string, name = 'run.yaml'): string {
  const file = join(tempDir(), name);
  writeFileSync(file, text);
  return file;
}

const inbox = (storage: StorageFolder, prefix = 'inbox'): string[] => {
  const dir = join(storage.dir, prefix);
  return existsSync(dir) ? readdirSync(dir).filter((name) => !name.startsWith('.')) : [];
};

/** Answers the next file under inbox/ or control/. @returns its name and text */
async function answer(
  storage: StorageFolder,
  prefix: 'inbox' | 'control',
  receipt: Partial<Receipt>,
): Promise<{ name: string; text: string }> {
  const name = await poll('a dropped file', () => inbox(storage, prefix)[0]);
  const text = readFileSync(join(storage.dir, prefix, name), 'utf8');
  const whole = {
    schema: 'receipt/1',
    submission: name,
    sha256: '0'.repeat(64),
    at: SEALED.sealedAt,
    verdict: 'accepted',
    kind: 'Run',
    actor: 'x',
    errors: [],
    ...receipt,
  };
  storage.put(`receipts/.tmp`, JSON.stringify(whole));
  storage.put(receiptKey(name), JSON.stringify(whole));
  return { name, text };
}

const at = (storage: StorageFolder, ...args: string[]) =>
  pangolin(['--storage', storage.dir, ...args, '--receipt-timeout', '60s']);

test('without a controller a run is queued, and the file is dropped as it is under the name of its actor', async () => {
  const storage = new StorageFolder(join(tempDir(), 'made', 'by', 'submit'));
  const result = await pangolin([
    'orch',
    'submit',
    fileWith(RUN),
    '--storage',
    storage.dir,
    '--actor',
    'agent:rev~1/ü',
    '--receipt-timeout',
    '0s',
  ]);
  assert.deepEqual([result.code, result.stdout], [0, 'queued fresh\n']);
  assert.match(result.stderr, /pangolin orch serve/);
  const [name = ''] = inbox(storage);
  assert.match(name, /^\d{8}T\d{6}\.\d{3}Z-[0-9a-f]{12}~/);
  assert.equal(actorOfSubmission(name), 'agent:rev~1/ü');
  assert.equal(readFileSync(join(storage.dir, 'inbox', name), 'utf8'), RUN);
});

test('relative paths mean the folder of the file; all others stay as they are', async () => {
  const storage = new StorageFolder();
  const item = (id: string, workspace: unknown) => ({
    id,
    workspace,
    pipeline: { blocks: [{ kind: 'script', command: 'true' }] },
  });
  const file = fileWith(
    JSON.stringify({
      id: 'paths',
      workspace: { git: { url: '.' } },
      defaults: { workspace: { path: './sub' } },
      items: [
        item('a', { git: { url: 'repo', ref: 'main' } }),
        item('b', { git: { url: 'https://example.org/repo' } }),
        item('c', { git: { url: 'git@example.org:repo' } }),
        item('d', { git: { url: '/abs/repo' } }),
        item('e', { path: '/abs' }),
      ],
    }),
    'plan.json',
  );
  assert.equal((await pangolin(['orch', 'submit', file, '--storage', storage.dir, '--receipt-timeout', '0s'])).code, 0);
  const dropped = JSON.parse(readFileSync(join(storage.dir, 'inbox', inbox(storage)[0]!), 'utf8')) as {
    workspace: unknown;
    defaults: unknown;
    items: { workspace: { git?: { url: string }; path?: string } }[];
  };
  const dir = join(file, '..');
  assert.deepEqual(
    [dropped.workspace, dropped.defaults],
    [{ git: { url: dir } }, { workspace: { path: join(dir, 'sub') } }],
  );
  assert.deepEqual(
    dropped.items.map(({ workspace }) => workspace.git?.url ?? workspace.path),
    [join(dir, 'repo'), 'https://example.org/repo', 'git@example.org:repo', '/abs/repo', '/abs'],
  );
});

test('an accepted run is named; JSON is the receipt', async () => {
  const storage = new StorageFolder();
  const text = at(storage, 'orch', 'submit', fileWith(RUN));
  await answer(storage, 'inbox', { run: 'fresh' });
  assert.deepEqual([(await text).code, (await text).stdout], [0, 'accepted fresh\n']);

  const other = new StorageFolder();
  const json = pangolin(['orch', 'submit', '-', '-o', 'json', '--storage', other.dir, '--receipt-timeout', '60s'], {
    input: RUN,
  });
  await answer(other, 'inbox', { run: 'fresh', duplicate: true });
  const { code, stdout, stderr } = await json;
  const receipt = JSON.parse(stdout) as Receipt;
  assert.deepEqual(
    [code, receipt.schema, receipt.verdict, receipt.run, receipt.duplicate],
    [0, 'receipt/1', 'accepted', 'fresh', true],
  );
  assert.match(stderr, /admitted before; nothing changed/);
});

for (const [code, exit] of [
  ['UnknownPipeline', 2],
  ['NotFound', 3],
  ['Conflict', 4],
] as const) {
  test(`a run that the controller rejects with ${code} exits ${exit}, and says where in the user's own file`, async () => {
    const storage = new StorageFolder();
    const problem: Problem = {
      file: 'other.json',
      line: 99,
      column: 9,
      path: '/spec/items/0/pipeline',
      code,
      message: 'it will not do',
      hint: 'Try another.',
    };
    const file = fileWith(RUN);
    const result = at(storage, 'orch', 'submit', file);
    await answer(storage, 'inbox', { verdict: 'rejected', run: 'fresh', errors: [problem] });
    const { code: exitCode, stdout, stderr } = await result;
    assert.deepEqual([exitCode, stdout], [exit, '']);
    assert.match(stderr, new RegExp(`^${file}:7:17 ${code} /spec/items/0/pipeline it will not do$`, 'm'));
    assert.match(stderr, /^ {2}hint: Try another\.$/m);
  });
}

test('an invalid file is refused here, with every problem in place, and nothing is dropped', async () => {
  const storage = new StorageFolder();
  const file = fileWith(
    RUN.replace('kind: script', 'knid: script').replace('- id: only', '- id: only\n      depends_on: [nobody]'),
  );
  const { code, stdout, stderr } = await at(storage, 'orch', 'submit', file);
  assert.deepEqual([code, stdout, inbox(storage)], [2, '', []]);
  assert.match(stderr, new RegExp(`^${file}:\\d+:\\d+ \\w+ /spec/items/0/`, 'm'));
  assert.match(stderr, /\^/);
});

for (const [phase, exit] of [
  ['succeeded', 0],
  ['failed', 1],
] as const) {
  test(`submit --wait follows the run and exits ${exit} when it ${phase}`, async () => {
    const storage = new StorageFolder();
    const result = at(storage, 'orch', 'submit', fileWith(RUN), '--wait');
    await answer(storage, 'inbox', { run: 'fresh' });
    const item = {
      id: 'only',
      phase: phase === 'failed' ? 'failed' : 'done',
      reason: 'ExitNonZero',
      attempts: 1,
    } as const;
    storage.run('fresh', { ...SEALED, phase }, [item]);
    const { code, stdout } = await result;
    assert.equal(code, exit);
    assert.match(stdout, new RegExp(`fresh {2}${phase}, sealed`));
  });
}

test('submit --wait without a controller is an error, for nothing would ever end the wait', async () => {
  const { code, stderr } = await pangolin([
    'orch',
    'submit',
    fileWith(RUN),
    '--wait',
    '--receipt-timeout',
    '0s',
    '--storage',
    new StorageFolder().dir,
  ]);
  assert.equal(code, 6);
  assert.match(stderr, /run fresh is queued, and no controller has taken it yet \[UNAVAILABLE\]/);
});

test('submit --wait gives a controller time that is started beside it, unless told otherwise', () => {
  assert.equal(receiptTimeout(undefined, true), 30_000);
  assert.equal(receiptTimeout(undefined, true, 5000), 5000);
  assert.equal(receiptTimeout(0, true), 0);
  assert.equal(receiptTimeout(undefined, false), undefined, 'as the lease says');
});

for (const actor of ['alice', 'robot:x', `human:${'ü'.repeat(100)}`]) {
  test(`the actor ${actor.slice(0, 12)} is refused`, async () => {
    const storage = new StorageFolder();
    const { code, stderr } = await at(storage, 'orch', 'submit', fileWith(RUN), '--actor', actor);
    assert.equal(code, 2);
    assert.match(stderr, /actor/);
    assert.deepEqual(inbox(storage), []);
  });
}

test('cancel and retry drop a control with its actor and print the answer', async () => {
  const storage = exampleStorage();
  const cancelled = at(storage, 'orch', 'cancel', 'open/busy', '--reason', 'too slow', '--actor', 'human:ada');
  const { text } = await answer(storage, 'control', { kind: 'Control', run: 'open' });
  assert.deepEqual(JSON.parse(text), {
    schema: 'control/1',
    verb: 'cancel',
    run: 'open',
    item: 'busy',
    actor: 'human:ada',
    reason: 'too slow',
  });
  assert.deepEqual([(await cancelled).code, (await cancelled).stdout], [0, 'cancelling open/busy\n']);

  const again = exampleStorage();
  const retried = at(again, 'orch', 'retry', 'bad', '--as', 'bad-2');
  const control = await answer(again, 'control', { kind: 'Control', run: 'bad-2' });
  assert.deepEqual(
    [(JSON.parse(control.text) as { verb: string; as: string }).verb, (JSON.parse(control.text) as { as: string }).as],
    ['retry', 'bad-2'],
  );
  assert.deepEqual([(await retried).code, (await retried).stdout], [0, 'accepted bad-2\n']);
});

test('a control that the controller refuses exits with its conflict', async () => {
  const storage = exampleStorage();
  const result = at(storage, 'orch', 'cancel', 'good');
  const errors = [{ file: 'x.json', path: '', code: 'Finished', message: 'run good is succeeded already' }];
  await answer(storage, 'control', { kind: 'Control', verdict: 'rejected', errors });
  const { code, stdout, stderr } = await result;
  assert.deepEqual([code, stdout, stderr], [4, '', 'Finished run good is succeeded already\n']);
});
