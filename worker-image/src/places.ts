/** The directories of one attempt's scratch space, and the runner's own repository in it. */
import { join } from 'node:path';
import type { GitOptions } from './git.ts';
import type { BlockUser, WorkerOptions } from './options.ts';

export interface Places {
  /** 0700, the runner's: blocks of another user cannot look in. */
  readonly private: string;
  /** The baseline repository, inside `private`. */
  readonly repo: string;
  readonly workspace: string;
  readonly home: string;
  readonly tmp: string;
  readonly inputs: string;
  readonly outputs: string;
  readonly params: string;
  readonly path: string;
  readonly user: BlockUser | undefined;
}

export function placesOf({ workDir, path, blockUser }: WorkerOptions): Places {
  const workspace = join(workDir, 'workspace');
  return {
    private: join(workDir, 'private'),
    repo: join(workDir, 'private', 'git'),
    workspace,
    home: join(workDir, 'home'),
    tmp: join(workDir, 'tmp'),
    inputs: join(workspace, 'inputs'),
    outputs: join(workspace, 'outputs'),
    params: join(workspace, '.pangolin', 'inputs.json'),
    path,
    user: blockUser,
  };
}

/** For git commands on the baseline repository. They run as the runner, outside the workspace. */
export function inRepo(places: Places, signal?: AbortSignal, env: Readonly<Record<string, string>> = {}): GitOptions {
  return {
    cwd: places.private,
    path: places.path,
    env: { GIT_DIR: places.repo, ...env },
    ...(signal === undefined ? {} : { signal }),
  };
}
