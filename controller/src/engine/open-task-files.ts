/** The files of tasks, as store and backend allow: directories, a socket to the store, or nothing of this machine. */
import { join } from 'node:path';
import { PangolinError } from '@pangolin/contracts/errors';
import type { GrantTarget, ObjectStore } from '@pangolin/storage/object-store';
import { workBase } from '../providers/process-worker.ts';
import type { ComputeProvider } from '../providers/provider.ts';
import { createGrantedTaskFiles } from './granted-task-files.ts';
import { createTaskFiles, type TaskFiles } from './task-files.ts';

export interface OpenTaskFilesOptions {
  readonly stateDir: string;
  readonly deployment: string;
  /** Of a grant, on a store that cannot be mounted. */
  readonly lifeSeconds: number;
}

/** @throws PangolinError UNSUPPORTED when the tasks of this backend cannot reach this store. */
export async function openTaskFiles(
  store: ObjectStore,
  provider: Pick<ComputeProvider, 'elsewhere'>,
  { stateDir, deployment, lifeSeconds }: OpenTaskFilesOptions,
): Promise<{ readonly taskFiles: TaskFiles; readonly close: () => Promise<void> }> {
  const tasksDir = join(stateDir, 'tasks-in');
  const { grantor } = store;
  if (grantor === undefined && provider.elsewhere) {
    throw new PangolinError('UNSUPPORTED', `tasks that run elsewhere do not reach ${store.location}`, {
      hint: 'Serve a bucket: --storage s3://BUCKET/PREFIX.',
    });
  }
  if (grantor === undefined) return { taskFiles: createTaskFiles(store, tasksDir), close: async () => undefined };
  // Short, because the path of a socket is; and the same for the next controller, because tasks wait for it there.
  const storeDir = provider.elsewhere ? undefined : join(workBase(), `store-${deployment}`);
  const close = storeDir === undefined ? async () => undefined : await relay(storeDir, await grantor.target());
  return {
    taskFiles: createGrantedTaskFiles({ store, grantor, tasksDir, storeDir, lifeSeconds, now: Date.now }),
    close,
  };
}

/** Loaded only where it is needed: importing node:http costs a start 25 ms. */
async function relay(dir: string, target: GrantTarget): Promise<() => Promise<void>> {
  const { openStoreRelay } = await import('../store-relay.ts');
  return await openStoreRelay(dir, target);
}
