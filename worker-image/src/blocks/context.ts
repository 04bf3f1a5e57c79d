/** `contextRequires` of a subagent: looked for before the agent runs. */
import { constants } from 'node:fs';
import { access, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Subagent } from '@pangolin/contracts/subagent';
import { closeDir, openRoot, withFile } from '../capture/safe-fs.ts';
import { AttemptFailure } from '../failure.ts';
import { git } from '../git.ts';
import type { Places } from '../places.ts';

/** What is missing, all of it in one sentence; undefined when nothing is. */
export async function missingContext(
  required: NonNullable<Subagent['contextRequires']>,
  places: Places,
): Promise<AttemptFailure | undefined> {
  const missing: string[] = [];
  for (const path of required.paths ?? []) {
    if (!(await isThere(places.workspace, path))) missing.push(`the path ${path}`);
  }
  for (const name of required.executables ?? []) {
    if (!(await isExecutable(name, places.path))) missing.push(`the program ${name}`);
  }
  if (required.gitHistory === true && !(await hasHistory(places))) missing.push('the history of the repository');
  if (missing.length === 0) return undefined;
  return new AttemptFailure('ContextMissing', `the subagent requires ${missing.join(', ')}`);
}

/** A file or a directory; links do not count. */
async function isThere(workspace: string, path: string): Promise<boolean> {
  const root = openRoot(workspace);
  try {
    return await withFile(root, Buffer.from(path.replace(/\/+$/, '')).toString('latin1'), async () => true);
  } catch {
    return false;
  } finally {
    closeDir(root);
  }
}

async function isExecutable(name: string, path: string): Promise<boolean> {
  for (const dir of path.split(':').filter((each) => each.startsWith('/'))) {
    const file = join(dir, name);
    if (!(await stat(file).catch(() => undefined))?.isFile()) continue;
    if (await access(file, constants.X_OK).then(() => true, () => false)) return true; // prettier-ignore
  }
  return false;
}

/** More than the one commit that a workspace is packed with. */
async function hasHistory({ workspace, path, user }: Places): Promise<boolean> {
  const count = await git(['rev-list', '--count', '--max-count=2', 'HEAD'], { cwd: workspace, path, user }).catch(
    () => undefined,
  );
  return Number(count?.toString()) === 2;
}
