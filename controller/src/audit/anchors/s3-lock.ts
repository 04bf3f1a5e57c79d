/** Keeps seals and checkpoints in a bucket with Object Lock (evidence.md §3.8). */
import { anchorKey, checkpointAnchorKey, checkpointAnchorPrefix } from '@pangolin/contracts/layout';
import type { LockedBucket, LockedObject } from '@pangolin/storage/s3-lock';
import type { S3PlaceOptions } from '@pangolin/storage/s3-place';
import type { Anchor } from '../outside.ts';
import type { Rivals } from '../rivals.ts';

const DAY_MS = 24 * 3600 * 1000;
/** Of one object: lists, reads and writes together. */
const DEADLINE_MS = 30_000;
/** Of one look at what is there, when the controller starts. */
const LOOK_MS = 5_000;
/** Checkpoints that one look reads: one genuine one is enough. */
const LOOK_MAX = 20;

export interface S3LockOptions {
  readonly id: string;
  /** Of the deployment's log. */
  readonly origin: string;
  readonly bucket: string;
  readonly region: string;
  readonly endpoint?: string;
  /** Before `anchors/v1/`; empty or ends with `/`. */
  readonly prefix?: string;
  readonly retentionDays: number;
  readonly rivals: Rivals;
  /** Epoch milliseconds. */
  readonly now: () => number;
  /** Ends every request: the controller stops. */
  readonly signal?: AbortSignal;
  readonly access?: S3PlaceOptions;
}

export function s3LockAnchor(options: S3LockOptions): Anchor {
  const { id, origin, bucket, region, endpoint, prefix = '', retentionDays, rivals, now } = options;
  const query = new URLSearchParams({ region, ...(endpoint !== undefined && { endpoint }) });
  const location = `s3://${bucket}/${prefix}?${query.toString()}`;
  const within = (ms: number): AbortSignal => {
    const deadline = AbortSignal.timeout(ms);
    return options.signal ? AbortSignal.any([options.signal, deadline]) : deadline;
  };
  let opened: Promise<LockedBucket> | undefined;
  // The SDK is large; only who anchors in S3 loads it. Whoever asks again is called again: no long pauses inside.
  const open = (): Promise<LockedBucket> =>
    (opened ??= import('@pangolin/storage/s3-lock').then(({ openLockedBucket }) =>
      openLockedBucket(location, { maxAttempts: 2, ...options.access }),
    ));
  const put = async (object: Omit<LockedObject, 'retainUntil'>): Promise<void> => {
    // A day more than promised: what counts is the server's clock, and it may be ahead of ours.
    const retainUntil = new Date(now() + (retentionDays + 1) * DAY_MS);
    await (await open()).put({ ...object, retainUntil }, within(DEADLINE_MS));
  };
  return {
    id,
    put: (runId, seal) =>
      put({
        key: anchorKey(origin, runId),
        body: seal,
        contentType: 'application/json',
        isRival: (other) => rivals.isSeal(other, runId),
      }),
    putCheckpoint: (size, note) =>
      put({
        key: checkpointAnchorKey(origin, size),
        body: Buffer.from(note, 'utf8'),
        contentType: 'text/plain; charset=utf-8',
        isRival: (other) => rivals.isOtherCheckpoint(other, note),
      }),
    checkpointsAfter: async (size) => {
      const [first, after] = [checkpointAnchorPrefix(origin), checkpointAnchorKey(origin, size)];
      const notes: string[] = [];
      for await (const { body } of (await open()).versions(first, after, within(LOOK_MS))) {
        notes.push(body.toString('utf8'));
        if (notes.length === LOOK_MAX) break;
      }
      return notes;
    },
  };
}
