import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { casKey } from '@pangolin/contracts/layout';
import { packWorkspace, type PackedWorkspace, type WorkspaceContext } from '@pangolin/controller/admission/workspace';
import { createMemoryStore } from '../fakes/memory-store.ts';
import { startGitServer, whyNoServer, type GitServer } from './git-server.ts';
import { commitFiles, gitIn, makeRepository, scratch, unpack } from './repos.ts';

const missing = whyNoServer();
if (missing !== undefined && process.env['CI']) throw new Error(missing);

describe('a repository of an allowed host', { skip: missing ?? false }, () => {
  const dir = scratch();
  let server: GitServer;
  let work: string;
  let first: string;
  let second: string;
  let caches = 0;

  before(async () => {
    mkdirSync(join(dir, 'served'));
    work = join(dir, 'work');
    first = makeRepository(work, { 'a.txt': 'one\n' });
    gitIn(work, 'tag', '-a', 'v1', '-m', 'v1');
    second = commitFiles(work, { 'a.txt': 'two\n' });
    gitIn(dir, 'clone', '-q', '--bare', work, 'served/repo.git');
    server = await startGitServer(join(dir, 'served'), dir);
    process.env['GIT_SSL_CAINFO'] = server.certificate;
  });
  after(() => {
    delete process.env['GIT_SSL_CAINFO'];
    return server.close();
  });

  const fresh = (): WorkspaceContext => ({
    store: createMemoryStore(),
    localBase: dir,
    allowLocalPaths: false,
    allowHosts: [server.host],
    gitCacheDir: join(dir, `cache-${(caches += 1)}`),
  });
  const url = (): string => `https://${server.host}/repo.git`;
  const pack = (more: { ref?: string; commit?: string } = {}, context = fresh()): Promise<PackedWorkspace> =>
    packWorkspace({ git: { url: url(), ...more } }, context);

  test('gives its HEAD, a branch, a tag and a commit that no ref points at', async () => {
    const rows = [
      [{}, second],
      [{ ref: 'main' }, second],
      [{ ref: 'refs/heads/main' }, second],
      [{ ref: 'v1' }, first],
      [{ commit: first }, first],
    ] as const;
    for (const [more, commit] of rows) {
      const packed = await pack(more);
      assert.ok(packed.ok, JSON.stringify(packed));
      assert.equal(packed.workspace.commit, commit);
      assert.equal(packed.workspace.url, url());
    }
  });

  test('gives the same pack as a local clone of it', async () => {
    const context = fresh();
    const remote = await pack({}, context);
    const local = await packWorkspace({ git: { url: work } }, { ...fresh(), allowLocalPaths: true });
    assert.ok(remote.ok && local.ok);
    assert.equal(remote.workspace.sha256, local.workspace.sha256);
    const files = unpack(dir, await context.store.get(casKey(remote.workspace.sha256)), second);
    assert.equal(files.get('100644 a.txt')?.toString(), 'two\n');
  });

  test('is not asked again for a commit that was packed before', async () => {
    const context = fresh();
    await pack({ commit: second }, context);
    const asked = server.requests.length;
    assert.ok((await pack({ commit: second }, context)).ok);
    assert.equal(server.requests.length, asked);
  });

  test('is fetched from by one at a time', async () => {
    const context = fresh();
    const asked = server.requests.length;
    const packs = await Promise.all([pack({ commit: first }, context), pack({ commit: second }, context)]);
    assert.deepEqual(
      packs.map((packed) => packed.ok && packed.workspace.commit),
      [first, second],
    );
    // A fetch is a GET of the refs and then POSTs: side by side, the two GETs would come first.
    const methods = server.requests.slice(asked).map((request) => request.split(' ')[0]);
    assert.match(methods.join(' '), /^GET( POST)+ GET( POST)+$/);
  });

  test('refuses what it does not have, without waiting for a prompt', async () => {
    const code = async (packed: Promise<PackedWorkspace>): Promise<string | undefined> => {
      const result = await packed;
      return result.ok ? undefined : result.refusal.code;
    };
    assert.equal(await code(pack({ ref: 'nobody' })), 'RefNotFound');
    assert.equal(await code(pack({ commit: '1'.repeat(40) })), 'FetchFailed');
    assert.equal(await code(pack({ commit: first.slice(0, 12) })), 'CommitAmbiguous');
    assert.equal(
      await code(packWorkspace({ git: { url: `https://${server.host}/nobody.git` } }, fresh())),
      'FetchFailed',
    );
    server.intercept = (_request, response) => {
      response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end();
      return true;
    };
    assert.equal(await code(pack()), 'FetchFailed');
    server.intercept = () => false;
  });

  test('does not send us elsewhere, not even to itself', async () => {
    const asked = server.requests.length;
    server.intercept = (request, response) => {
      if (!request.url!.startsWith('/alias.git')) return false;
      response.writeHead(302, { location: `https://${server.host}${request.url!.replace('alias', 'repo')}` }).end();
      return true;
    };
    const packed = await packWorkspace({ git: { url: `https://${server.host}/alias.git` } }, fresh());
    server.intercept = () => false;
    assert.ok(!packed.ok && packed.refusal.code === 'FetchFailed');
    assert.equal(server.requests.length, asked + 1);
  });

  test('is not reached when its host is not on the list', async () => {
    const asked = server.requests.length;
    const packed = await packWorkspace({ git: { url: url() } }, { ...fresh(), allowHosts: ['127.0.0.1'] });
    assert.ok(!packed.ok && packed.refusal.code === 'HostRefused');
    assert.equal(server.requests.length, asked);
  });
});
