/** Items that ask a person, through the shipped command: they wait and hold nothing, and go on with the answer. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { Answer } from '@pangolin/contracts/needs-input';
import { blocks, Deployment, ends, outputs, repository, runOf, script, type Result } from './harness.ts';
import { poll } from '../poll.ts';

let deployment: Deployment;
before(() => {
  deployment = new Deployment('process');
});
after(() => deployment.dispose());

const asks = (question: object | string): object =>
  script(
    `if [ -e .pangolin/answer.json ]; then cp .pangolin/answer.json outputs/; exit; fi
     printf '%s' '${typeof question === 'string' ? question : JSON.stringify(question)}' > .pangolin/needs_input.json`,
  );
const item = (id: string, question: object | string, rest: object = {}): object => ({
  id,
  ...blocks(asks(question), script('test -e .pangolin/answer.json'), outputs),
  ...rest,
});
const colours = { question: 'Which colour?', options: ['red', 'blue'], context: { seen: 2 }, partial_state: [1, 'x'] };

test('an item asks, holds nothing while it waits, and goes on with what it is told', async () => {
  const controller = deployment.serve();
  await controller.logged('it serves', ({ msg }) => msg === 'serving');
  const free = { question: 'What now?' };
  const late = (onTimeout: string): object => ({ needsInput: { timeout: '100ms', onTimeout } });
  deployment.drop(
    'ask.json',
    runOf('ask', deployment.repo, [
      item('pick', colours, { resourceLocks: ['x'] }),
      { id: 'beside', resourceLocks: ['x'], ...blocks(script('true')) },
      item('write', free),
      item('dropped', free),
      item('behind', free, { depends_on: ['pick'] }),
      item('late', free, late('fail')),
      item('goes-on', free, late('continue')),
      item('empty', '{}'),
      item('misspelt', { question: 'x', option: ['a'] }),
      { id: 'link', ...blocks(script('ln -s /etc/passwd .pangolin/needs_input.json')) },
      { id: 'fails-first', ...blocks(script(`echo '{"question":"x"}' > .pangolin/needs_input.json; exit 3`)) },
    ]),
  );
  const phases = async (): Promise<Record<string, string>> =>
    ends(await poll('the run', () => deployment.status('ask').catch(() => undefined)));
  const asking = 'waiting WaitingForInput 1';
  let now: Record<string, string> = {};
  const ended = async (): Promise<boolean> => {
    now = await phases();
    const waits = [now['pick'], now['write'], now['dropped']].every((end) => end === asking);
    return waits && Object.values(now).every((end) => /^(waiting|pending|done|failed|denied)/.test(end));
  };
  await poll('all that can end has', ended, () => JSON.stringify(now, null, 1) + controller.text);
  assert.deepEqual(await phases(), {
    pick: asking,
    beside: 'done Succeeded 1',
    write: asking,
    dropped: asking,
    behind: 'pending WaitingForDependencies 0',
    late: 'denied InputTimedOut 1',
    'goes-on': 'done Succeeded 2',
    empty: 'failed NeedsInputInvalid 1',
    misspelt: 'failed NeedsInputInvalid 1',
    link: 'failed NeedsInputInvalid 1',
    'fails-first': 'failed ExitNonZero 1',
  });
  await poll('no task is left', () => deployment.leftovers().length <= 1);

  const shown = (await deployment.cli('orch', 'status', 'ask/pick')).stdout;
  for (const text of ['Which colour?', '- red', '- blue', '{"seen":2}', 'orch answer'])
    assert.ok(shown.includes(text), shown);
  const answer = (...args: string[]): Promise<Result> => deployment.cli('orch', 'answer', ...args);
  const refused = await answer('ask/pick', 'green');
  assert.equal(refused.code, 2);
  assert.match(refused.stderr, /red \| blue/);
  assert.equal((await answer('ask/beside', 'red')).code, 4);
  const told = await answer('ask/pick', 'blue', '--actor', 'human:ada');
  assert.deepEqual([told.code, told.stdout], [0, 'answered ask/pick\n'], told.stderr);
  writeFileSync(join(deployment.dir, 'reply.txt'), 'Write it\nin full.');
  assert.equal((await answer('ask/write', '--file', join(deployment.dir, 'reply.txt'))).code, 0);
  assert.equal((await deployment.cli('orch', 'cancel', 'ask/dropped')).code, 0);
  await poll('the last one asks', async () => (await phases())['behind'] === asking);
  assert.equal((await answer('ask/behind', 'go')).code, 0);
  await poll('the run is sealed', async () => (await deployment.status('ask')).sealedAt !== undefined);
  await controller.stop();

  const told2 = await phases();
  assert.deepEqual(
    ['pick', 'write', 'behind', 'dropped'].map((id) => told2[id]),
    ['done Succeeded 2', 'done Succeeded 2', 'done Succeeded 2', 'cancelled Cancelled 1'],
  );
  assert.deepEqual(await answerOf('pick'), {
    schema: 'answer/1',
    attempt: 1,
    question: 'Which colour?',
    options: ['red', 'blue'],
    partial_state: [1, 'x'],
    answer: 'blue',
  } satisfies Answer);
  assert.equal((await answerOf('write')).answer, 'Write it\nin full.');
  assert.equal((await answerOf('goes-on')).answer, null);
  const events = deployment.events('ask').filter((event) => event.kind === 'item.answered');
  assert.deepEqual(events.map(({ itemId, actor, reason }) => `${itemId} ${actor.split(':')[0]} ${reason}`).sort(), [
    'behind human Answered',
    'goes-on service InputTimedOut',
    'pick human Answered',
    'write human Answered',
  ]);
  await deployment.verified('ask');
});

async function answerOf(id: string): Promise<Answer> {
  const to = join(deployment.dir, `outputs-${id}`);
  const { code, stderr } = await deployment.cli('orch', 'outputs', `ask/${id}`, '--to', to);
  assert.equal(code, 0, stderr);
  return JSON.parse(readFileSync(join(to, 'answer.json'), 'utf8')) as Answer;
}

test('the example of a release asks, waits for an approval, and publishes', async () => {
  const controller = deployment.serve();
  const cli = async (...args: string[]): Promise<void> => {
    const { code, stderr } = await deployment.cli(...args);
    assert.equal(code, 0, stderr);
  };
  const reached = async (id: string, reason: string): Promise<void> => {
    await poll(`${id} is ${reason}`, async () => {
      const status = await deployment.status('release').catch(() => undefined);
      return status?.items.find((each) => each.id === id)?.reason === reason;
    });
  };
  await cli('orch', 'submit', join(repository, 'examples', 'release.yaml'));
  await reached('version', 'WaitingForInput');
  await cli('orch', 'answer', 'release/version', 'minor');
  await reached('publish-ok', 'WaitingForApproval');
  await cli('orch', 'approve', 'release/publish-ok', '--reason', 'looks right');
  await poll('the run is sealed', async () => (await deployment.status('release')).sealedAt !== undefined);
  await controller.stop();
  const status = await deployment.status('release');
  assert.equal(status.phase, 'succeeded');
  assert.deepEqual(ends(status), {
    version: 'done Succeeded 2',
    'publish-ok': 'done Approved 0',
    publish: 'done Succeeded 1',
    'held-back': 'skipped DependencyFailed 0',
    'clean-up': 'done Succeeded 1',
  });
  const to = join(deployment.dir, 'published');
  await cli('orch', 'outputs', 'release/publish', '--to', to);
  assert.equal(readFileSync(join(to, 'published.txt'), 'utf8'), '"answer":"minor"\n');
  await deployment.verified('release');
});
