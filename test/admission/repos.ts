/** Real git repositories in a temporary directory. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after } from 'node:test';

/** Removed after the tests of the file. */
export function scratch(): string {
  const dir = mkdtempSync(join(tmpdir(), 'pangolin-admission-'));
  after(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

export function gitIn(dir: string, ...args: readonly string[]): string {
  const who = [
    '-c',
    'user.name=T',
    '-c',
    'user.email=t@example.com',
    '-c',
    'init.defaultBranch=main',
    '-c',
    'protocol.file.allow=always',
  ];
  const env = { PATH: process.env['PATH'], HOME: dir, GIT_CONFIG_NOSYSTEM: '1', LC_ALL: 'C' };
  return execFileSync('git', [...who, ...args], {
    cwd: dir,
    env,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  }).trim();
}

export type Files = Readonly<Record<string, string | Buffer>>;

export function writeFiles(dir: string, files: Files): void {
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(dir, name)), { recursive: true });
    writeFileSync(join(dir, name), text);
  }
}

export function commitFiles(dir: string, files: Files, message = 'change'): string {
  writeFiles(dir, files);
  gitIn(dir, 'add', '-A', '-f');
  gitIn(dir, 'commit', '-q', '-m', message);
  return gitIn(dir, 'rev-parse', 'HEAD');
}

export function makeRepository(dir: string, files: Files = { 'a.txt': 'one\n' }): string {
  mkdirSync(dir, { recursive: true });
  gitIn(dir, 'init', '-q');
  return commitFiles(dir, files, 'first');
}

/** What a worker gets out of a pack: `mode path` → content, read by git itself in an empty repository. */
export function unpack(dir: string, pack: Buffer, commit: string): Map<string, Buffer> {
  const repo = join(dir, `unpacked-${commit.slice(0, 8)}-${Math.random().toString(36).slice(2)}`);
  mkdirSync(repo);
  gitIn(repo, 'init', '-q', '--bare', ...(commit.length === 64 ? ['--object-format=sha256'] : []));
  writeFileSync(join(repo, 'shallow'), `${commit}\n`);
  execFileSync('git', ['index-pack', '--stdin', '--fix-thin'], {
    cwd: repo,
    input: pack,
    stdio: ['pipe', 'ignore', 'pipe'],
  });
  const env = { ...process.env, GIT_DIR: repo };
  const tree = execFileSync('git', ['ls-tree', '-r', '-z', commit], { env, encoding: 'latin1' });
  const files = new Map<string, Buffer>();
  for (const line of tree.split('\0').filter(Boolean)) {
    const [, mode, type, oid, name] = /^(\d+) (\w+) (\w+)\t([\s\S]*)$/.exec(line)!;
    files.set(
      `${mode} ${name}`,
      type === 'blob' ? execFileSync('git', ['cat-file', 'blob', oid!], { env }) : Buffer.from(oid!),
    );
  }
  return files;
}
