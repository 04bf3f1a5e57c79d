/** One RFC 3161 token over a signature, by the strict profile of evidence.md §3.9, but for who the authority is. */
import { createHash, verify } from 'node:crypto';
import { checkSigner, readCertificate, type Certificate } from './certificate.ts';
import { context, der, DerReader, oid, TAG, type Der } from './der.ts';
import { messageOf, PangolinError } from './errors.ts';
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
} from './time-stamp.ts';
import { formatTime } from './units.ts';

const CONTENT_TYPE = oid('1.2.840.113549.1.9.3').toString('hex');
const MESSAGE_DIGEST = oid('1.2.840.113549.1.9.4').toString('hex');
const SIGNING_CERTIFICATE = oid('1.2.840.113549.1.9.16.2.12').toString('hex');
const SIGNING_CERTIFICATE_V2 = oid('1.2.840.113549.1.9.16.2.47').toString('hex');

export interface CheckedTimeStamp {
  readonly signer: Certificate;
  /** When the signature existed, in milliseconds since 1970, if the signer is one to believe. */
  readonly genTime: number;
}

/** @throws PangolinError INVALID for a token that no auditor would accept, whomever they trust. */
export function checkTimeStamp(token: Buffer, signature: Buffer): CheckedTimeStamp {
  const stamp = readTimeStamp(token);
  if (!timeStampBytes(stamp).equals(token)) invalid('the time stamp is not in the one form that is written');
  const info = readTimeStampInfo(stamp.info);
  const { hash, digest } = info.imprint;
  if (!createHash(hash).update(signature).digest().equals(digest)) {
    invalid('the time stamp is not of the signature of the seal');
  }
  const signer = signerOf(stamp);
  checkAttributes(stamp, signer);
  checkSigner(signer);
  checkSignature(stamp, signer);
  const { validFromDate, validToDate } = signer.x509;
  if (info.genTime < validFromDate.getTime() || info.genTime > validToDate.getTime()) {
    invalid(`a certificate of the time stamp was not valid at ${formatTime(info.genTime)}`);
  }
  return { signer, genTime: info.genTime };
}

function signerOf({ certificates, issuer, serial }: TimeStamp): Certificate {
  const [only, ...rest] = certificates;
  // Issuers come from the trust file; nothing signed would fix their bytes here.
  if (rest.length > 0) invalid('the time stamp holds more certificates than the one of its signer');
  let certificate: Certificate;
  try {
    certificate = readCertificate(only!);
  } catch (error) {
    return invalid(`the certificate of the time stamp cannot be read: ${messageOf(error)}`);
  }
  if (!certificate.issuer.equals(issuer) || !certificate.serial.equals(serial)) {
    invalid('the time stamp names another signer than the one of its certificate');
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
    if (attributes.has(id)) invalid('the time stamp has a signed attribute twice');
    attributes.set(id, values.next());
    values.end();
  }
  const valueOf = (id: string, name: string): Buffer =>
    attributes.get(id)?.bytes ?? invalid(`the time stamp does not sign its ${name}`);
  if (!valueOf(CONTENT_TYPE, 'content type').equals(TST_INFO)) invalid('the time stamp signs content of another type');
  const digest = createHash(stamp.hash).update(stamp.info).digest();
  if (!valueOf(MESSAGE_DIGEST, 'message digest').equals(der(TAG.octetString, digest))) {
    invalid('the content of the time stamp is not what its authority signed');
  }
  if (!namesCertificate(valueOf(SIGNING_CERTIFICATE_V2, 'certificate'), signer, 2)) {
    invalid('the time stamp was signed under another certificate');
  }
  const old = attributes.get(SIGNING_CERTIFICATE);
  if (old && !namesCertificate(old.bytes, signer, 1)) invalid('the time stamp was signed under another certificate');
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
    invalid('the time stamp is signed with a key of another kind');
  if (type === 'ec' && !smallerSignature(stamp.signature, details?.namedCurve).equals(stamp.signature)) {
    invalid('the signature of the time stamp is not in the form that is written');
  }
  if (!verify(stamp.hash, signedAttributes(stamp), publicKey, stamp.signature)) {
    invalid('the signature of the time stamp does not verify');
  }
}

function invalid(sentence: string): never {
  throw new PangolinError('INVALID', sentence);
}
