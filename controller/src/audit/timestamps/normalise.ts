/** From what a time-stamping authority sends to the form that is kept (contracts/time-stamp). */
import { X509Certificate } from 'node:crypto';
import { DerReader, TAG } from '@pangolin/contracts/der';
import { PangolinError } from '@pangolin/contracts/errors';
import {
  readTimeStamp,
  readTimeStampInfo,
  smallerSignature,
  timeStampBytes,
  type TimeStamp,
} from '@pangolin/contracts/time-stamp';

/**
 * @param imprint SHA-256 that was sent. @param nonce what was sent with it.
 * @throws PangolinError INVALID when it is no answer to that request or has no normal form.
 */
export function normaliseTimeStamp(response: Buffer, imprint: Buffer, nonce: bigint): Buffer {
  const stamp = readTimeStamp(response);
  const info = readTimeStampInfo(stamp.info);
  if (info.imprint.hash !== 'sha256' || !info.imprint.digest.equals(imprint)) {
    throw new PangolinError('INVALID', 'the time stamp is of something else than was sent');
  }
  if (info.nonce !== nonce) throw new PangolinError('INVALID', 'the time stamp answers another request');
  const signer = stamp.certificates.find((each) => isOf(each, stamp));
  if (!signer) throw new PangolinError('INVALID', 'the certificate of the time-stamping authority was not sent');
  const { namedCurve } = new X509Certificate(signer).publicKey.asymmetricKeyDetails ?? {};
  return timeStampBytes({
    ...stamp,
    // Those that issued it are for the trust file: nothing that is signed here fixes their bytes.
    certificates: [signer],
    ...(stamp.algorithm === 'ecdsa' && { signature: smallerSignature(stamp.signature, namedCurve) }),
  });
}

function isOf(certificate: Buffer, { issuer, serial }: TimeStamp): boolean {
  const fields = new DerReader(certificate).into(TAG.sequence).into(TAG.sequence);
  fields.optional(0xa0);
  const number = fields.next(TAG.integer).content;
  fields.next(TAG.sequence);
  return number.equals(serial) && fields.next(TAG.sequence).bytes.equals(issuer);
}
