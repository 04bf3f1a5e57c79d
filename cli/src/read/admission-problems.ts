/** What the controller of a storage would find in a file that is right in itself, by the controller's own code. */
import { sha256 } from '@pangolin/contracts/digest';
import { QUEUES } from '@pangolin/contracts/layout';
import type { AdmittedQueue, QueuesStatus } from '@pangolin/contracts/queue';
import type { Problem } from '@pangolin/contracts/status';
import type { ObjectStore } from '@pangolin/storage/object-store';
import type { SpecFile } from '../spec-file.ts';
import { readRecord } from './runs.ts';

/** Workspaces and images are not looked at: only the controller, and the backend, can say what they are. */
const UNSEEN = { kind: 'git', commit: '0'.repeat(40), sha256: sha256(''), size: 0 } as const;
const ANY_QUEUE: AdmittedQueue = { concurrency: 1 };

/**
 * Names, shapes, edges, and what the queue says: its defaults, its pattern, and what the run would grow to by that.
 * `knowsQueues`: false where no controller has told which there are; then no queue is unknown, and none has a pattern.
 * @throws PangolinError UNAVAILABLE when the store does not answer.
 */
export async function admissionProblems(
  { bytes, name }: SpecFile,
  store: ObjectStore,
): Promise<{ readonly problems: readonly Problem[]; readonly knowsQueues: boolean }> {
  const { admitDocument } = await import('@pangolin/controller/admission/admit-document');
  const published = await readRecord<QueuesStatus>(store, QUEUES, 'queues/1');
  const queues = new Map(published?.queues.map((queue) => [queue.name, queue]));
  const result = await admitDocument(bytes, name, {
    store,
    queue: (queue) => (published ? queues.get(queue) : ANY_QUEUE),
    packWorkspace: async () => ({ ok: true, workspace: UNSEEN }),
    resolveImage: async () => undefined,
    itemsOf: () => 'unknown',
    inheritedFrom: () => undefined,
  });
  return { problems: result.ok ? [] : result.problems, knowsQueues: published !== undefined };
}
