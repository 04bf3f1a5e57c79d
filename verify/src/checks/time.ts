import { checkKeyUse } from '../key-use.ts';
import { refuse } from '../refusal.ts';
import { NO_TRUST, passed, UNREACHED, UNSEALED, type Check } from './check.ts';

export const time: Check = {
  id: 'time',
  title: 'The keys were valid when they were used',
  failure: 'time',
  run(context) {
    const { sealFile, seal, signer, checkpoint, trust } = context;
    if (!sealFile) return UNSEALED;
    if (sealFile.timestamps.length > 0)
      refuse('the seal carries a time stamp, which cannot be checked by this version');
    if (!trust) return NO_TRUST;
    if (!seal || !signer || !checkpoint?.logKey) return UNREACHED;
    const completedAt = Date.parse(seal.completedAt);
    checkKeyUse(context, 'the seal', signer, completedAt);
    checkKeyUse(context, 'the log', checkpoint.logKey, completedAt);
    if (signer.end !== undefined && signer.end < context.now) {
      context.find(
        'key-expired',
        'The key of the seal is not valid any more, and no trusted time says when it was used.',
      );
    }
    return passed(`At ${seal.completedAt}, which the operator asserts and nobody else attests.`);
  },
};
