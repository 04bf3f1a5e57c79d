import {
  noteKeyId,
  parseCheckpoint,
  parseNote,
  verifyCosignature,
  verifyNote,
  type NoteSignature,
} from '@pangolin/contracts/note';
import type { Context } from '../context.ts';
import type { Trust } from '../trust-file.ts';
import { lack, quote, reading, refuse } from '../refusal.ts';
import { NO_TRUST, passed, plural, UNSEALED, type Check } from './check.ts';

export const checkpoint: Check = {
  id: 'checkpoint',
  title: 'The log of the deployment vouches for its state at that time',
  failure: 'checkpoint',
  run(context) {
    if (!context.sealFile) return UNSEALED;
    if (!context.trust) return NO_TRUST;
    const { origin, logs } = context.trust;
    const note = reading('the checkpoint', () => parseNote(context.sealFile!.entry!.checkpoint));
    const stated = reading('the checkpoint', () => parseCheckpoint(note.text));
    // Key ids are short and may collide: among the keys with this one, whichever verifies is the signer.
    const [first, ...rest] = note.signatures;
    const candidates = logs.filter((log) => first!.keyId.equals(noteKeyId(log.note)));
    const logKey = candidates.find((log) => verifyNote(note.text, first!, log.note)) ?? candidates[0];
    context.checkpoint = { ...stated, ...note, ...(logKey && { logKey }) };
    if (stated.origin !== origin) refuse(`the checkpoint is of ${quote(stated.origin)}, not of ${quote(origin)}`);
    if (stated.size === 0) refuse('the checkpoint is of an empty log');
    if (!logKey) {
      const consistent = first!.name === origin && first!.keyId.equals(context.sealFile.entry!.logId.subarray(0, 4));
      if (!consistent)
        refuse(`the checkpoint is signed by ${quote(first!.name)} with a key that is not one of the log`);
      lack(`the trust file has no key of the log with the id ${first!.keyId.toString('hex')}`);
    }
    if (!verifyNote(note.text, first!, logKey.note))
      refuse('the signature of the log on the checkpoint does not verify');
    context.cosignatures = readCosignatures(context, context.trust, note.text, rest);
    const expected = context.seal?.expects.witnesses ?? 0;
    if (expected > rest.length) {
      context.find('witnesses-missing', `The seal was to be witnessed by ${expected}; it was by ${rest.length}.`);
    }
    return passed(`${plural(stated.size, 'entry', 'entries')}, signed by ${stated.origin}.`);
  },
};

/** A time and an Ed25519 signature. */
const COSIGNATURE_BYTES = 72;

/**
 * In the order of the names, which has to be theirs in the note; each once. A witness that the trust file does not know
 * may be newer than the file: its line counts for nothing, and that is a finding. One that it knows has to verify.
 * @throws Refusal
 */
function readCosignatures(
  context: Context,
  { origin, witnesses }: Trust,
  text: string,
  lines: readonly NoteSignature[],
): Map<string, number> {
  const cosignatures = new Map<string, number>();
  let previous = '';
  for (const line of lines) {
    const key = witnesses?.witnesses.get(line.name);
    if (!key && (line.name === origin || line.signature.length !== COSIGNATURE_BYTES))
      refuse(`the checkpoint has a signature of ${quote(line.name)} that is none of a witness`);
    if (line.name <= previous) refuse('the signatures on the checkpoint are not in the order of their names');
    previous = line.name;
    if (!key) {
      context.find(
        'witness-unknown',
        `The cosignature of ${quote(line.name)} cannot be checked because the trust file does not know this witness; it counts for nothing.`,
      );
      continue;
    }
    const at = verifyCosignature(text, line, key);
    if (at === undefined) return refuse(`the signature of the witness ${quote(line.name)} does not verify`);
    cosignatures.set(line.name, at);
  }
  return cosignatures;
}
