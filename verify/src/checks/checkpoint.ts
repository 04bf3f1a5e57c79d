import { refuse } from '../refusal.ts';
import { checkSignedCheckpoint, readSignedCheckpoint, strangeKey } from '../signed-checkpoint.ts';
import { NO_TRUST, passed, plural, UNSEALED, type Check } from './check.ts';

const WHAT = 'the checkpoint';

export const checkpoint: Check = {
  id: 'checkpoint',
  title: 'The log of the deployment vouches for its state at that time',
  failure: 'checkpoint',
  run(context) {
    const { sealFile, trust } = context;
    if (!sealFile) return UNSEALED;
    if (!trust) return NO_TRUST;
    const entry = sealFile.entry!;
    const checkpoint = readSignedCheckpoint(WHAT, entry.checkpoint, trust);
    context.checkpoint = checkpoint;
    const [first, ...cosigned] = checkpoint.signatures;
    // Not a key that the trust file lacks but a changed id.
    if (!checkpoint.logKey && !first!.keyId.equals(entry.logId.subarray(0, 4))) refuse(strangeKey(WHAT, first!));
    context.cosignatures = checkSignedCheckpoint(context, trust, WHAT, checkpoint);
    const expected = context.seal?.expects.witnesses ?? 0;
    if (expected > cosigned.length) {
      context.find('witnesses-missing', `The seal was to be witnessed by ${expected}; it was by ${cosigned.length}.`);
    }
    return passed(`${plural(checkpoint.size, 'entry', 'entries')}, signed by ${checkpoint.origin}.`);
  },
};
