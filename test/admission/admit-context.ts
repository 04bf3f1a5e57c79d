/** What admission is given in tests: a store, one queue for every name, and nothing of this machine. */
import type { AdmitContext } from '@pangolin/controller/admission/admit';
import type { AdmittedQueue } from '@pangolin/contracts/queue';
import type { ObjectStore } from '@pangolin/storage/object-store';

export const admitContext = (store: ObjectStore, queue: AdmittedQueue = { concurrency: 1 }): AdmitContext => ({
  store,
  queue: () => queue,
  pinImages: async (items) => [...items],
  itemsOf: () => 'unknown',
  inheritedFrom: () => undefined,
  localBase: '/',
  allowLocalPaths: false,
  allowHosts: [],
  gitCacheDir: '/nowhere',
});
