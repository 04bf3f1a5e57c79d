/** One RFC 3161 token over a signature, by the strict profile of evidence.md §3.9, of an authority that is trusted. */
import { checkTimeStamp as checkToken } from '@pangolin/contracts/check-time-stamp';
import { isPangolinError, messageOf } from '@pangolin/contracts/errors';
import { refuse } from '../refusal.ts';
import { checkPath, type TrustedAuthority } from './authorities.ts';

/**
 * @param authorities none: everything is checked but who the authority is.
 * @returns when the signature existed, in milliseconds since 1970. @throws Refusal
 */
export function checkTimeStamp(token: Buffer, signature: Buffer, authorities: readonly TrustedAuthority[]): number {
  try {
    const { signer, genTime } = checkToken(token, signature);
    if (authorities.length > 0) checkPath(signer, authorities, genTime);
    return genTime;
  } catch (error) {
    if (!isPangolinError(error)) throw error;
    return refuse(messageOf(error));
  }
}
