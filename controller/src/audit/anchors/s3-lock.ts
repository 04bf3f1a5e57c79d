/** Keeps seals in a bucket with Object Lock (evidence.md §3.8). */
import { anchorKey } from '@pangolin/contracts/layout';
import type { S3PlaceOptions } from '@pangolin/storage/s3-place';
import type { Anchor } from '../outside.ts';

const DAY_MS = 24 * 3600 * 1000;

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
  /** Epoch milliseconds. */
  readonly now: () => number;
  readonly access?: S3PlaceOptions;
}

export function s3LockAnchor(options: S3LockOptions): Anchor {
  const { id, origin, bucket, region, endpoint, prefix = '', retentionDays, now } = options;
  const query = new URLSearchParams({ region, ...(endpoint !== undefined && { endpoint }) });
  const location = `s3://${bucket}/${prefix}?${query.toString()}`;
  return {
    id,
    put: async (runId, seal) => {
      // The SDK is large; only who anchors in S3 loads it.
      const { openLockedBucket } = await import('@pangolin/storage/s3-lock');
      // A day more than promised: what counts is the server's clock, and it may be ahead of ours.
      const retainUntil = new Date(now() + (retentionDays + 1) * DAY_MS);
      await openLockedBucket(location, options.access).put(anchorKey(origin, runId), seal, retainUntil);
    },
  };
}
