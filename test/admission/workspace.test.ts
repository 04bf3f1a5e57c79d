import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, chownSync, existsSync, mkdirSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { formatDigest, sha256 } from '@pangolin/contracts/digest';
import { PangolinError } from '@pangolin/contracts/errors';
import { casKey } from '@pangolin/contracts/layout';
import type { PinnedWorkspace, Workspace } from '@pangolin/contracts/workspace';
import { packWorkspace, type WorkspaceContext } from '@pangolin/controller/admission/workspace';
import { createMemoryStore } from '../fakes/memory-store.ts';
import { commitFiles, gitIn, makeRepository, scratch, unpack, writeFiles } from './repos.ts';

const dir = scratch();
let caches = 0;

/** A context of its own: nothing is remembered from other tests. */
function fresh(): WorkspaceContext {
  const gitCacheDir = join(dir, `cache-${(caches += 1)}`);
  return { store: createMemoryStore(), localBase: dir, allowLocalPaths: true, allowHosts: [], gitCacheDir };
}

async function pack(
  workspace: Workspace,
  context = fresh(),
): Promise<PinnedWorkspace & { files: Map<string, Buffer> }> {
  const packed = await packWorkspace(workspace, context);
  assert.ok(packed.ok, JSON.stringify(packed));
  const bytes = await context.store.get(casKey(packed.workspace.sha256));
  assert.equal(bytes.length, packed.workspace.size);
  return { ...packed.workspace, files: unpack(dir, bytes, packed.workspace.commit) };
}

async function refused(workspace: Workspace, context = fresh()): Promise<string> {
  const packed = await packWorkspace(workspace, context);
  assert.ok(!packed.ok, 'it was packed');
  return packed.refusal.code;
}

const text = (files: Map<string, Buffer>): Record<string, string> =>
  Object.fromEntries([...files].map(([name, bytes]) => [name, bytes.toString('latin1')]));

test('a commit is packed without its history and without uncommitted changes', async () => {
  const repo = join(dir, 'plain');
  const first = makeRepository(repo, { 'a.txt': 'one\n', 'gone.txt': 'secret of the past' });
  rmSync(join(repo, 'gone.txt'));
  const second = commitFiles(repo, { 'a.txt': 'two\n', 'sub/b.bin': Buffer.from([0, 255, 13, 10]) });
  writeFiles(repo, { 'a.txt': 'uncommitted', 'new.txt': 'untracked' });
  const head = await pack({ git: { url: './plain' } });
  assert.equal(head.commit, second);
  assert.equal(head.url, './plain');
  assert.deepEqual(text(head.files), { '100644 a.txt': 'two\n', '100644 sub/b.bin': '\0\xff\r\n' });
  const old = await pack({ git: { url: `file://${repo}`, commit: first.slice(0, 9) } });
  assert.equal(old.commit, first);
  assert.deepEqual(Object.keys(text(old.files)), ['100644 a.txt', '100644 gone.txt']);
});

test('the pack of a commit is the same from any clone, packed or loose, and from a tagged one', async () => {
  const repo = join(dir, 'origin');
  makeRepository(
    repo,
    Object.fromEntries(Array.from({ length: 30 }, (_, i) => [`f${i}.txt`, `${'line\n'.repeat(i)}${i}`])),
  );
  commitFiles(repo, { 'f1.txt': 'changed' });
  const loose = await pack({ git: { url: repo } });
  gitIn(repo, 'tag', '-a', 'v1', '-m', 'v1');
  gitIn(repo, 'repack', '-q', '-adf', '--depth=50', '--window=50');
  const packed = await pack({ git: { url: repo, ref: 'v1' } });
  gitIn(dir, 'clone', '-q', '--bare', repo, 'clone.git');
  const bare = await pack({ git: { url: 'clone.git', ref: 'main' } });
  gitIn(dir, 'clone', '-q', '--depth=1', `file://${repo}`, 'shallow');
  const shallow = await pack({ git: { url: 'shallow' } });
  gitIn(repo, 'worktree', 'add', '-q', '../linked', 'HEAD');
  const linked = await pack({ git: { url: 'linked' } });
  for (const other of [packed, bare, shallow, linked]) {
    assert.deepEqual([other.commit, other.sha256], [loose.commit, loose.sha256]);
  }
});

test('a worktree has a HEAD of its own', async () => {
  const repo = join(dir, 'with-worktree');
  makeRepository(repo);
  gitIn(repo, 'worktree', 'add', '-q', '-b', 'side', '../side');
  const side = commitFiles(join(dir, 'side'), { 'side.txt': 'x' });
  assert.equal((await pack({ git: { url: 'side' } })).commit, side);
  assert.notEqual((await pack({ git: { url: 'with-worktree' } })).commit, side);
});

test('an ambiguous ref, an unknown one, and a name that is no ref are refused', async () => {
  const repo = join(dir, 'refs');
  const first = makeRepository(repo);
  gitIn(repo, 'tag', 'both');
  gitIn(repo, 'checkout', '-q', '-b', 'both');
  const second = commitFiles(repo, { 'b.txt': 'b' });
  assert.equal(await refused({ git: { url: repo, ref: 'both' } }), 'RefAmbiguous');
  assert.equal((await pack({ git: { url: repo, ref: 'refs/tags/both' } })).commit, first);
  assert.equal((await pack({ git: { url: repo, ref: 'refs/heads/both' } })).commit, second);
  assert.equal(await refused({ git: { url: repo, ref: 'nobody' } }), 'RefNotFound');
  assert.equal(await refused({ git: { url: repo, commit: '0'.repeat(40) } }), 'CommitNotFound');
  for (const ref of ['--upload-pack=id', 'a..b', 'HEAD~1', 'a b', 'main^{tree}', '@{u}', ':/x', 'x.lock']) {
    assert.equal(await refused({ git: { url: repo, ref } }), 'RefRefused', ref);
  }
});

test('a branch that is named like a commit is not taken for it', async () => {
  const repo = join(dir, 'named');
  const first = makeRepository(repo);
  commitFiles(repo, { 'b.txt': 'b' });
  gitIn(repo, 'branch', first.slice(0, 8), 'HEAD');
  assert.equal((await pack({ git: { url: repo, commit: first.slice(0, 8) } })).commit, first);
});

test('nothing in a repository runs: hooks, fsmonitor, ssh commands, filters, aliases', async () => {
  const repo = join(dir, 'hostile');
  const commit = makeRepository(repo, { 'a.txt': 'x', '.gitattributes': '* filter=evil diff=evil\n' });
  const mark = join(dir, 'was-run');
  const evil = `touch ${mark}; false`;
  for (const setting of [
    'core.fsmonitor',
    'core.sshCommand',
    'core.pager',
    'filter.evil.clean',
    'filter.evil.smudge',
    'filter.evil.process',
    'core.alternateRefsCommand',
    'alias.rev-parse',
    'alias.rev-list',
    'uploadpack.packObjectsHook',
    'core.gitProxy',
    'credential.helper',
  ]) {
    gitIn(repo, 'config', setting, setting.startsWith('alias') || setting === 'credential.helper' ? `!${evil}` : evil);
  }
  for (const hook of readdirSync(join(repo, '.git', 'hooks'))) rmSync(join(repo, '.git', 'hooks', hook));
  for (const hook of ['post-checkout', 'pre-commit', 'reference-transaction', 'post-index-change']) {
    writeFileSync(join(repo, '.git', 'hooks', hook), `#!/bin/sh\n${evil}\n`);
    chmodSync(join(repo, '.git', 'hooks', hook), 0o755);
  }
  assert.equal((await pack({ git: { url: repo } })).commit, commit);
  await pack({ path: repo });
  assert.ok(!existsSync(mark));
});

test('a replaced object does not change what is packed', async () => {
  const repo = join(dir, 'replaced');
  const first = makeRepository(repo);
  commitFiles(repo, { 'a.txt': 'replacement' });
  gitIn(repo, 'replace', first, 'HEAD');
  const packed = await pack({ git: { url: repo, commit: first } });
  assert.deepEqual(text(packed.files), { '100644 a.txt': 'one\n' });
});

test('a partial clone is refused and not completed behind the back', async () => {
  const repo = join(dir, 'full');
  makeRepository(repo, { 'a.txt': 'content' });
  gitIn(repo, 'config', 'uploadpack.allowFilter', 'true');
  gitIn(dir, 'clone', '-q', '--no-checkout', '--filter=blob:none', `file://${repo}`, 'partial');
  assert.equal(await refused({ git: { url: 'partial' } }), 'WorkspaceIncomplete');
  // A commit that only the origin has: looking for it must not bring it here.
  const later = commitFiles(repo, { 'a.txt': 'later' });
  writeFileSync(join(dir, 'partial', '.git', 'HEAD'), `${later}\n`);
  assert.equal(await refused({ git: { url: 'partial' } }), 'RefNotFound');
  assert.equal(await refused({ git: { url: 'partial', commit: later } }), 'CommitNotFound');
});

test('a damaged object is found before it is pinned', async () => {
  const repo = join(dir, 'damaged');
  makeRepository(repo, { 'a.txt': 'good' });
  const good = gitIn(repo, 'rev-parse', 'HEAD:a.txt');
  writeFiles(dir, { 'bad.txt': 'evil' });
  const bad = gitIn(repo, 'hash-object', '-w', '../bad.txt');
  const path = (oid: string): string => join(repo, '.git', 'objects', oid.slice(0, 2), oid.slice(2));
  rmSync(path(good));
  execFileSync('cp', [path(bad), path(good)]);
  assert.equal(await refused({ git: { url: repo } }), 'WorkspaceDamaged');
});

test('a submodule stays an entry without content', async () => {
  const inner = join(dir, 'inner');
  makeRepository(inner);
  const outer = join(dir, 'outer');
  makeRepository(outer);
  gitIn(outer, 'submodule', '--quiet', 'add', inner, 'lib');
  gitIn(outer, 'commit', '-q', '-m', 'submodule');
  const { files } = await pack({ git: { url: 'outer' } });
  assert.deepEqual([...files.keys()], ['100644 .gitmodules', '100644 a.txt', '160000 lib']);
});

test('a repository of the sha256 format is packed in its own format', async () => {
  const repo = join(dir, 'sha256');
  mkdirSync(repo);
  gitIn(repo, 'init', '-q', '--object-format=sha256');
  const commit = commitFiles(repo, { 'a.txt': 'x' });
  assert.equal(commit.length, 64);
  const context = fresh();
  const packed = await pack({ git: { url: repo } }, context);
  assert.equal(packed.commit, commit);
  const again = await pack(
    { ref: formatDigest(packed.sha256) },
    { ...context, gitCacheDir: join(dir, 'cache-sha256') },
  );
  assert.equal(again.commit, commit);
});

test(
  'a repository of another user is read',
  { skip: process.getuid?.() !== 0 && 'changing an owner needs root' },
  async () => {
    const repo = join(dir, 'foreign');
    const commit = makeRepository(repo);
    for (const entry of ['.', ...readdirSync(repo, { recursive: true }).map(String)])
      chownSync(join(repo, entry), 4242, 4242);
    assert.equal((await pack({ git: { url: 'foreign' } })).commit, commit);
  },
);

test('what is not a repository at its very path is refused', async () => {
  makeRepository(join(dir, 'whole'), { 'part/a.txt': 'x' });
  writeFiles(dir, { 'folder/a.txt': 'x', file: 'x' });
  mkdirSync(join(dir, 'unborn'));
  gitIn(join(dir, 'unborn'), 'init', '-q');
  assert.equal(await refused({ git: { url: 'whole/part' } }), 'NotARepository');
  assert.equal(await refused({ git: { url: 'folder' } }), 'NotARepository');
  assert.equal(await refused({ git: { url: 'nobody' } }), 'WorkspaceNotFound');
  assert.equal(await refused({ git: { url: 'file' } }), 'WorkspaceNotFound');
  assert.equal(await refused({ git: { url: 'unborn' } }), 'RefNotFound');
});

test('a folder is packed byte for byte, without .git and what is ignored, the same every time', async () => {
  const folder = join(dir, 'tree');
  writeFiles(folder, {
    '.gitattributes': '* text=auto eol=lf\n*.txt working-tree-encoding=UTF-16 ident\n',
    '.gitignore': 'ignored\n*.log\n',
    'crlf.c': 'a\r\nb\r\n',
    'wide.txt': Buffer.from('$Id$ plain'),
    'bin.dat': Buffer.from([0, 1, 255, 13, 10]),
    'x.log': 'no',
    'ignored/deep': 'no',
    empty: '',
    'nested/.git/config': 'no',
    'nested/kept.c': 'nested',
    'sub/.gitignore': '!x.log\n',
    'sub/x.log': 'yes',
  });
  writeFileSync(Buffer.concat([Buffer.from(`${folder}/`), Buffer.from([0x66, 0xff])]), 'name');
  writeFiles(folder, { 'run.sh': '#!/bin/sh\n' });
  chmodSync(join(folder, 'run.sh'), 0o755);
  symlinkSync('/etc/passwd', join(folder, 'link'));
  makeRepository(join(folder, 'repo'), { 'inner.txt': 'in', 'old.txt': 'tracked' });
  execFileSync('mkfifo', [join(folder, 'pipe')]);
  const packed = await pack({ path: 'tree' });
  const files = text(packed.files);
  assert.deepEqual(Object.keys(files).sort(), [
    '100644 .gitattributes',
    '100644 .gitignore',
    '100644 bin.dat',
    '100644 crlf.c',
    '100644 empty',
    '100644 f\xff',
    '100644 nested/kept.c',
    '100644 repo/inner.txt',
    '100644 repo/old.txt',
    '100644 sub/.gitignore',
    '100644 sub/x.log',
    '100644 wide.txt',
    '100755 run.sh',
    '120000 link',
  ]);
  assert.equal(files['100644 crlf.c'], 'a\r\nb\r\n');
  assert.equal(files['100644 wide.txt'], '$Id$ plain');
  assert.equal(files['120000 link'], '/etc/passwd');
  assert.equal(packed.url, 'tree');
  execFileSync('cp', ['-r', folder, join(dir, 'tree-copy')]);
  const copy = await pack({ path: 'tree-copy' });
  assert.deepEqual([copy.commit, copy.sha256], [packed.commit, packed.sha256]);
  writeFiles(folder, { 'crlf.c': 'a\nb\n' });
  assert.notEqual((await pack({ path: 'tree' })).commit, packed.commit);
});

test('packing a folder writes nothing into it', async () => {
  const folder = join(dir, 'untouched');
  makeRepository(folder);
  const list = (): string[] => readdirSync(folder, { recursive: true }).map(String).sort();
  const before = list();
  await pack({ path: 'untouched' });
  await pack({ git: { url: 'untouched' } });
  assert.deepEqual(list(), before);
});

test('an empty folder is a workspace too', async () => {
  mkdirSync(join(dir, 'void'));
  assert.equal((await pack({ path: 'void' })).files.size, 0);
});

test('this repository is packed, every committed file of it', async () => {
  const root = fileURLToPath(new URL('../../', import.meta.url));
  if (!existsSync(join(root, '.git'))) return;
  const packed = await pack({ git: { url: root } });
  const tracked = execFileSync('git', ['-c', 'safe.directory=*', 'ls-tree', '-r', '--name-only', packed.commit], {
    cwd: root,
    encoding: 'utf8',
  });
  assert.equal(packed.files.size, tracked.trim().split('\n').length);
});

test('a commit that was packed before is not packed again, unless the store lost it', async () => {
  const repo = join(dir, 'again');
  makeRepository(repo);
  const context = fresh();
  const first = await pack({ git: { url: repo } }, context);
  const put = context.store.put.bind(context.store);
  let puts = 0;
  const store = { ...context.store, put: (...args: Parameters<typeof put>) => ((puts += 1), put(...args)) };
  assert.equal((await pack({ git: { url: repo } }, { ...context, store })).sha256, first.sha256);
  assert.equal(puts, 0);
  await context.store.delete(casKey(first.sha256));
  assert.equal((await pack({ git: { url: repo } }, { ...context, store })).sha256, first.sha256);
  assert.equal(puts, 1);
  assert.deepEqual(readdirSync(join(context.gitCacheDir, 'tmp')), []);
});

test('a reference must be a pack of exactly one whole commit', async () => {
  const repo = join(dir, 'for-ref');
  makeRepository(repo, { 'a.txt': 'x' });
  const context = fresh();
  const packed = await pack({ git: { url: repo } }, context);
  const elsewhere = (): WorkspaceContext => ({ ...context, gitCacheDir: join(dir, `cache-${(caches += 1)}`) });
  assert.equal((await pack({ ref: formatDigest(packed.sha256) }, elsewhere())).commit, packed.commit);
  assert.equal(await refused({ ref: formatDigest('0'.repeat(64)) }, elsewhere()), 'WorkspaceNotFound');

  commitFiles(repo, { 'b.txt': 'y' });
  const pile = (input: string): Buffer => execFileSync('git', ['pack-objects', '--stdout', '-q'], { cwd: repo, input });
  const objects = gitIn(repo, 'rev-list', '--objects', '--no-walk', 'HEAD');
  const blob = gitIn(repo, 'rev-parse', 'HEAD:b.txt');
  const rows: readonly (readonly [string, Buffer])[] = [
    ['no pack', Buffer.from('PACK but no')],
    ['two commits', pile(gitIn(repo, 'rev-list', '--objects', 'HEAD'))],
    [
      'a missing blob',
      pile(
        objects
          .split('\n')
          .filter((line) => !line.startsWith(blob))
          .join('\n'),
      ),
    ],
    ['an extra blob', pile(`${objects}\n${gitIn(repo, 'hash-object', '-w', '.git/HEAD')}\n`)],
    ['no commit', pile(blob)],
  ];
  for (const [name, bytes] of rows) {
    await context.store.put(casKey(sha256(bytes)), bytes);
    assert.equal(await refused({ ref: formatDigest(sha256(bytes)) }, elsewhere()), 'WorkspaceInvalid', name);
  }
  const damaged = sha256('what it should hold');
  await context.store.put(casKey(damaged), 'something else');
  assert.equal(await refused({ ref: formatDigest(damaged) }, elsewhere()), 'WorkspaceDamaged');
});

test('a store that does not answer is an error to try again, not a refusal', async () => {
  const repo = join(dir, 'no-store');
  makeRepository(repo);
  const context = fresh();
  const store = { ...context.store, put: () => Promise.reject(new PangolinError('UNAVAILABLE', 'down')) };
  await assert.rejects(packWorkspace({ git: { url: repo } }, { ...context, store }), { code: 'UNAVAILABLE' });
});
