/** A time-stamping authority over HTTP (RFC 3161 §3.4). */
import { createHash, randomBytes } from 'node:crypto';
import { checkTimeStamp } from '@pangolin/contracts/check-time-stamp';
import { PangolinError } from '@pangolin/contracts/errors';
import { TIME_STAMP_BYTES_MAX, timeStampRequest } from '@pangolin/contracts/time-stamp';
import { assertNear } from '../clocks.ts';
import { post } from '../http.ts';
import type { TimestampAuthority } from '../outside.ts';
import { Patient, type Patience } from '../patience.ts';
import { normaliseTimeStamp } from './normalise.ts';

/**
 * A token is kept only if an auditor who trusts the authority will accept it: one that does not hold would spoil the
 * seal that carries it.
 * @param url http or https; what is sent is a digest and what comes back is signed.
 * @param now epoch milliseconds.
 */
export function rfc3161Authority({
  id,
  url,
  now = Date.now,
  ...patience
}: { readonly id: string; readonly url: string; readonly now?: () => number } & Patience): TimestampAuthority {
  const patient = new Patient(`the time-stamping authority ${id}`, patience);
  return {
    id,
    stamp: (signature) =>
      patient.ask(async () => {
        const imprint = createHash('sha256').update(signature).digest();
        // Some authorities read a nonce as a signed 64-bit number.
        const nonce = randomBytes(8).readBigUInt64BE() >> 1n;
        const { status, contentType, body } = await post({
          url,
          contentType: 'application/timestamp-query',
          body: timeStampRequest(imprint, nonce),
          signal: patient.deadline(),
          bytesMax: TIME_STAMP_BYTES_MAX,
        });
        if (status !== 200) throw new PangolinError('UNAVAILABLE', `it answered with HTTP status ${status}`);
        if (contentType !== 'application/timestamp-reply') {
          throw new PangolinError('INVALID', 'its answer is not a time stamp');
        }
        const token = normaliseTimeStamp(body, imprint, nonce);
        assertNear(checkTimeStamp(token, signature).genTime, now());
        return token;
      }),
  };
}
