/**
 * kill -9 of the controller right before and right after the commit of everything that a person, a deadline or a lock decides. The next
 * controller goes on from there: no decision is lost or taken twice, every attempt runs once, and the evidence verifies.
 */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { canonicalBytes } from '@pangolin/contracts/canonical';
import type { Control } from '@pangolin/contracts/control';
import { CONTROL, controlKey } from '@pangolin/contracts/layout';
import type { RunEvent } from '@pangolin/contracts/run-log';
import { openStore } from '@pangolin/storage/open';
import { registerThing } from '@pangolin/storage/registry';
import { blocks, Deployment, ends, runOf, script } from './harness.ts';
import { holds, live } from './lives.ts';
import { poll } from '../poll.ts';

let deployment: Deployment;
before(() => {
  deployment = new Deployment('process');
});
after(() => deployment.dispose());

const at = (name: string): string => join(deployment.dir, name);
/** Leaves a mark for every time that it really runs. */
const marking = (run: string, command = 'true'): object =>
  blocks(script(`echo $PANGOLIN_ITEM_ID $PANGOLIN_ATTEMPT >> ${at(run)}; ${command}`));
const marks = (run: string): string[] => (existsSync(at(run)) ? readFileSync(at(run), 'utf8').trim().split('\n') : []);
const drop = (run: string, items: readonly object[], spec: object = {}): void =>
  deployment.drop(`${run}.json`, runOf(run, deployment.repo, items, spec));

/** A controller dies right before this is committed, the next one right after. */
async function killedAround(commit: string, options: Parameters<typeof live>[2] = {}): Promise<void> {
  for (const side of ['before', 'after']) {
    const point = `commit:${commit}#1:${side}`;
    assert.ok(await live(deployment, point, options), `nothing was killed at ${point}`);
  }
}

/**
 * The words of Claude Code when its subscription is used up, and then when it is not. The real CLI is in test/agents; here controllers
 * die around what follows from such an end.
 */
function limitedAgent(run: string): string {
  const limit = (seconds: string): string =>
    `{"type":"rate_limit_event","rate_limit_info":{"status":"rejected","resetsAt":${seconds}}}`;
  const result = (more: string): string => `{"type":"result","num_turns":1,"result":"words",${more}}`;
  const path = join(at('bin'), 'claude');
  mkdirSync(at('bin'), { recursive: true });
  writeFileSync(
    path,
    `#!/bin/sh
cat > /dev/null
echo agent >> ${at(run)}
if [ $(wc -l < ${at(run)}) -gt 1 ]; then echo '${result('"is_error":false,"subtype":"success"')}'; exit; fi
echo '${limit("'$(date +%s)'")}'
echo '${result('"is_error":true,"api_error_status":429')}'
exit 1
`,
    { mode: 0o755 },
  );
  return `${at('bin')}:${process.env.PATH}`;
}

let controls = 0;
/** Asks for something while no controller is there to answer. */
function ask(verb: Control['verb'], run: string, more: Partial<Control> = {}): void {
  const control: Control = { schema: 'control/1', verb, run, actor: 'human:ada', ...more };
  mkdirSync(join(deployment.storage, CONTROL), { recursive: true });
  writeFileSync(join(deployment.storage, controlKey(`c${controls++}`)), JSON.stringify(control));
}

async function completed(run: string, expected: Readonly<Record<string, string>>): Promise<void> {
  assert.deepEqual(ends(await deployment.status(run)), expected);
  await holds(deployment, run);
}

function count(run: string, kind: RunEvent['kind']): number {
  return deployment.events(run).filter((event) => event.kind === kind).length;
}

describe('a controller that is killed around a decision', { concurrency: 1 }, () => {
  test('an item whose model is rate-limited is parked once, and goes on when its time has come', async () => {
    const store = await openStore(deployment.storage);
    const subagent = canonicalBytes({ runtime: { kind: 'claude-code' } });
    await registerThing(store, 'subagent', 'limited', subagent, 'human:ada', 0);
    const options = { args: ['--unsandboxed'], env: { PATH: limitedAgent('park') } };
    drop('park', [{ id: 'a', subagent: 'limited', inputs: { prompt: 'go' } }]);
    await killedAround('WaitingForRetry', options);
    await live(deployment, undefined, options);
    await completed('park', { a: 'done Succeeded 2' });
    const retried = deployment.events('park').filter((event) => event.kind === 'item.retried');
    assert.deepEqual([marks('park'), retried.map(({ reason }) => reason)], [['agent', 'agent'], ['ModelRateLimited']]);
  });

  test('an item asks once, and its answer counts once', async () => {
    const answered = 'test -e .pangolin/answer.json';
    const question = `echo '{"question":"which?"}' > .pangolin/needs_input.json`;
    drop('input', [{ id: 'a', ...marking('input', `${answered} || ${question}`) }]);
    await killedAround('WaitingForInput');
    ask('answer', 'input', { item: 'a', answer: 'this one' });
    await killedAround('item.answered');
    await live(deployment, undefined);
    await completed('input', { a: 'done Succeeded 2' });
    assert.deepEqual([marks('input'), count('input', 'item.answered')], [['a 1', 'a 2'], 1]);
  });

  test('an approval and a rejection are decided once', async () => {
    drop('decide', [
      { id: 'yes', executor: 'approval' },
      { id: 'no', executor: 'approval' },
      { id: 'a', ...marking('decide'), depends_on: ['yes'] },
      { id: 'b', ...marking('decide'), depends_on: ['no'] },
    ]);
    await killedAround('WaitingForApproval');
    ask('approve', 'decide', { item: 'yes' });
    ask('reject', 'decide', { item: 'no', reason: 'not today' });
    await killedAround('item.decided');
    await live(deployment, undefined);
    const expected = {
      yes: 'done Approved 0',
      no: 'failed Rejected 0',
      a: 'done Succeeded 1',
      b: 'skipped DependencyFailed 0',
    };
    await completed('decide', expected);
    assert.deepEqual([marks('decide'), count('decide', 'item.decided')], [['a 1'], 2]);
  });

  test('a retry is one new run', async () => {
    drop('again', [
      { id: 'a', ...marking('again') },
      { id: 'b', ...marking('again', `test -e ${at('mended')}`), depends_on: ['a'] },
    ]);
    await killedAround('run.completed');
    await live(deployment, undefined);
    writeFileSync(at('mended'), '');
    ask('retry', 'again');
    await killedAround('run.submitted');
    await live(deployment, undefined);
    await completed('again', { a: 'done Succeeded 1', b: 'failed ExitNonZero 1' });
    await completed('again.retry1', { b: 'done Succeeded 1' });
    assert.deepEqual(marks('again'), ['a 1', 'b 1', 'b 1']);
    assert.equal((await deployment.cli('orch', 'status', 'again.retry2')).code, 3);
  });

  test('a run stays paused until both it and its queue are resumed', async () => {
    const gate = `until [ -e ${at('open')} ]; do sleep 0.05; done`;
    drop('pause', [
      { id: 'a', ...marking('pause', gate) },
      { id: 'b', ...marking('pause'), depends_on: ['a'] },
    ]);
    assert.ok(await live(deployment, 'commit:item.fired#1:after'));
    ask('pause', 'pause');
    ask('pause', 'pause', { queue: 'default' });
    await killedAround('run.paused');
    writeFileSync(at('open'), '');
    const controller = deployment.serve();
    await poll('what is behind is held back', async () => {
      const { items } = await deployment.status('pause');
      return items[0]?.phase === 'done' && items[1]?.reason === 'QueuePaused';
    });
    await controller.stop();
    assert.deepEqual(marks('pause'), ['a 1']);
    ask('resume', 'pause');
    ask('resume', 'pause', { queue: 'default' });
    await killedAround('run.resumed');
    await live(deployment, undefined);
    await completed('pause', { a: 'done Succeeded 1', b: 'done Succeeded 1' });
    assert.deepEqual(marks('pause'), ['a 1', 'b 1']);
    assert.deepEqual([count('pause', 'run.paused'), count('pause', 'run.resumed')], [2, 2]);
  });

  test('a lock goes from one to the next', async () => {
    const lock = `echo in >> ${at('lock')}; sleep 0.1; echo out >> ${at('lock')}`;
    drop(
      'lock',
      ['a', 'b', 'c'].map((id) => ({
        id,
        ...blocks(script(lock)),
        resourceLocks: ['x', { key: 'y', mode: 'shared', limit: 1 }],
      })),
    );
    await killedAround('item.reconciled');
    await live(deployment, undefined);
    await completed('lock', { a: 'done Succeeded 1', b: 'done Succeeded 1', c: 'done Succeeded 1' });
    assert.deepEqual(marks('lock'), ['in', 'out', 'in', 'out', 'in', 'out']);
  });

  test('a run times out once, and its onExit items run', async () => {
    drop(
      'late',
      [
        { id: 'a', ...marking('late', 'sleep 600') },
        { id: 'b', ...marking('late'), depends_on: ['a'] },
        { id: 'z', ...marking('late'), onExit: true },
      ],
      { timeout: '2s' },
    );
    await killedAround('run.cancelled');
    await live(deployment, undefined);
    const { a, ...others } = ends(await deployment.status('late'));
    assert.match(a!, /^cancelled RunTimedOut/);
    assert.deepEqual(others, { b: 'cancelled RunTimedOut 0', z: 'done Succeeded 1' });
    await holds(deployment, 'late');
    assert.equal(marks('late').at(-1), 'z 1');
    assert.equal(count('late', 'run.cancelled'), 1);
  });

  test('nothing of a task stays behind', () => deployment.swept());
});
