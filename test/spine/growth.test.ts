/** Runs that grow while they run, through the shipped command on the process provider. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { blocks, Deployment, ends, outputs, repository, runOf, script } from './harness.ts';
import { poll } from '../poll.ts';

let deployment: Deployment;
before(() => {
  deployment = new Deployment('process');
});
after(() => deployment.dispose());

const out = blocks(script('echo "$PANGOLIN_ITEM_ID" > outputs/name'), outputs);
const copy = blocks(script('cat inputs/name > outputs/name; git log --oneline | wc -l >> outputs/name'), outputs);
const nameOf = (from: string): object => ({ from, select: { kind: 'output', path: 'name' } });

function file(name: string, content: object): string {
  const path = join(deployment.dir, name);
  writeFileSync(path, JSON.stringify(content));
  return path;
}
const extension = (run: string, spec: object): object => ({
  apiVersion: 'pangolin.dev/v1',
  kind: 'Extension',
  spec: { run, ...spec },
});

test('an open-ended run takes items until it is closed, and is sealed only then', async () => {
  const inherited = { openEnded: true, defaults: { ...copy, timeout: '7m' } };
  deployment.drop('feed.json', runOf('feed', repository, [{ id: 'first', ...out }], inherited));
  const controller = deployment.serve();
  await poll('the first item is done', async () => {
    const status = await deployment.status('feed').catch(() => undefined);
    return status?.counts.done === 1;
  });
  const bare = file('more.json', {
    workspace: { git: { url: repository } },
    items: [
      { id: 'second', ...out, needs: { name: nameOf('first') } },
      { id: 'last', ...out, onExit: true },
    ],
  });
  const added = await deployment.json<{ kind: string; run: string }>('orch', 'extend', 'feed', bare);
  assert.deepEqual([added.kind, added.run], ['Extension', 'feed']);
  const again = await deployment.json<{ duplicate?: boolean }>('orch', 'extend', 'feed', bare);
  assert.equal(again.duplicate, true, 'the same items twice are one extension');

  deployment.drop('third.yaml', extension('feed', { items: [{ id: 'third', needs: { name: nameOf('second') } }] }));
  await poll('the dropped one is answered', () => deployment.receipt('third.yaml') !== undefined);
  assert.deepEqual(deployment.receipt('third.yaml')?.errors, []);
  await poll('everything is done', async () => (await deployment.status('feed')).counts.done === 3);
  assert.equal((await deployment.status('feed')).phase, 'running', 'nothing is left to do, but it was not closed');

  assert.equal((await deployment.cli('orch', 'close', 'feed')).code, 0);
  await poll('the run is sealed', async () => (await deployment.status('feed')).sealedAt !== undefined);
  await controller.stop();
  assert.deepEqual(ends(await deployment.status('feed')), {
    first: 'done Succeeded 1',
    second: 'done Succeeded 1',
    last: 'done Succeeded 1',
    third: 'done Succeeded 1',
  });
  const events = deployment.events('feed');
  const kinds = events.map(({ kind }) => kind).filter((kind) => kind.startsWith('run.'));
  assert.deepEqual(kinds, ['run.submitted', 'run.extended', 'run.extended', 'run.closed', 'run.completed']);
  assert.equal(events.findLast((event) => event.kind === 'item.fired')?.itemId, 'last');
  assert.match(events.find(({ kind }) => kind === 'run.extended')!.actor, /^human:/);
  await deployment.verified('feed');
  // In the commit of the run's workspace, with the run's own pipeline.
  assert.equal((await deployment.cli('orch', 'outputs', 'feed/third', '--to', join(deployment.dir, 'third'))).code, 0);
  assert.match(readFileSync(join(deployment.dir, 'third', 'name'), 'utf8'), /^second\n1\n$/);
  const late = await deployment.cli('orch', 'extend', 'feed', file('late.json', { items: [{ id: 'late', ...out }] }));
  assert.equal(late.code, 0, 'nothing serves any more: it waits in the inbox');
});

test('what does not fit is refused with its place, and changes nothing', async () => {
  const items = [{ id: 'a', ...out }];
  deployment.drop('open.json', runOf('open', repository, items, { openEnded: true }));
  deployment.drop('shut.json', runOf('shut', repository, items));
  const controller = deployment.serve();
  await poll('the runs are admitted', () => {
    return ['open.json', 'shut.json'].every((name) => deployment.receipt(name) !== undefined);
  });
  const refused = async (run: string, content: object, code: number, pattern: RegExp): Promise<void> => {
    const result = await deployment.cli('orch', 'extend', run, file('bad.json', content));
    assert.equal(result.code, code, result.stderr);
    assert.match(result.stderr, pattern);
  };
  await refused(
    'open',
    { items: [{ id: 'b', ...out, dependson: ['a'] }] },
    2,
    /bad\.json:1:\d+.*dependson.*depends_on/s,
  );
  await refused('open', { items: [{ id: 'b', ...out, depends_on: ['x'] }] }, 2, /bad\.json:1:\d+.*no item `?"?x/s);
  await refused(
    'open',
    { items: [{ id: 'a', ...blocks(script('true')) }] },
    4,
    /bad\.json:1:\d+.*has an item a already/s,
  );
  const circle = [
    { id: 'b', ...out, depends_on: ['c'] },
    { id: 'c', ...out, depends_on: ['b'] },
  ];
  await refused('open', { items: circle }, 2, /wait for each other: b → c → b/);
  await refused('open', { items: [{ id: 'b', pipeline: 'no.such' }] }, 2, /bad\.json:1:\d+.*no\.such.*not registered/s);
  await refused('open', extension('other', { items: [{ id: 'b', ...out }] }), 2, /for the run other, not for open/);
  await refused('open', { apiVersion: 'pangolin.dev/v1', kind: 'Run', spec: { items } }, 2, /no extension/);
  await refused('shut', { items: [{ id: 'b', ...out }] }, 4, /takes no extensions|succeeded already/);
  await refused('nowhere', { items: [{ id: 'b', ...out }] }, 3, /no run nowhere/);
  assert.equal((await deployment.cli('orch', 'close', 'shut')).code, 4);

  assert.equal((await deployment.cli('orch', 'cancel', 'open')).code, 0);
  await poll('the run is sealed', async () => (await deployment.status('open')).sealedAt !== undefined);
  await refused('open', { items: [{ id: 'b', ...out }] }, 4, /is \w+ already/);
  await controller.stop();
  assert.deepEqual(Object.keys(ends(await deployment.status('open'))), ['a']);
  assert.equal(deployment.events('open').filter(({ kind }) => kind === 'run.extended').length, 0);
  await deployment.verified('open');
});
