/**
 * A plain folder as a commit that depends on its files alone: fixed author, dates and message, raw bytes (no line end or
 * encoding conversion whatever `.gitattributes` says), modes reduced to executable or not. Left out: every `.git`, what
 * `.gitignore` files of the folder ignore, empty directories, sockets and pipes. The folder itself is not written to.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { show } from '@pangolin/contracts/formats';
import { git } from './git.ts';
import { bareRepository } from './git-pack.ts';
import { folderAt, type Found } from './git-commits.ts';
import { refuse } from './refusal.ts';

const identity = { name: 'Pangolin', email: 'pangolin@localhost', date: '2000-01-01T00:00:00Z' };
const MESSAGE = 'Pangolin workspace\n';
/** Repositories within repositories. */
const NESTED_MAX = 32;

/** `dir` is a scratch directory of the caller, outside of the folder. @throws a refusal. */
export async function commitFolder(path: string, dir: string): Promise<Found> {
  const folder = await folderAt(path);
  const gitDir = await bareRepository(join(dir, 'folder.git'), 'sha1');
  await writeFile(join(gitDir, 'config'), '[core]\n\trepositoryformatversion = 0\n\tbare = false\n');
  await mkdir(join(gitDir, 'info'));
  // Counts more than every .gitattributes of the folder.
  await writeFile(join(gitDir, 'info', 'attributes'), '* -text -ident !crlf !eol !filter !working-tree-encoding\n');
  const options = { gitDir, workTree: folder, cwd: folder, indexFile: join(dir, 'index') };
  const files = await listFiles(folder, gitDir, '', 0);
  const input = Buffer.from(files.map((file) => `${file}\0`).join(''), 'latin1');
  const added = await git(['update-index', '--add', '-z', '--stdin'], { ...options, input });
  if (added.code !== 0) {
    refuse('WorkspaceUnreadable', `a file of ${show(path)} cannot be read`, added.stderr.split('\n')[0]?.slice(0, 300));
  }
  const tree = (await git(['write-tree'], options)).stdout.toString().trim();
  const env = {
    GIT_AUTHOR_NAME: identity.name,
    GIT_AUTHOR_EMAIL: identity.email,
    GIT_AUTHOR_DATE: identity.date,
    GIT_COMMITTER_NAME: identity.name,
    GIT_COMMITTER_EMAIL: identity.email,
    GIT_COMMITTER_DATE: identity.date,
  };
  const commit = await git(['commit-tree', tree], { ...options, input: MESSAGE, env });
  if (commit.code !== 0) refuse('WorkspaceUnreadable', `${show(path)} cannot be packed`, commit.stderr.split('\n')[0]);
  return { commit: commit.stdout.toString().trim(), objects: join(gitDir, 'objects') };
}

/** Names byte for byte (as latin1 text), relative to the outermost folder. A repository inside is listed by its own rules. */
async function listFiles(folder: string, gitDir: string, prefix: string, depth: number): Promise<string[]> {
  const options = { gitDir, workTree: folder, cwd: folder, indexFile: join(gitDir, 'no-index') };
  const { code, stdout, stderr } = await git(['ls-files', '-z', '--others', '--exclude-standard'], options);
  if (code !== 0) refuse('WorkspaceUnreadable', 'the folder cannot be listed', stderr.split('\n')[0]);
  const files: string[] = [];
  for (const name of stdout.toString('latin1').split('\0').filter(Boolean)) {
    if (!name.endsWith('/')) files.push(prefix + name);
    else if (depth < NESTED_MAX) {
      const inner = join(folder, Buffer.from(name, 'latin1').toString());
      files.push(...(await listFiles(inner, gitDir, prefix + name, depth + 1)));
    }
  }
  return files;
}
