import { formatTime } from '@pangolin/contracts/units';
import type { Context } from '../context.ts';
import { checkKeyUse } from '../key-use.ts';
import { refuse } from '../refusal.ts';
import { enoughUntil } from '../time-bracket.ts';
import { checkTimeStamp } from '../time-stamp/check.ts';
import { NO_TRUST, passed, plural, UNREACHED, UNSEALED, type Check } from './check.ts';

export const time: Check = {
  id: 'time',
  title: 'The keys were valid when they were used',
  failure: 'time',
  run(context) {
    const { sealFile, seal, signer, checkpoint, trust } = context;
    if (!sealFile) return UNSEALED;
    if (!trust) return NO_TRUST;
    if (!seal || !signer || !checkpoint?.logKey) return UNREACHED;
    const { stamped, foreign } = readStamps(context);
    context.trustedTimes.push(...stamped);
    context.timestamps = stamped.length;
    // One witness alone must not be able to say when a key was used: only as many as the auditor asks for.
    const { cosignatures } = context;
    if (trust.witnesses?.isMet(new Set(cosignatures.keys())) === true) {
      context.trustedTimes.push(...cosignatures.values());
    }
    const until = enoughUntil(cosignatures, trust.witnesses);
    const proven = [...stamped, ...(until === undefined ? [] : [until])];
    if (proven.length > 0) context.sealedBefore = Math.min(...proven);
    const completedAt = Date.parse(seal.completedAt);
    checkKeyUse(context.trustedTimes, 'the seal', signer, completedAt);
    checkKeyUse(context.trustedTimes, 'the log', checkpoint.logKey, completedAt);
    if (context.trustedTimes.length === 0 && signer.end !== undefined && signer.end < context.now) {
      context.find(
        'key-expired',
        'The key of the seal is not valid any more, and no trusted time says when it was used.',
      );
    }
    if (foreign > 0) {
      context.find(
        'timestamp-of-a-stranger',
        `The seal carries ${plural(foreign, 'time stamp')} that cannot be relied on because the trust file names no time-stamping authority.`,
      );
    }
    if (stamped.length > 0) {
      return passed(`${plural(stamped.length, 'time stamp')}, the latest of ${formatTime(Math.max(...stamped))}.`);
    }
    return passed(`At ${seal.completedAt}, which the operator asserts and nobody else attests.`);
  },
};

/** Every one has to hold, and to be there once. @throws Refusal */
function readStamps({ sealFile, trust }: Context): { readonly stamped: number[]; readonly foreign: number } {
  const { timestamps, signature } = sealFile!;
  const distinct = new Set(timestamps.map((token) => token.toString('latin1')));
  if (distinct.size !== timestamps.length) refuse('the seal carries a time stamp twice');
  const { authorities } = trust!;
  const times = timestamps.map((token) => checkTimeStamp(token, signature, authorities));
  return authorities.length > 0 ? { stamped: times, foreign: 0 } : { stamped: [], foreign: times.length };
}
