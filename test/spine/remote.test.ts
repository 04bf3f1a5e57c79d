/** A workspace of a repository elsewhere, through the shipped command: from an allowed host it is pinned, from another it is refused. */
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { startGitServer, whyNoServer } from '../admission/git-server.ts';
import { blocks, Deployment, ends, git, outputs, runOf, script } from './harness.ts';

const missing = whyNoServer();
if (missing !== undefined && process.env['CI']) throw new Error(missing);

test('a run takes its workspace from an allowed host, and from no other', { skip: missing ?? false }, async (t) => {
  const deployment = new Deployment('process');
  const served = join(deployment.dir, 'served');
  mkdirSync(served);
  git(deployment.dir, 'clone', '-q', '--bare', deployment.repo, join(served, 'repo.git'));
  const server = await startGitServer(served, deployment.dir);
  t.after(async () => {
    await server.close();
    await deployment.dispose();
  });
  const url = `https://${server.host}/repo.git`;
  const env = { GIT_SSL_CAINFO: server.certificate };
  const items = [{ id: 'read', ...blocks(script('git log -1 --format=%H > outputs/commit'), outputs) }];

  deployment.drop('refused.json', runOf('far', url, items));
  await deployment.settle({ env });
  const refused = deployment.receipt('refused.json');
  assert.deepEqual([refused?.verdict, refused?.errors[0]?.code], ['rejected', 'HostRefused']);
  assert.deepEqual(server.requests, []);

  writeFileSync(join(deployment.storage, 'pangolin.yaml'), `git:\n  allowHosts: ["${server.host}"]\n`);
  deployment.drop('far.json', runOf('far', url, items));
  await deployment.settle({ env });
  assert.deepEqual(ends(await deployment.status('far')), { read: 'done Succeeded 1' });
  const to = join(deployment.dir, 'out');
  assert.equal((await deployment.cli('orch', 'outputs', 'far/read', '--to', to)).code, 0);
  assert.equal(readFileSync(join(to, 'commit'), 'utf8'), git(deployment.repo, 'rev-parse', 'HEAD'));
  await deployment.verified('far');
});
