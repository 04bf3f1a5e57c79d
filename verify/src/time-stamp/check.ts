/** One RFC 3161 token over a signature, by the strict profile of evidence.md §3.9. */
import { createHash, verify } from 'node:crypto';
import { context, der, DerReader, oid, TAG, type Der } from '@pangolin/contracts/der';
import {
  hashNames,
  readHash,
  readTimeStamp,
  readTimeStampInfo,
  signedAttributes,
  smallerSignature,
  timeStampBytes,
  TST_INFO,
  type TimeStamp,
} from '@pangolin/contracts/time-stamp';
import { reading, refuse } from '../refusal.ts';
import { checkPath, type TrustedAuthority } from './authorities.ts';
import { checkSigner, readCertificate, type Certificate } from './certificate.ts';

const CONTENT_TYPE = oid('1.2.840.113549.1.9.3').toString('hex');
const MESSAGE_DIGEST = oid('1.2.840.113549.1.9.4').toString('hex');
const SIGNING_CERTIFICATE = oid('1.2.840.113549.1.9.16.2.12').toString('hex');
const SIGNING_CERTIFICATE_V2 = oid('1.2.840.113549.1.9.16.2.47').toString('hex');

/**
 * @param authorities none: everything is checked but who the authority is.
 * @returns when the signature existed, in milliseconds since 1970. @throws Refusal
 */
export function checkTimeStamp(token: Buffer, signature: Buffer, authorities: readonly TrustedAuthority[]): number {
  const what = 'the time stamp';
  return reading(what, () => {
    const stamp = readTimeStamp(token);
    if (!timeStampBytes(stamp).equals(token)) refuse('the time stamp is not in the one form that is written');
    const info = readTimeStampInfo(stamp.info);
    const { hash, digest } = info.imprint;
    if (!createHash(hash).update(signature).digest().equals(digest)) {
      refuse('the time stamp is not of the signature of the seal');
    }
    const signer = signerOf(stamp);
    checkAttributes(stamp, signer);
    checkSigner(signer);
    checkSignature(stamp, signer);
    if (authorities.length > 0) checkPath(signer, authorities, info.genTime);
    return info.genTime;
  });
}

function signerOf({ certificates, issuer, serial }: TimeStamp): Certificate {
  const [only, ...rest] = certificates;
  // Issuers come from the trust file; nothing signed would fix their bytes here.
  if (rest.length > 0) refuse('the time stamp holds more certificates than the one of its signer');
  let certificate: Certificate;
  try {
    certificate = readCertificate(only!);
  } catch (error) {
    return refuse(`the certificate of the time stamp cannot be read: ${(error as Error).message}`);
  }
  if (!certificate.issuer.equals(issuer) || !certificate.serial.equals(serial)) {
    refuse('the time stamp names another signer than the one of its certificate');
  }
  return certificate;
}

function checkAttributes(stamp: TimeStamp, signer: Certificate): void {
  const attributes = new Map<string, Der>();
  for (const each of stamp.attributes) {
    const parts = new DerReader(DerReader.one(each, TAG.sequence).content);
    const id = parts.next(TAG.oid).bytes.toString('hex');
    const values = parts.into(TAG.set);
    parts.end();
    if (attributes.has(id)) refuse('the time stamp has a signed attribute twice');
    attributes.set(id, values.next());
    values.end();
  }
  const valueOf = (id: string, name: string): Buffer =>
    attributes.get(id)?.bytes ?? refuse(`the time stamp does not sign its ${name}`);
  if (!valueOf(CONTENT_TYPE, 'content type').equals(TST_INFO)) refuse('the time stamp signs content of another type');
  const digest = createHash(stamp.hash).update(stamp.info).digest();
  if (!valueOf(MESSAGE_DIGEST, 'message digest').equals(der(TAG.octetString, digest))) {
    refuse('the content of the time stamp is not what its authority signed');
  }
  if (!namesCertificate(valueOf(SIGNING_CERTIFICATE_V2, 'certificate'), signer, 2)) {
    refuse('the time stamp was signed under another certificate');
  }
  const old = attributes.get(SIGNING_CERTIFICATE);
  if (old && !namesCertificate(old.bytes, signer, 1)) refuse('the time stamp was signed under another certificate');
}

/** RFC 5035: the first ESSCertID(v2) of a SigningCertificate(V2) is the one of the signer. */
function namesCertificate(value: Buffer, { x509, issuer, serial }: Certificate, version: 1 | 2): boolean {
  const first = new DerReader(value).into(TAG.sequence).into(TAG.sequence).into(TAG.sequence);
  const algorithm = version === 2 ? first.optional(TAG.sequence) : undefined;
  const hash = version === 1 ? 'sha1' : algorithm ? readHash(algorithm) : hashNames[0];
  if (!first.next(TAG.octetString).content.equals(createHash(hash).update(x509.raw).digest())) return false;
  const named = first.optional(TAG.sequence);
  first.end();
  if (!named) return true;
  const parts = new DerReader(named.content);
  const names = parts.next(TAG.sequence).content;
  return names.equals(der(context(4), issuer)) && parts.next(TAG.integer).content.equals(serial);
}

function checkSignature(stamp: TimeStamp, { publicKey }: Certificate): void {
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = publicKey;
  if (type !== (stamp.algorithm === 'rsa' ? 'rsa' : 'ec'))
    refuse('the time stamp is signed with a key of another kind');
  if (type === 'ec' && !smallerSignature(stamp.signature, details?.namedCurve).equals(stamp.signature)) {
    refuse('the signature of the time stamp is not in the form that is written');
  }
  if (!verify(stamp.hash, signedAttributes(stamp), publicKey, stamp.signature)) {
    refuse('the signature of the time stamp does not verify');
  }
}
