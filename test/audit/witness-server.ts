/** A witness by the letter of C2SP tlog-witness, for one log, over HTTP on loopback; and ways in which it can lie. */
import { createPublicKey, generateKeyPairSync, sign, type KeyObject } from 'node:crypto';
import { verifyConsistency } from '@pangolin/contracts/merkle';
import {
  cosignatureText,
  formatVkey,
  NOTE_COSIGNATURE,
  noteKeyId,
  parseCheckpoint,
  parseNote,
  verifyNote,
  type Checkpoint,
  type NoteKey,
} from '@pangolin/contracts/note';
import { serveHttp, type Served } from './tsa.ts';

export interface WitnessServer extends Served {
  readonly vkey: string;
  readonly privateKey: KeyObject;
  readonly name: string;
  readonly seen: () => Checkpoint | undefined;
  /** Statuses that were answered. */
  readonly statuses: readonly number[];
}

export interface Lies {
  /** Replaces the text that is signed. */
  readonly text?: (text: string) => string;
  readonly time?: () => bigint;
  /** Instead of the answer that is due. */
  readonly answer?: () => readonly [status: number, body: string];
}

/** @param privateKey of a witness that has forgotten everything; a new one without. */
export async function serveWitness(
  log: NoteKey,
  name: string,
  lies: Lies = {},
  privateKey: KeyObject = generateKeyPairSync('ed25519').privateKey,
): Promise<WitnessServer> {
  const publicKey = createPublicKey(privateKey);
  const key: NoteKey = {
    name,
    type: NOTE_COSIGNATURE,
    publicKey: publicKey.export({ type: 'spki', format: 'der' }).subarray(12),
  };
  let seen: Checkpoint | undefined;
  const statuses: number[] = [];

  const decide = (body: string): readonly [number, string] => {
    const split = body.indexOf('\n\n');
    const [first = '', ...hashes] = body.slice(0, split).split('\n');
    const old = /^old (0|[1-9][0-9]*)$/.exec(first)?.[1];
    const note = parseNote(body.slice(split + 2));
    const checkpoint = parseCheckpoint(note.text);
    if (old === undefined || hashes.length > 63) return [400, ''];
    if (checkpoint.origin !== log.name) return [404, ''];
    if (!note.signatures.some((each) => verifyNote(note.text, each, log))) return [403, ''];
    if (Number(old) > checkpoint.size) return [400, ''];
    if (Number(old) !== (seen?.size ?? 0)) return [409, `${seen?.size ?? 0}\n`];
    const proof = hashes.map((each) => Buffer.from(each, 'base64'));
    const follows = seen
      ? verifyConsistency(seen.size, checkpoint.size, proof, seen.root, checkpoint.root)
      : proof.length === 0;
    if (!follows) return [seen?.size === checkpoint.size ? 409 : 422, `${seen?.size ?? 0}\n`];
    seen = checkpoint;
    const time = lies.time?.() ?? BigInt(Math.floor(Date.now() / 1000));
    const stamp = Buffer.alloc(8);
    stamp.writeBigUInt64BE(time);
    const signed = sign(null, Buffer.from(cosignatureText(time, lies.text?.(note.text) ?? note.text)), privateKey);
    return [200, `\u2014 ${name} ${Buffer.concat([noteKeyId(key), stamp, signed]).toString('base64')}\n`];
  };

  const served = await serveHttp((query, response) => {
    let [status, body] = lies.answer?.() ?? [400, ''];
    if (!lies.answer) {
      try {
        [status, body] = decide(query.toString('utf8'));
      } catch {
        [status, body] = [400, ''];
      }
    }
    statuses.push(status);
    response.writeHead(status, { 'content-type': status === 409 ? 'text/x.tlog.size' : 'text/plain' }).end(body);
  });
  return { ...served, vkey: formatVkey(key), privateKey, name, seen: () => seen, statuses };
}
