/**
 * What the events in a bundle say of the log: after which state of it the run was submitted, and its heads. A bundle has
 * no `heads.jsonl`, but its seal names each head, its events make the statement of it, and the entry of the log has
 * signature and key: together the line that the storage has.
 */
import { canonicalBytes } from '@pangolin/contracts/canonical';
import { sha256, sha256Stream } from '@pangolin/contracts/digest';
import { keyIdOf, pae, PAYLOAD_TYPE } from '@pangolin/contracts/dsse';
import type { Checkpoint } from '@pangolin/contracts/note';
import type { RunEvent } from '@pangolin/contracts/run-log';
import { predicateTypes, statementBytes, type RunHead } from '@pangolin/contracts/statement';
import { count, digest, hex64, object } from '../shape.ts';
import type { SealedRun } from './seal.ts';

type Submitted = Extract<RunEvent, { kind: 'run.submitted' }>;
const startShape = object({ size: count, root: hex64, 'note?': digest });

/** The state of the log after which the run says that it was submitted; its events are those that were sealed. */
export function startOf(events: Buffer): Pick<Checkpoint, 'size' | 'root'> | undefined {
  try {
    const { kind, after } = JSON.parse(events.toString('utf8', 0, events.indexOf(0x0a))) as Partial<Submitted>;
    if (kind !== 'run.submitted' || startShape(after) !== undefined) return undefined;
    return { size: after!.size, root: Buffer.from(after!.root, 'hex') };
  } catch {
    // Whether the log tells a possible story is for the verification of the bundle.
    return undefined;
  }
}

/** What the log would have signed for a head, by the base64 digest that its entry has (`data.digest`). */
export type HeadPayloads = ReadonlyMap<string, Buffer>;

/** @param events of the sealed run. */
export function headPayloads(
  { run, heads }: Pick<SealedRun, 'run' | 'heads'>,
  logOrigin: string,
  events: Buffer,
): HeadPayloads {
  const payloads = new Map<string, Buffer>();
  const hash = sha256Stream();
  let [lines, end] = [0, 0];
  for (const { size, root } of heads.toSorted((a, b) => a.size - b.size)) {
    const start = end;
    for (; lines < size && end < events.length; lines++) {
      const found = events.indexOf(0x0a, end);
      end = found < 0 ? events.length : found + 1;
    }
    hash.update(events.subarray(start, end));
    const head: RunHead = { runId: run, logOrigin, tree: { hash: 'rfc6962-sha256', size, root } };
    const subject = [{ name: 'events.jsonl', digest: { sha256: hash.copy().digest('hex') } }];
    const payload = statementBytes(predicateTypes.runHead, subject, head);
    payloads.set(Buffer.from(sha256(pae(payload)), 'hex').toString('base64'), payload);
  }
  return payloads;
}

/** The line of `heads.jsonl` that this entry of the log is of; undefined when it is of none of these. */
export function headLine(entry: Buffer, payloads: HeadPayloads): Buffer | undefined {
  try {
    const { data, signature } = (JSON.parse(entry.toString('utf8')) as Entry).spec.hashedRekordV002;
    const payload = payloads.get(data.digest);
    if (!payload) return undefined;
    const { content: sig, verifier } = signature;
    const publicKey = verifier.publicKey.rawBytes;
    const signatures = [{ keyid: keyIdOf(Buffer.from(publicKey, 'base64')), sig }];
    const envelope = { payload: payload.toString('base64'), payloadType: PAYLOAD_TYPE, signatures };
    return canonicalBytes({ envelope, publicKey });
  } catch {
    // An entry of another form is not of a head; whose it is, nobody will say.
    return undefined;
  }
}

/** As far as it is read here; nothing of it is believed. */
interface Entry {
  readonly spec: {
    readonly hashedRekordV002: {
      readonly data: { readonly digest: string };
      readonly signature: {
        readonly content: string;
        readonly verifier: { readonly publicKey: { readonly rawBytes: string } };
      };
    };
  };
}
