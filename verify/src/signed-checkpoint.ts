/** A checkpoint and who signed it: the log, then witnesses. */
import {
  noteKeyId,
  parseCheckpoint,
  parseNote,
  verifyCosignature,
  verifyNote,
  type Checkpoint,
  type NoteSignature,
} from '@pangolin/contracts/note';
import type { Context } from './context.ts';
import { lack, quote, reading, refuse } from './refusal.ts';
import type { Trust, TrustedLogKey } from './trust-file.ts';

export interface SignedCheckpoint extends Checkpoint {
  readonly text: string;
  /** The one of the log first. */
  readonly signatures: readonly NoteSignature[];
  /** The trusted key of the log that signed it, or should have by its id. */
  readonly logKey?: TrustedLogKey;
}

/** Nothing of it is verified yet. @param what for people. @throws Refusal */
export function readSignedCheckpoint(what: string, bytes: string, { logs }: Trust): SignedCheckpoint {
  const note = reading(what, () => parseNote(bytes));
  const stated = reading(what, () => parseCheckpoint(note.text));
  // Key ids are short and may collide: among the keys with this one, whichever verifies is the signer.
  const [first] = note.signatures;
  const candidates = logs.filter((log) => first!.keyId.equals(noteKeyId(log.note)));
  const logKey = candidates.find((log) => verifyNote(note.text, first!, log.note)) ?? candidates[0];
  return { ...stated, ...note, ...(logKey && { logKey }) };
}

/**
 * That the log signed it, and no witness falsely. Answers when each witness that the trust file names saw it, in
 * milliseconds since 1970.
 * @throws Refusal, Unavailable when the trust file lacks the key of the log.
 */
export function checkSignedCheckpoint(
  context: Context,
  trust: Trust,
  what: string,
  { text, signatures, logKey, ...stated }: SignedCheckpoint,
): Map<string, number> {
  const [first, ...rest] = signatures;
  if (stated.origin !== trust.origin) refuse(`${what} is of ${quote(stated.origin)}, not of ${quote(trust.origin)}`);
  if (stated.size === 0) refuse(`${what} is of an empty log`);
  if (!logKey) {
    if (first!.name !== trust.origin) refuse(strangeKey(what, first!));
    return lack(`the trust file has no key of the log with the id ${first!.keyId.toString('hex')}`);
  }
  if (!verifyNote(text, first!, logKey.note)) refuse(`the signature of the log on ${what} does not verify`);
  return readCosignatures(context, trust, what, text, rest);
}

export const strangeKey = (what: string, { name }: NoteSignature): string =>
  `${what} is signed by ${quote(name)} with a key that is not one of the log`;

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
  what: string,
  text: string,
  lines: readonly NoteSignature[],
): Map<string, number> {
  const cosignatures = new Map<string, number>();
  let previous = '';
  for (const line of lines) {
    const key = witnesses?.witnesses.get(line.name);
    if (!key && (line.name === origin || line.signature.length !== COSIGNATURE_BYTES))
      refuse(`${what} has a signature of ${quote(line.name)} that is none of a witness`);
    if (line.name <= previous) refuse(`the signatures on ${what} are not in the order of their names`);
    previous = line.name;
    if (!key) {
      context.find(
        'witness-unknown',
        `The cosignature of ${quote(line.name)} cannot be checked because the trust file does not know this witness; it counts for nothing.`,
      );
      continue;
    }
    const at = verifyCosignature(text, line, key);
    if (at === undefined) return refuse(`the signature of the witness ${quote(line.name)} on ${what} does not verify`);
    cosignatures.set(line.name, at);
  }
  return cosignatures;
}
