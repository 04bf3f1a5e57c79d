/** Exports the evidence of one run from the storage prefix alone: no database, no controller (evidence.md §3.12). */
import { BUNDLE_BLOB_BYTES_MAX, bundleFile } from '@pangolin/contracts/bundle';
import type { Sha256 } from '@pangolin/contracts/digest';
import { sha256 } from '@pangolin/contracts/digest';
import type { Envelope } from '@pangolin/contracts/dsse';
import { pinsOf } from '@pangolin/contracts/pins';
import type { Extension } from '@pangolin/contracts/admitted-run';
import { isPangolinError, PangolinError } from '@pangolin/contracts/errors';
import { casKey, eventsKey, historyProofKey, sealKey, statementsKey } from '@pangolin/contracts/layout';
import type { RunEvent } from '@pangolin/contracts/run-log';
import { sigstoreBundleBytes } from '@pangolin/contracts/sigstore-bundle';
import type { ObjectStore } from './object-store.ts';

export interface BundleFile {
  /** One of the names of contracts/bundle. */
  readonly name: string;
  readonly body: Buffer;
}

/** The files of one run, events and seal first. Each name comes once. */
export type BundleFiles = AsyncIterable<BundleFile>;

/** Bytes of a log or of a run's statements; a node Buffer holds them in one piece. */
const LOG_BYTES_MAX = 2 ** 31;
/** Blobs that are fetched at the same time. */
const PARALLEL = 8;

/**
 * With `lean` the log and the seal only: enough for integrity, order and closure. Without it also every signed
 * statement and every blob that an event names or the plan pins, as far as it is there and not above 64 MiB; a verifier counts the rest
 * as withheld.
 * @throws PangolinError NOT_FOUND for a run that is unknown or not sealed yet.
 */
export async function* exportBundle(
  store: ObjectStore,
  runId: string,
  options: { readonly lean?: boolean } = {},
): AsyncGenerator<BundleFile> {
  const seal = await getSeal(store, runId);
  const events = await getEvents(store, runId);
  yield { name: bundleFile.events, body: events };
  yield { name: bundleFile.seal, body: seal };
  if (options.lean === true) return;
  const named = digestsIn(events);
  yield* historyFiles(store, runId, named.after);
  yield* statementFiles(await getStatements(store, runId), named);
  yield* blobFiles(store, [...named.blobs, ...(await pinnedThings(store, named.plans))]);
}

/** `events.jsonl` of a run, and its signed envelopes, one a line. */
export const getEvents = (store: ObjectStore, runId: string): Promise<Buffer> =>
  store.get(eventsKey(runId), { maxBytes: LOG_BYTES_MAX });
export const getStatements = (store: ObjectStore, runId: string): Promise<Buffer> =>
  store.get(statementsKey(runId), { maxBytes: LOG_BYTES_MAX });

/** @throws PangolinError NOT_FOUND for a run that is unknown or not sealed yet. */
export async function getSeal(store: ObjectStore, runId: string): Promise<Buffer> {
  try {
    return await store.get(sealKey(runId));
  } catch (cause) {
    if (!isPangolinError(cause, 'NOT_FOUND')) throw cause;
    throw new PangolinError('NOT_FOUND', `there is no sealed evidence of a run ${runId}`, {
      cause,
      hint: 'A run is sealed seconds after its last item has ended, by a controller that serves this storage.',
    });
  }
}

interface NamedDigests {
  readonly dispatch: ReadonlySet<Sha256>;
  readonly provenance: ReadonlySet<Sha256>;
  /** Plan, submission, worker results, egress logs, consumed and produced products, appended items. */
  readonly blobs: ReadonlySet<Sha256>;
  /** Those of them that hold items: the plan and the extensions. */
  readonly plans: readonly Sha256[];
  /** The cosigned checkpoint that the run was opened after. */
  readonly after: Sha256 | undefined;
}

/** What the events name is what a bundle may hold. */
function digestsIn(events: Buffer): NamedDigests {
  const dispatch = new Set<Sha256>();
  const provenance = new Set<Sha256>();
  const blobs = new Set<Sha256>();
  const plans: Sha256[] = [];
  let after: Sha256 | undefined;
  for (const line of lines(events)) {
    const event = JSON.parse(line) as RunEvent;
    if (event.kind === 'run.submitted') {
      blobs.add(event.plan.sha256);
      plans.push(event.plan.sha256);
      after = event.after?.note?.sha256;
      if (event.submission) blobs.add(event.submission.sha256);
    } else if (event.kind === 'item.fired') {
      dispatch.add(event.dispatch.sha256);
      for (const input of Object.values(event.inputs)) blobs.add(input.sha256);
    } else if (event.kind === 'item.reconciled') {
      if (event.provenance) provenance.add(event.provenance.sha256);
      if (event.result) blobs.add(event.result.sha256);
      if (event.egress) blobs.add(event.egress.sha256);
      for (const output of Object.values(event.outputs)) blobs.add(output.sha256);
    } else if (event.kind === 'item.answered') {
      blobs.add(event.answer.sha256);
    } else if (event.kind === 'run.extended') {
      blobs.add(event.items.sha256);
      plans.push(event.items.sha256);
    }
  }
  return { dispatch, provenance, blobs, plans, after };
}

/** What the items have of the registry: what their agents were told, the files and variables that they got. No secret is in it. */
async function pinnedThings(store: ObjectStore, plans: readonly Sha256[]): Promise<Set<Sha256>> {
  const pinned = new Set<Sha256>();
  for (const plan of plans) {
    const body = await getBlob(store, plan);
    const items = body && (JSON.parse(body.toString('utf8')) as Pick<Extension, 'items'>).items;
    for (const item of items ?? []) for (const [, digest] of pinsOf(item)) pinned.add(digest);
  }
  return pinned;
}

async function* historyFiles(store: ObjectStore, runId: string, after: Sha256 | undefined): AsyncGenerator<BundleFile> {
  if (after === undefined) return;
  const [note, proof] = await Promise.all([casKey(after), historyProofKey(runId)].map((key) => getSmall(store, key)));
  if (note) yield { name: bundleFile.history(after), body: note };
  if (proof) yield { name: bundleFile.historyProof(after), body: proof };
}

/** Each statement twice: its payload, which events name, and its signed envelope, which other tools verify. */
function* statementFiles(statements: Buffer, named: NamedDigests): Generator<BundleFile> {
  for (const line of lines(statements)) {
    const envelope = JSON.parse(line) as Envelope;
    const payload = Buffer.from(envelope.payload, 'base64');
    const digest = sha256(payload);
    if (named.dispatch.has(digest)) yield { name: bundleFile.dispatch(digest), body: payload };
    else if (named.provenance.has(digest)) yield { name: bundleFile.provenance(digest), body: payload };
    else continue;
    yield { name: bundleFile.attestation(digest), body: sigstoreBundleBytes({ envelope }) };
  }
}

async function* blobFiles(store: ObjectStore, digests: readonly Sha256[]): AsyncGenerator<BundleFile> {
  for (let at = 0; at < digests.length; at += PARALLEL) {
    const group = digests.slice(at, at + PARALLEL);
    const bodies = await Promise.all(group.map((digest) => getBlob(store, digest)));
    for (const [index, body] of bodies.entries()) {
      if (body) yield { name: bundleFile.blob(group[index]!), body };
    }
  }
}

/** As the storage holds it: a blob that is not its digest is for the verifier to see. */
const getBlob = (store: ObjectStore, digest: Sha256): Promise<Buffer | undefined> => getSmall(store, casKey(digest));

async function getSmall(store: ObjectStore, key: string): Promise<Buffer | undefined> {
  try {
    return await store.get(key, { maxBytes: BUNDLE_BLOB_BYTES_MAX });
  } catch (error) {
    if (isPangolinError(error, 'NOT_FOUND') || isPangolinError(error, 'TOO_LARGE')) return undefined;
    throw error;
  }
}

/** Without their line feeds. */
export function* lines(bytes: Buffer): Generator<string> {
  for (let start = 0; start < bytes.length;) {
    const found = bytes.indexOf(0x0a, start);
    const end = found < 0 ? bytes.length : found;
    yield bytes.toString('utf8', start, end);
    start = end + 1;
  }
}
