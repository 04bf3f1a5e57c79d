/**
 * Whether a store keeps the promises that leases, claims and receipts rest on. Some servers accept conditional
 * writes and ignore the condition, or decide it without a lock (Ceph RGW in buckets with versioning or Object
 * Lock), and nothing shows until two writers meet. So writers are made to meet, in the very place that will be
 * used, before anything depends on it.
 */
import { randomUUID } from 'node:crypto';
import { sha256 } from '@pangolin/contracts/digest';
import { PangolinError, isPangolinError } from '@pangolin/contracts/errors';
import type { ObjectInfo, ObjectStore, PutOptions } from './object-store.ts';

const WRITERS = 32;
const ROUNDS = 3;

/**
 * Writes, races and removes a few objects under `controller/`; about a second on a near server.
 * @throws PangolinError UNSUPPORTED when the store lies; DENIED, NOT_FOUND or UNAVAILABLE when it does not answer
 */
export async function probeStore(store: ObjectStore): Promise<void> {
  const base = `controller/probe-${randomUUID()}`;
  const keys = [`${base}/a`, ...Array.from({ length: ROUNDS }, (_, round) => `${base}/race-${round}`)] as const;
  try {
    await probeInTurn(store, keys[0]);
    for (const key of keys.slice(1)) await probeRaces(store, key);
    await probeListing(store, base, keys);
  } finally {
    await Promise.allSettled(keys.map((key) => store.delete(key)));
  }
}

async function probeInTurn(store: ObjectStore, key: string): Promise<void> {
  const first = await store.put(key, 'first', { ifAbsent: true });
  await mustRefuse(store, key, { ifAbsent: true }, 'creates objects that exist');
  await mustRefuse(
    store,
    key,
    { ifMatch: first.etag.replace(/[0-9a-f]/g, '0') },
    'replaces versions that are not there',
  );
  const seen = await store.head(key);
  if (seen?.etag !== first.etag || seen.sha256 !== sha256('first'))
    throw lies(store, 'does not return what was stored');
  try {
    await store.put(key, 'second', { ifMatch: first.etag });
  } catch (error) {
    if (isPangolinError(error, 'PRECONDITION')) throw lies(store, 'refuses the right version', error);
    throw error;
  }
  await mustRefuse(store, key, { ifMatch: first.etag }, 'replaces versions that are gone');
}

async function probeRaces(store: ObjectStore, key: string): Promise<void> {
  const created = await race(store, key, { ifAbsent: true }, 'lets several writers create one object');
  const swapped = await race(store, key, { ifMatch: created.etag }, 'lets several writers replace one version');
  const seen = await store.head(key);
  if (seen?.sha256 !== swapped.sha256) throw lies(store, 'loses the write that won');
}

async function race(store: ObjectStore, key: string, options: PutOptions, fault: string): Promise<ObjectInfo> {
  const results = await Promise.allSettled(
    Array.from({ length: WRITERS }, () => store.put(key, randomUUID(), options)),
  );
  const won: ObjectInfo[] = [];
  for (const result of results) {
    if (result.status === 'fulfilled') won.push(result.value);
    else if (!isPangolinError(result.reason, 'PRECONDITION')) throw result.reason;
  }
  const [winner] = won;
  if (winner === undefined) throw lies(store, 'lets no writer win');
  if (won.length > 1) throw lies(store, `${fault} (${won.length} of ${WRITERS} at once)`);
  return winner;
}

async function probeListing(store: ObjectStore, base: string, keys: readonly string[]): Promise<void> {
  const all = await store.list(`${base}/`);
  const rest = await store.list(`${base}/`, { after: keys[0] ?? '' });
  const names = (page: typeof all) => page.objects.map((object) => object.key).join();
  if (names(all) !== keys.join() || names(rest) !== keys.slice(1).join()) {
    throw lies(store, 'does not list what was stored, in order');
  }
}

async function mustRefuse(store: ObjectStore, key: string, options: PutOptions, fault: string): Promise<void> {
  try {
    await store.put(key, randomUUID(), options);
  } catch (error) {
    if (isPangolinError(error, 'PRECONDITION')) return;
    throw error;
  }
  throw lies(store, fault);
}

function lies(store: ObjectStore, fault: string, cause?: unknown): PangolinError {
  return new PangolinError('UNSUPPORTED', `the store ${store.location} cannot be used: it ${fault}`, {
    cause,
    hint: 'Use AWS S3 or another server with atomic conditional writes (Ceph RGW: 20.2 or later, in a bucket without versioning and Object Lock).',
  });
}
