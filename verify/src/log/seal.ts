/** A seal as far as the log is concerned. */
import { leafHash } from '@pangolin/contracts/merkle';
import { parseCheckpoint, parseNote, verifyNote, type Checkpoint } from '@pangolin/contracts/note';
import { predicateTypes, type RunSeal, type Statement } from '@pangolin/contracts/statement';
import { hashedRekordLeaf } from '@pangolin/contracts/tlog';
import { messageOf } from '@pangolin/contracts/errors';
import { isSigned, readSigstoreFile, signerOf } from '../sigstore-file.ts';
import { array, count, hex64, object } from '../shape.ts';
import type { Trust } from '../trust-file.ts';

export interface KnownSeal {
  readonly run: string;
  /** Hash of the entry that it has to have, base64. */
  readonly leaf: string;
  /** The heads that it says the log has of its run. */
  readonly heads: RunSeal['heads'];
  /** The one it came with, if the log's key signed it. */
  readonly checkpoint: Checkpoint | undefined;
  /** Where it was found, for people. */
  readonly place: string;
}

const headsShape = array(object({ size: count, root: hex64 }), { max: 100_000 });

/** What `readSeal` answers for a seal of another log. */
export const FOREIGN = 'foreign';

/** Why it is no seal under a trusted key of this origin; `foreign` when it says itself that it is of another one. */
export function readSeal(bytes: Buffer, trust: Trust): Omit<KnownSeal, 'place'> | string {
  try {
    const file = readSigstoreFile('it', bytes, 'logged');
    const { predicateType, predicate } = JSON.parse(file.payload.toString('utf8')) as Statement<RunSeal>;
    if (typeof predicate?.logOrigin === 'string' && predicate.logOrigin !== trust.origin) return FOREIGN;
    const signer = signerOf('it', file, trust, 'seal');
    if (!isSigned(file, signer)) return 'its signature does not verify';
    if (predicateType !== predicateTypes.runSeal || typeof predicate?.runId !== 'string') return 'it seals no run';
    const problem = headsShape(predicate.heads);
    if (problem !== undefined) return `its heads${problem}`;
    const note = parseNote(file.entry!.checkpoint);
    const signed = trust.logs.some((log) => note.signatures.some((each) => verifyNote(note.text, each, log.note)));
    return {
      run: predicate.runId,
      heads: predicate.heads,
      leaf: leafHash(hashedRekordLeaf(file.envelope, signer.spki)).toString('base64'),
      checkpoint: signed ? parseCheckpoint(note.text) : undefined,
    };
  } catch (error) {
    return messageOf(error);
  }
}
