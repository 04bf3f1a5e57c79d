/** Applying a patch to a directory with the git command line. */
import { spawn } from 'node:child_process';
import { statSync } from 'node:fs';
import { text } from 'node:stream/consumers';
import { PangolinError } from '@pangolin/contracts/errors';

/**
 * The paths in the patch are relative to `dir`, whether it is the top of a repository, a folder in one, or no repository.
 * @throws PangolinError CONFLICT when it does not apply, and then nothing is changed; NOT_FOUND without that directory.
 */
export async function applyPatch(dir: string, patch: Uint8Array): Promise<void> {
  if (!statSync(dir, { throwIfNoEntry: false })?.isDirectory())
    throw new PangolinError('NOT_FOUND', `there is no directory ${dir}`);
  if (patch.length === 0) return;
  const place = await placeOf(dir);
  for (const check of [['--check'], []]) {
    const { code, stderr } = await git(
      place.cwd,
      ['apply', '--binary', '--whitespace=nowarn', ...place.options, ...check, '-'],
      patch,
    );
    if (code === 0) continue;
    const [first = 'git gave no reason'] = stderr.split('\n').filter((line) => line.startsWith('error:'));
    throw new PangolinError('CONFLICT', `the patch does not apply to ${dir}: ${first.replace('error: ', '')}`, {
      hint: 'It was made against the workspace of the item; check out that commit first. Nothing was changed.',
      details: { git: stderr.slice(0, 8192) },
    });
  }
}

/** Below the top of a repository, git silently leaves out every path that is not below the current folder; so it runs at the top. */
async function placeOf(dir: string): Promise<{ readonly cwd: string; readonly options: readonly string[] }> {
  const { code, stdout } = await git(dir, ['rev-parse', '--show-toplevel', '--show-prefix']);
  const [top = '', prefix = ''] = stdout.split('\n');
  return code === 0 && prefix !== '' ? { cwd: top, options: [`--directory=${prefix}`] } : { cwd: dir, options: [] };
}

interface GitResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

async function git(cwd: string, args: readonly string[], input: Uint8Array = Buffer.alloc(0)): Promise<GitResult> {
  const child = spawn('git', [...args], { cwd, env: { ...process.env, LC_ALL: 'C' }, stdio: 'pipe' });
  const ended = new Promise<number>((resolve, reject) => {
    child.on('error', (cause) => {
      reject(new PangolinError('UNAVAILABLE', 'git could not be started', { hint: 'Install git.', cause }));
    });
    child.on('close', (code) => resolve(code ?? 1));
  });
  // git may refuse before it has read everything; its exit code tells.
  child.stdin.on('error', () => undefined);
  child.stdin.end(input);
  const [code, stdout, stderr] = await Promise.all([ended, text(child.stdout), text(child.stderr)]);
  return { code, stdout, stderr };
}
