/** A time-stamping authority over HTTP (RFC 3161 §3.4). */
import { createHash, randomBytes } from 'node:crypto';
import { PangolinError } from '@pangolin/contracts/errors';
import { TIME_STAMP_BYTES_MAX, timeStampRequest } from '@pangolin/contracts/time-stamp';
import { post } from '../http.ts';
import type { TimestampAuthority } from '../outside.ts';
import { Patient, type Patience } from '../patience.ts';
import { normaliseTimeStamp } from './normalise.ts';

/** @param url http or https; what is sent is a digest and what comes back is signed. */
export function rfc3161Authority({
  id,
  url,
  ...patience
}: { readonly id: string; readonly url: string } & Patience): TimestampAuthority {
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
          timeoutMs: patient.timeoutMs,
          bytesMax: TIME_STAMP_BYTES_MAX,
        });
        if (status !== 200) throw new PangolinError('UNAVAILABLE', `it answered with HTTP status ${status}`);
        if (contentType !== 'application/timestamp-reply') {
          throw new PangolinError('INVALID', 'its answer is not a time stamp');
        }
        return normaliseTimeStamp(body, imprint, nonce);
      }),
  };
}
