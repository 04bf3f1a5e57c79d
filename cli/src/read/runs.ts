/** What the controller publishes, read from the storage prefix alone. */
import { isPangolinError, PangolinError } from '@pangolin/contracts/errors';
import { encodeSegment, isId, decodeSegment } from '@pangolin/contracts/ids';
import { INBOX, itemsKey, RECEIPTS, receiptKey, RUNS, statusKey } from '@pangolin/contracts/layout';
import { nearest } from '@pangolin/contracts/nearest';
import type { ItemStatus, Receipt, RunStatus } from '@pangolin/contracts/status';
import type { ObjectStore } from '@pangolin/storage/object-store';
import { mapBounded } from '@pangolin/contracts/map-bounded';
import type { ItemTarget } from './target.ts';
import { delay } from './wait.ts';

const STATUS_BYTES_MAX = 16 * 2 ** 20;
const ITEMS_BYTES_MAX = 2 ** 31;
const PARALLEL = 16;
/** A copy of a storage may be caught in the middle of a file; then it is read again. */
const READ_TRIES = 3;
const READ_AGAIN_MS = 100;

/** @throws PangolinError NOT_FOUND for a run that was never admitted here. */
export async function readStatus(store: ObjectStore, run: string): Promise<RunStatus> {
  const status = await findStatus(store, run);
  if (status) return status;
  const waiting = await inboxHolds(store);
  throw new PangolinError('NOT_FOUND', `there is no run ${run} in ${store.location}`, {
    hint: waiting
      ? 'Files wait in its inbox/ for a controller: start `pangolin orch serve`, or try again in a moment.'
      : '`pangolin orch status` lists runs, with --receipts also what was rejected.',
  });
}

/** Whether anything waits there that no controller has taken yet. Who may not list sees nothing. */
export async function inboxHolds(store: ObjectStore): Promise<boolean> {
  const page = await store.list(INBOX, { limit: 1 }).catch(() => undefined);
  return page !== undefined && page.objects.length > 0;
}

export async function findStatus(store: ObjectStore, run: string): Promise<RunStatus | undefined> {
  return await readRecord<RunStatus>(store, statusKey(run), 'status/1');
}

/** In the order of the spec; empty while none are published yet. */
export async function readItems(store: ObjectStore, run: string): Promise<readonly ItemStatus[]> {
  const parse = (text: string): ItemStatus[] =>
    text
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as ItemStatus);
  return (await readWhole(store, itemsKey(run), ITEMS_BYTES_MAX, parse)) ?? [];
}

/** @throws PangolinError NOT_FOUND for an unknown run or item. */
export async function readItem(store: ObjectStore, { run, item }: ItemTarget): Promise<ItemStatus> {
  await readStatus(store, run);
  const items = await readItems(store, run);
  const found = items.find(({ id }) => id === item);
  if (found) return found;
  const guess = nearest(
    item,
    items.map(({ id }) => id),
  );
  throw new PangolinError('NOT_FOUND', `run ${run} has no item ${item}`, {
    hint: guess === undefined ? `\`pangolin orch status ${run}\` lists its items.` : `Did you mean ${guess}?`,
  });
}

/** Newest first. */
export async function listRuns(store: ObjectStore): Promise<readonly RunStatus[]> {
  const ids = await runIds(store);
  const statuses = await mapBounded(ids, PARALLEL, (id) => findStatus(store, id));
  return statuses
    .filter((status) => status !== undefined)
    .sort((a, b) => (a.submittedAt < b.submittedAt ? 1 : a.submittedAt > b.submittedAt ? -1 : 0));
}

/** Every receipt is small and none is ever removed, so that this costs one read each. Newest first. */
export async function listReceipts(store: ObjectStore): Promise<readonly Receipt[]> {
  const keys: string[] = [];
  for (let after: string | undefined; ;) {
    const page = await store.list(RECEIPTS, after === undefined ? {} : { after });
    keys.push(...page.objects.map(({ key }) => key));
    after = page.next;
    if (after === undefined) break;
  }
  const receipts = await mapBounded(keys, PARALLEL, (key) => readRecord<Receipt>(store, key, 'receipt/1'));
  return receipts.filter((receipt) => receipt !== undefined).sort((a, b) => (a.at < b.at ? 1 : -1));
}

export async function findReceipt(store: ObjectStore, submission: string): Promise<Receipt | undefined> {
  return await readRecord<Receipt>(store, receiptKey(submission), 'receipt/1');
}

/** A small published object; undefined when there is none. @throws PangolinError UNSUPPORTED, INTEGRITY */
export async function readRecord<T extends { readonly schema: string }>(
  store: ObjectStore,
  key: string,
  schema: T['schema'],
): Promise<T | undefined> {
  return await readWhole(store, key, STATUS_BYTES_MAX, (text) => parseRecord<T>(text, schema, key));
}

/** The ids of all runs that left anything here: one listing a run, its last key being jumped to after the first. */
export async function runIds(store: ObjectStore): Promise<readonly string[]> {
  const ids = new Set<string>();
  for (let after: string | undefined; ;) {
    const page = await store.list(RUNS, after === undefined ? {} : { after });
    for (const { key } of page.objects) {
      const segment = key.slice(RUNS.length).split('/', 1)[0]!;
      const id = decoded(segment);
      if (id !== undefined) ids.add(id);
      after = `${RUNS}${segment}/status.json`;
    }
    if (page.next === undefined) return [...ids];
    if (after === undefined || after < page.next) after = page.next;
  }
}

function decoded(segment: string): string | undefined {
  try {
    const id = decodeSegment(segment);
    return isId(id) && encodeSegment(id) === segment ? id : undefined;
  } catch {
    // Not a folder of ours.
    return undefined;
  }
}

function parseRecord<T extends { readonly schema: string }>(text: string, schema: T['schema'], key: string): T {
  const value = JSON.parse(text) as T;
  if (value.schema === schema) return value;
  throw new PangolinError('UNSUPPORTED', `${key} has the schema ${JSON.stringify(value.schema)}, not ${schema}`, {
    hint: 'It was written by another version of pangolin; use the same one here.',
  });
}

/** undefined when there is no such object. @throws PangolinError INTEGRITY for one that never reads as JSON. */
async function readWhole<T>(
  store: ObjectStore,
  key: string,
  maxBytes: number,
  parse: (text: string) => T,
): Promise<T | undefined> {
  for (let tries = 1; ; tries += 1) {
    try {
      return parse((await store.get(key, { maxBytes })).toString('utf8'));
    } catch (error) {
      if (isPangolinError(error, 'NOT_FOUND')) return undefined;
      if (!(error instanceof SyntaxError)) throw error;
      if (tries === READ_TRIES)
        throw new PangolinError('INTEGRITY', `${key} is damaged: it is not JSON`, { cause: error });
      await delay(READ_AGAIN_MS);
    }
  }
}
