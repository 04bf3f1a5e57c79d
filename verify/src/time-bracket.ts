/**
 * Between which times a run was opened and sealed, by the word of others than the operator. Each of them only ever says
 * that something existed at its time, so one part less can only widen the bracket.
 */
import { formatTime } from '@pangolin/contracts/units';
import { NO_TRUST, UNSEALED } from './checks/check.ts';
import type { Context } from './context.ts';
import type { CheckResult, TimeBracket } from './report.ts';
import type { WitnessPolicy } from './witness-policy.ts';

/** When each witness saw the log, in milliseconds since 1970. */
type Cosignatures = ReadonlyMap<string, number>;

/** The latest time at or after which as many witnesses signed as the auditor relies on: one alone cannot move it. */
export function enoughSince(cosignatures: Cosignatures, policy: WitnessPolicy | undefined): number | undefined {
  return firstEnough([...cosignatures].sort(([, a], [, b]) => b - a), policy); // prettier-ignore
}

/** The earliest time by which as many had signed. */
export function enoughUntil(cosignatures: Cosignatures, policy: WitnessPolicy | undefined): number | undefined {
  return firstEnough([...cosignatures].sort(([, a], [, b]) => a - b), policy); // prettier-ignore
}

function firstEnough(signed: readonly (readonly [string, number])[], policy: WitnessPolicy | undefined) {
  const names = new Set<string>();
  return signed.find(([name]) => policy?.isMet(names.add(name)) === true)?.[1];
}

const UNSTAMPED =
  'It cannot be checked because neither a time stamp nor enough witnesses that the trust file names say when the seal existed.';

/** @param opened what came of looking for the time of the opening. */
export function timeBracket({ openedAfter, sealedBefore, sealFile, trust }: Context, opened: CheckResult): TimeBracket {
  const unproven = {
    ...(openedAfter === undefined && { notBefore: opened.detail }),
    ...(sealedBefore === undefined && { notAfter: !sealFile ? UNSEALED.detail : !trust ? NO_TRUST.detail : UNSTAMPED }),
  };
  return {
    ...(openedAfter !== undefined && { notBefore: formatTime(openedAfter) }),
    ...(sealedBefore !== undefined && { notAfter: formatTime(sealedBefore) }),
    ...(Object.keys(unproven).length > 0 && { unproven }),
  };
}

/** What clocks may differ by before somebody is told. */
const CLOCKS_MS = 60_000;

/** A finding when what the operator asserts does not fit between what others say. */
export function compareClocks(context: Context): void {
  const { openedAfter, sealedBefore, seal } = context;
  if (!seal) return;
  const told = [
    ['cosigned before it was opened', openedAfter],
    ['submitted', Date.parse(seal.submittedAt)],
    ['completed', Date.parse(seal.completedAt)],
    ['sealed before', sealedBefore],
  ].filter((each): each is [string, number] => each[1] !== undefined);
  if (!told.some(([, time], at) => at > 0 && time < told[at - 1]![1] - CLOCKS_MS)) return;
  const times = told.map(([what, time]) => `${what} ${formatTime(time)}`).join(', ');
  context.find('times-contradict', `The times contradict each other (${times}): a clock is wrong, or the operator dated the run otherwise than it ran.`); // prettier-ignore
}
