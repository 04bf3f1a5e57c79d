/** Tells what only our own keys can have made from junk, where others can write too. */
import { createPublicKey, verify } from 'node:crypto';
import { decodeBase64, pae } from '@pangolin/contracts/dsse';
import { parseCheckpoint, parseNote, verifyNote, type Checkpoint } from '@pangolin/contracts/note';
import type { SigstoreBundle } from '@pangolin/contracts/sigstore-bundle';
import { predicateTypes, type RunSeal, type Statement } from '@pangolin/contracts/statement';
import { signersOf, type Keys } from './keys.ts';

export interface Rivals {
  /** A seal of this run under one of our keys. */
  isSeal(bytes: Buffer, runId: string): boolean;
  /** A checkpoint of our log of the size of `note` with another root. */
  isOtherCheckpoint(bytes: Buffer, note: string): boolean;
  /** The checkpoint of our log that `note` is; undefined for anything else. */
  checkpointOf(note: string): Checkpoint | undefined;
}

export function rivalsOf(keys: Keys): Rivals {
  const sealers = signersOf(keys)
    .filter(({ role }) => role === 'seal')
    .map(({ publicKey }) => createPublicKey({ key: Buffer.from(publicKey, 'base64'), format: 'der', type: 'spki' }));
  const checkpointOf = (text: string): Checkpoint | undefined =>
    orUndefined(() => {
      const note = parseNote(text);
      const checkpoint = parseCheckpoint(note.text);
      const { note: key } = keys.log;
      const signed = note.signatures.some((each) => verifyNote(note.text, each, key));
      return checkpoint.origin === key.name && signed ? checkpoint : undefined;
    });
  return {
    checkpointOf,
    isSeal: (bytes, runId) =>
      orUndefined(() => {
        const { dsseEnvelope } = JSON.parse(bytes.toString('utf8')) as SigstoreBundle;
        const payload = decodeBase64(dsseEnvelope.payload)!;
        const signature = decodeBase64(dsseEnvelope.signatures[0].sig)!;
        const { predicateType, predicate } = JSON.parse(payload.toString('utf8')) as Statement<RunSeal>;
        if (predicateType !== predicateTypes.runSeal || predicate.runId !== runId) return false;
        return sealers.some((key) => verify('sha256', pae(payload), key, signature));
      }) ?? false,
    isOtherCheckpoint: (bytes, note) => {
      const [theirs, ours] = [checkpointOf(bytes.toString('utf8')), checkpointOf(note)];
      return theirs !== undefined && !(theirs.size === ours?.size && theirs.root.equals(ours.root));
    },
  };
}

/** What cannot be read is junk. */
function orUndefined<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}
