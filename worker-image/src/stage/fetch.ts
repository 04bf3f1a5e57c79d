/** Grants → files on this machine, bounded and checked by digest. */
import { chown, open, rm } from 'node:fs/promises';
import { sha256Stream, type Sha256 } from '@pangolin/contracts/digest';
import { messageOf } from '@pangolin/contracts/errors';
import type { Grant, Grants } from '@pangolin/contracts/task';
import { writeAll } from '../attempt-dir.ts';
import { AttemptFailure } from '../failure.ts';
import type { BlockUser } from '../options.ts';
import type { TaskGrants } from '../task-grants.ts';

export interface Fetch {
  /** For people: `the input report`. */
  readonly what: string;
  /** Looked up for every try: grants are renewed. */
  readonly grant: (grants: Grants) => Grant | undefined;
  readonly sha256: Sha256;
  readonly bytesMax: number;
  /** Must not exist. */
  readonly target: string;
  readonly owner: BlockUser | undefined;
}

/** @throws AttemptFailure StageFailed when it is too large, not there, or has another digest; then `target` is gone. */
export async function fetchGrant(grants: TaskGrants, fetch: Fetch, signal: AbortSignal): Promise<void> {
  try {
    await grants.patiently(() => fetchOnce(grants, fetch, signal), signal);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (error instanceof AttemptFailure || signal.aborted || code === 'EEXIST') throw error;
    throw new AttemptFailure('StageFailed', `${fetch.what} could not be fetched: ${messageOf(error)}`, {
      cause: error,
    });
  }
}

async function fetchOnce(grants: TaskGrants, fetch: Fetch, signal: AbortSignal): Promise<void> {
  const grant = fetch.grant(grants.current);
  if (grant === undefined) throw new AttemptFailure('StageFailed', `the newer grants leave out ${fetch.what}`);
  const hash = sha256Stream();
  const file = await open(fetch.target, 'wx', 0o644);
  try {
    let size = 0;
    for await (const chunk of grants.read(grant, signal)) {
      signal.throwIfAborted();
      size += chunk.length;
      if (size > fetch.bytesMax) {
        throw new AttemptFailure('StageFailed', `${fetch.what} is larger than ${fetch.bytesMax} bytes`);
      }
      hash.update(chunk);
      await writeAll(file, chunk);
    }
    if (hash.digest('hex') !== fetch.sha256) {
      throw new AttemptFailure('StageFailed', `${fetch.what} does not have the digest of the manifest`);
    }
    if (fetch.owner !== undefined) await chown(fetch.target, fetch.owner.uid, fetch.owner.gid);
  } catch (error) {
    await rm(fetch.target, { force: true });
    throw error;
  } finally {
    await file.close();
  }
}
