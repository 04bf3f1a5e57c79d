/** What `pangolin log check` compares: the log, the seals of the storage, and what anchors keep. */
import { isPangolinError, messageOf } from '@pangolin/contracts/errors';
import {
  checkpointAnchorPrefix,
  EVENTS_BYTES_MAX,
  eventsKey,
  HEADS_BYTES_MAX,
  headsKey,
  SEAL_BYTES_MAX,
  sealAnchorPrefix,
  sealKey,
} from '@pangolin/contracts/layout';
import type { TrustedAnchor } from '@pangolin/contracts/trust';
import type { ObjectStore } from '@pangolin/storage/object-store';
import type { LockedBucket } from '@pangolin/storage/s3-lock';
import type { Found, LogSources } from '@pangolin/verify/log/check-log';
import { runIds } from './runs.ts';

/** @param anchors to look into, with the credentials of the environment. */
export async function openLogSources(
  store: ObjectStore,
  origin: string,
  anchors: readonly TrustedAnchor[],
): Promise<LogSources> {
  const get = async (key: string, maxBytes: number): Promise<Buffer | undefined> => {
    try {
      return await store.get(key, { maxBytes });
    } catch (error) {
      if (isPangolinError(error, 'NOT_FOUND')) return undefined;
      throw error;
    }
  };
  const [unsealed, sealed]: [string[], string[]] = [[], []];
  for (const run of await runIds(store)) {
    ((await store.head(sealKey(run))) === undefined ? unsealed : sealed).push(run);
  }
  const unreachable = new Map<string, string>();
  const buckets = await Promise.all(anchors.map(openBucket));
  const anchoredCheckpoints: string[] = [];
  for await (const { bytes } of inBuckets(buckets, checkpointAnchorPrefix(origin), unreachable)) {
    anchoredCheckpoints.push(bytes.toString('utf8'));
  }
  return {
    get,
    unsealed,
    complete: true,
    seals: sealsOf(sealed, get),
    heads: inStorage([...sealed, ...unsealed].map(headsKey), HEADS_BYTES_MAX, get),
    anchoredSeals: inBuckets(buckets, sealAnchorPrefix(origin), unreachable),
    anchoredCheckpoints,
    unreachable,
  };
}

async function openBucket({ bucket, region, endpoint, prefix = '' }: TrustedAnchor): Promise<LockedBucket> {
  const { openLockedBucket } = await import('@pangolin/storage/s3-lock');
  const query = new URLSearchParams({ region, ...(endpoint !== undefined && { endpoint }) });
  return openLockedBucket(`s3://${bucket}/${prefix}?${query.toString()}`);
}

/** With the events of each run, which say after which state of the log it was opened. */
async function* sealsOf(runs: readonly string[], get: LogSources['get']): AsyncGenerator<Found> {
  for (const run of runs) {
    const events = () => get(eventsKey(run), EVENTS_BYTES_MAX);
    for await (const seal of inStorage([sealKey(run)], SEAL_BYTES_MAX, get)) yield { ...seal, events };
  }
}

async function* inStorage(keys: readonly string[], bytesMax: number, get: LogSources['get']): AsyncGenerator<Found> {
  for (const key of keys) {
    const bytes = await get(key, bytesMax);
    if (bytes) yield { place: key, bytes };
  }
}

/** A bucket that does not answer is left out from then on, and `unreachable` says why. */
async function* inBuckets(
  buckets: readonly LockedBucket[],
  prefix: string,
  unreachable: Map<string, string>,
): AsyncGenerator<Found> {
  for (const bucket of buckets) {
    const anchor = `the anchor ${bucket.location}`;
    if (unreachable.has(anchor)) continue;
    try {
      for await (const { key, body } of bucket.versions(prefix))
        yield { place: `${bucket.location} at ${key}`, bytes: body };
    } catch (error) {
      if (!isPangolinError(error)) throw error;
      unreachable.set(anchor, messageOf(error));
    }
  }
}
