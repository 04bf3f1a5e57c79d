/**
 * A run head as far as the log is concerned: one line of `heads.jsonl`,
 *
 * ```
 * {"envelope":{"payload":…,"payloadType":…,"signatures":[{"keyid":…,"sig":…}]},"publicKey":"<SubjectPublicKeyInfo, base64>"}
 * ```
 */
import { isUtf8 } from 'node:buffer';
import { decodeBase64, keyIdOf, pae, PAYLOAD_TYPE, type Envelope } from '@pangolin/contracts/dsse';
import { messageOf } from '@pangolin/contracts/errors';
import { leafHash } from '@pangolin/contracts/merkle';
import { predicateTypes, STATEMENT_TYPE, type RunHead, type Statement } from '@pangolin/contracts/statement';
import { hashedRekordLeaf } from '@pangolin/contracts/tlog';
import { isId } from '@pangolin/contracts/ids';
import { createPublicKey, verify } from 'node:crypto';
import { quote, refuse } from '../refusal.ts';
import { array, count, digest, hex64, is, literal, object, text } from '../shape.ts';
import { parseStrict } from '../strict-json.ts';
import type { Trust } from '../trust-file.ts';
import type { Reading } from './reading.ts';

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
const lineShape = object({
  envelope: object({
    payload: base64,
    payloadType: literal(PAYLOAD_TYPE),
    signatures: array(object({ keyid: text(100), sig: base64 }), { min: 1, max: 1 }),
  }),
  publicKey: base64,
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

/** For every line what it is. */
export function readHeads(bytes: Buffer, trust: Trust): readonly Reading<Omit<KnownHead, 'place'>>[] {
  const lines = bytes.toString('utf8').split('\n');
  // What follows the last line feed is half a line, if anything.
  if (lines.at(-1) === '') lines.pop();
  return lines.map((line, at) => {
    try {
      return readHead(`line ${at + 1}`, line, trust);
    } catch (error) {
      return { problem: messageOf(error) };
    }
  });
}

function readHead(what: string, line: string, trust: Trust): Reading<Omit<KnownHead, 'place'>> {
  const { envelope, publicKey } = checked(what, line, lineShape) as { envelope: Envelope; publicKey: string };
  const payload = decodeBase64(envelope.payload)!;
  if (!isUtf8(payload)) refuse(`${what} is not UTF-8`);
  const { predicate } = checked(what, payload.toString('utf8'), statementShape) as Statement<RunHead>;
  if (predicate.logOrigin !== trust.origin) return 'foreign';
  const [{ keyid, sig }] = envelope.signatures;
  const spki = decodeBase64(publicKey)!;
  const key = createPublicKey({ key: spki, format: 'der', type: 'spki' });
  if (keyIdOf(key) !== keyid) refuse(`the key of ${what} has another id than its signature names`);
  if (!verify('sha256', pae(payload), key, decodeBase64(sig)!)) refuse(`the signature of ${what} does not verify`);
  const leaf = leafHash(hashedRekordLeaf(envelope, spki)).toString('base64');
  const signer = trust.signers.get(keyid);
  if (!signer)
    return {
      unknown: `the trust file has no key ${quote(keyid)}, with which ${what} is signed`,
      leaf,
      told: undefined,
    };
  if (!signer.roles.includes('seal')) refuse(`${what} is signed with a key that is not trusted to seal`);
  const { runId: run, tree } = predicate;
  return { known: { run, size: tree.size, root: tree.root, leaf } };
}

function checked(what: string, text: string, shape: (value: unknown) => string | undefined): unknown {
  const value = parseStrict(what, text);
  const problem = shape(value);
  return problem === undefined ? value : refuse(what + problem);
}
