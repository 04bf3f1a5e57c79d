/** What admission is given in tests: a store, one queue for every name, and of this machine only what `local` has. */
import type { AdmitContext } from '@pangolin/controller/admission/admit';
import { packWorkspace } from '@pangolin/controller/admission/workspace';
import type { AdmittedQueue } from '@pangolin/contracts/queue';
import type { ObjectStore } from '@pangolin/storage/object-store';

const NOTHING = { localBase: '/', allowLocalPaths: false, gitCacheDir: '/nowhere' };

/** @param local where relative paths begin, and whether they are taken */
export const admitContext = (
  store: ObjectStore,
  queue: AdmittedQueue = { concurrency: 1 },
  local: typeof NOTHING = NOTHING,
): AdmitContext => ({
  store,
  queue: () => queue,
  // `this`: of a context that was made from this one, with another store.
  packWorkspace(workspace) {
    return packWorkspace(workspace, { store: this.store, allowHosts: [], ...local });
  },
  resolveImage: async () => undefined,
  itemsOf: () => 'unknown',
  inheritedFrom: () => undefined,
});
