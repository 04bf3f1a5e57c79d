/**
 * The heads of a run as its bundle tells them. A bundle has no `heads.jsonl`, but its seal names each head, its events
 * make the statement of it, and the entry of the log has signature and key: together the line that the storage has.
 */
import { canonicalBytes } from '@pangolin/contracts/canonical';
import { sha256 } from '@pangolin/contracts/digest';
import { keyIdOf, pae, PAYLOAD_TYPE } from '@pangolin/contracts/dsse';
import { predicateTypes, statementBytes, type RunHead } from '@pangolin/contracts/statement';
import type { SealedRun } from './seal.ts';

/** What the log would have signed for a head, by the base64 digest that its entry has (`data.digest`). */
export type HeadPayloads = ReadonlyMap<string, Buffer>;

/** @param events of the sealed run. */
export function headPayloads(
  { run, heads }: Pick<SealedRun, 'run' | 'heads'>,
  logOrigin: string,
  events: Buffer,
): HeadPayloads {
  const payloads = new Map<string, Buffer>();
  let [lines, end] = [0, 0];
  for (const { size, root } of heads.toSorted((a, b) => a.size - b.size)) {
    for (; lines < size && end < events.length; lines++) {
      const found = events.indexOf(0x0a, end);
      end = found < 0 ? events.length : found + 1;
    }
    const head: RunHead = { runId: run, logOrigin, tree: { hash: 'rfc6962-sha256', size, root } };
    const subject = [{ name: 'events.jsonl', digest: { sha256: sha256(events.subarray(0, end)) } }];
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
