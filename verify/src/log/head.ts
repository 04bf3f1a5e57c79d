/** A run head as far as the log is concerned: one DSSE envelope of `heads.jsonl`. */
import { isUtf8 } from 'node:buffer';
import { decodeBase64, pae, PAYLOAD_TYPE, type Envelope } from '@pangolin/contracts/dsse';
import { messageOf } from '@pangolin/contracts/errors';
import { leafHash } from '@pangolin/contracts/merkle';
import { predicateTypes, STATEMENT_TYPE, type RunHead, type Statement } from '@pangolin/contracts/statement';
import { hashedRekordLeaf } from '@pangolin/contracts/tlog';
import { isId } from '@pangolin/contracts/ids';
import { verify } from 'node:crypto';
import { quote, refuse } from '../refusal.ts';
import { array, count, digest, hex64, is, literal, object, text } from '../shape.ts';
import { parseStrict } from '../strict-json.ts';
import type { Trust } from '../trust-file.ts';
import { FOREIGN } from './seal.ts';

export interface KnownHead {
  readonly run: string;
  /** Events that it covers, and the root of the tree over them, hex. */
  readonly size: number;
  readonly root: string;
  /** Hash of the entry that it has to have, base64. */
  readonly leaf: string;
  /** Where it was found, for people. */
  readonly place: string;
}

const base64 = is('base64', (value) => decodeBase64(value) !== undefined);
const envelopeShape = object({
  payload: base64,
  payloadType: literal(PAYLOAD_TYPE),
  signatures: array(object({ keyid: text(100), sig: base64 }), { min: 1, max: 1 }),
});
const statementShape = object({
  _type: literal(STATEMENT_TYPE),
  subject: array(object({ name: literal('events.jsonl'), digest }), { min: 1, max: 1 }),
  predicateType: literal(predicateTypes.runHead),
  predicate: object({
    runId: is('an id', isId),
    logOrigin: text(253),
    tree: object({ hash: literal('rfc6962-sha256'), size: count, root: hex64 }),
  }),
});

/** For every line a head, or why it is none under a trusted key of this origin; `foreign` when it says itself that it is of another one. */
export function readHeads(bytes: Buffer, trust: Trust): readonly (Omit<KnownHead, 'place'> | string)[] {
  const lines = bytes.toString('utf8').split('\n');
  // What follows the last line feed is half a line, if anything.
  if (lines.at(-1) === '') lines.pop();
  return lines.map((line, at) => {
    try {
      return readHead(`line ${at + 1}`, line, trust);
    } catch (error) {
      return messageOf(error);
    }
  });
}

function readHead(what: string, line: string, trust: Trust): Omit<KnownHead, 'place'> | typeof FOREIGN {
  const envelope = checked(what, line, envelopeShape) as Envelope;
  const payload = decodeBase64(envelope.payload)!;
  if (!isUtf8(payload)) refuse(`${what} is not UTF-8`);
  const { predicate } = checked(what, payload.toString('utf8'), statementShape) as Statement<RunHead>;
  if (predicate.logOrigin !== trust.origin) return FOREIGN;
  const [{ keyid, sig }] = envelope.signatures;
  const signer =
    trust.signers.get(keyid) ??
    refuse(`the trust file has no key ${quote(keyid)}, with which ${what} says that it is signed`);
  if (!signer.roles.includes('seal')) refuse(`${what} is signed with a key that is not trusted to seal`);
  if (!verify('sha256', pae(payload), signer.key, decodeBase64(sig)!))
    refuse(`the signature of ${what} does not verify`);
  const { runId: run, tree } = predicate;
  const leaf = leafHash(hashedRekordLeaf(envelope, signer.spki)).toString('base64');
  return { run, size: tree.size, root: tree.root, leaf };
}

function checked(what: string, text: string, shape: (value: unknown) => string | undefined): unknown {
  const value = parseStrict(what, text);
  const problem = shape(value);
  return problem === undefined ? value : refuse(what + problem);
}
