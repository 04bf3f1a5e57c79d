import { noteKeyId, parseCheckpoint, parseNote, verifyNote } from '@pangolin/contracts/note';
import { quote, reading, refuse } from '../refusal.ts';
import { NO_TRUST, passed, UNSEALED, type Check } from './check.ts';

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
    if (!logKey)
      refuse(`the checkpoint is signed by ${quote(first!.name)} with a key that is not the trusted one of the log`);
    if (!verifyNote(note.text, first!, logKey.note))
      refuse('the signature of the log on the checkpoint does not verify');
    if (rest.length > 0)
      refuse(`the checkpoint has a signature of ${quote(rest[0]!.name)}, whom the trust file does not know`);
    return passed(`${stated.size} entries, signed by ${stated.origin}.`);
  },
};
