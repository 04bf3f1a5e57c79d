/** Writes the evidence of one item (contracts/proof) from the storage prefix alone. */
import { canonicalBytes } from '@pangolin/contracts/canonical';
import { sha256, type Sha256 } from '@pangolin/contracts/digest';
import type { Envelope } from '@pangolin/contracts/dsse';
import { PangolinError } from '@pangolin/contracts/errors';
import { leafHash, nodeHash } from '@pangolin/contracts/merkle';
import { PROOF_BYTES_MAX, PROOF_SCHEMA, type ItemProof } from '@pangolin/contracts/proof';
import type { RunEvent } from '@pangolin/contracts/run-log';
import { sigstoreBundle, type SigstoreBundle } from '@pangolin/contracts/sigstore-bundle';
import { inclusionProof, type HashAt } from '@pangolin/contracts/tlog';
import { getEvents, getSeal, getStatements, lines } from './bundle.ts';
import type { ObjectStore } from './object-store.ts';

/**
 * The bytes of an `ItemProof`.
 * @throws PangolinError NOT_FOUND for a run that is unknown or not sealed yet, or an item that it does not have.
 */
export async function exportProof(store: ObjectStore, runId: string, itemId: string): Promise<Buffer> {
  const seal = await getSeal(store, runId);
  const texts = [...lines(await getEvents(store, runId))];
  const hashAt = subtrees(texts);
  const named: Sha256[] = [];
  const events: ItemProof['events'][number][] = [];
  for (const [index, line] of texts.entries()) {
    // Most lines are of other items: they are not worth parsing.
    if (!line.includes(`"itemId":${JSON.stringify(itemId)}`)) continue;
    const event = JSON.parse(line) as RunEvent;
    if (!('itemId' in event) || event.itemId !== itemId) continue;
    const path = inclusionProof(index, texts.length, hashAt).map((hash) => hash.toString('base64'));
    events.push({ index, line, path });
    if (event.kind === 'item.fired') named.push(event.dispatch.sha256);
    if (event.kind === 'item.reconciled' && event.provenance) named.push(event.provenance.sha256);
  }
  if (events.length === 0) throw new PangolinError('NOT_FOUND', `the run ${runId} has no item ${itemId}`);
  const proof: ItemProof = {
    schema: PROOF_SCHEMA,
    runId,
    itemId,
    seal: JSON.parse(seal.toString('utf8')) as SigstoreBundle,
    events,
    statements: signed(await getStatements(store, runId), named),
  };
  const bytes = canonicalBytes(proof);
  if (bytes.length <= PROOF_BYTES_MAX) return bytes;
  throw new PangolinError('TOO_LARGE', `the evidence of ${runId}/${itemId} is longer than ${PROOF_BYTES_MAX} bytes`, {
    hint: 'Export the bundle of the run with `pangolin orch audit`.',
  });
}

/** Every complete subtree of the tree over these lines. */
function subtrees(texts: readonly string[]): HashAt {
  const levels: Buffer[][] = [texts.map((line) => leafHash(Buffer.from(line, 'utf8')))];
  for (let below = levels[0]!; below.length > 1;) {
    const level = Array.from({ length: below.length >> 1 }, (_, at) => nodeHash(below[2 * at]!, below[2 * at + 1]!));
    levels.push(level);
    below = level;
  }
  return (level, index) => levels[level]![index]!;
}

function signed(statements: Buffer, named: readonly Sha256[]): SigstoreBundle[] {
  const wanted = new Set(named);
  const found = new Map<Sha256, SigstoreBundle>();
  for (const line of lines(statements)) {
    const envelope = JSON.parse(line) as Envelope;
    const digest = sha256(Buffer.from(envelope.payload, 'base64'));
    if (wanted.has(digest)) found.set(digest, sigstoreBundle({ envelope }));
  }
  return named.map((digest) => {
    const statement = found.get(digest);
    if (statement) return statement;
    throw new PangolinError('NOT_FOUND', `the storage does not hold the statement ${digest} that the log names`);
  });
}
