/** A seal as far as the log is concerned. */
import type { Sha256 } from '@pangolin/contracts/digest';
import { leafHash } from '@pangolin/contracts/merkle';
import { parseCheckpoint, parseNote, verifyNote, type Checkpoint } from '@pangolin/contracts/note';
import { predicateTypes, type RunSeal, type Statement } from '@pangolin/contracts/statement';
import { hashedRekordLeaf } from '@pangolin/contracts/tlog';
import { messageOf } from '@pangolin/contracts/errors';
import { isOfItsOwnKey, isSigned, readSigstoreFile, signerOf } from '../sigstore-file.ts';
import { quote } from '../refusal.ts';
import { array, count, digest, hex64, literal, object } from '../shape.ts';
import type { Trust } from '../trust-file.ts';
import type { Reading } from './reading.ts';

/** What a seal says of its run. */
export interface SealedRun {
  readonly run: string;
  /** Digest of the events. */
  readonly events: Sha256;
  /** The heads that the log has of it. */
  readonly heads: RunSeal['heads'];
}

export interface KnownSeal extends SealedRun {
  /** Hash of the entry that it has to have, base64. */
  readonly leaf: string;
  /** The one it came with, if the log's key signed it. */
  readonly checkpoint: Checkpoint | undefined;
  /** Where it was found, for people. */
  readonly place: string;
}

const subjectShape = array(object({ name: literal('events.jsonl'), digest }), { min: 1, max: 1 });
const headsShape = array(object({ size: count, root: hex64 }), { max: 100_000 });

export function readSeal(bytes: Buffer, trust: Trust): Reading<Omit<KnownSeal, 'place'>, SealedRun> {
  try {
    const file = readSigstoreFile('it', bytes, 'logged');
    const { subject, predicateType, predicate } = JSON.parse(file.payload.toString('utf8')) as Statement<RunSeal>;
    if (typeof predicate?.logOrigin === 'string' && predicate.logOrigin !== trust.origin) return 'foreign';
    const isUnknown = !trust.signers.has(file.keyid) && isOfItsOwnKey(file);
    const signer = isUnknown ? undefined : signerOf('it', file, trust, 'seal');
    if (signer && !isSigned(file, signer)) return { problem: 'its signature does not verify' };
    if (predicateType !== predicateTypes.runSeal || typeof predicate?.runId !== 'string')
      return { problem: 'it seals no run' };
    const problem = headsShape(predicate.heads) ?? subjectShape(subject);
    if (problem !== undefined) return { problem: `its heads or its subject${problem}` };
    const told: SealedRun = { run: predicate.runId, events: subject[0]!.digest.sha256, heads: predicate.heads };
    if (!signer) {
      const unknown = `the trust file has no key ${quote(file.keyid)}, with which it is signed`;
      return { unknown, leaf: leafHash(file.entry!.body).toString('base64'), told };
    }
    const note = parseNote(file.entry!.checkpoint);
    const signed = trust.logs.some((log) => note.signatures.some((each) => verifyNote(note.text, each, log.note)));
    return {
      known: {
        ...told,
        leaf: leafHash(hashedRekordLeaf(file.envelope, signer.spki)).toString('base64'),
        checkpoint: signed ? parseCheckpoint(note.text) : undefined,
      },
    };
  } catch (error) {
    return { problem: messageOf(error) };
  }
}
