/** What the profile of evidence.md §3.9 asks of certificates; OpenSSL verifies the signatures on them. */
import { X509Certificate, type KeyObject } from 'node:crypto';
import { DerReader, oid, sequence, TAG } from './der.ts';
import { PangolinError } from './errors.ts';

const EXTENSION = {
  keyUsage: oid('2.5.29.15').toString('hex'),
  basicConstraints: oid('2.5.29.19').toString('hex'),
  policies: oid('2.5.29.32').toString('hex'),
  extendedKeyUsage: oid('2.5.29.37').toString('hex'),
};
const TIME_STAMPING = oid('1.3.6.1.5.5.7.3.8');
const understood = new Set(Object.values(EXTENSION));
/** SHA-256 and longer, with RSA and with ECDSA. */
const strong = [11, 12, 13]
  .map((last) => oid(`1.2.840.113549.1.1.${last}`))
  .concat([2, 3, 4].map((last) => oid(`1.2.840.10045.4.3.${last}`)));
const CURVES = ['prime256v1', 'secp384r1', 'secp521r1'];

interface Extension {
  readonly critical: boolean;
  readonly value: Buffer;
}

export interface Certificate {
  readonly x509: X509Certificate;
  readonly publicKey: KeyObject;
  /** DER of the Name, and the content of the INTEGER. */
  readonly issuer: Buffer;
  readonly serial: Buffer;
  /** By the OID, DER in hex. */
  readonly extensions: ReadonlyMap<string, Extension>;
  readonly isStrong: boolean;
}

/** @throws PangolinError INVALID or an error of OpenSSL for what is no certificate. */
export function readCertificate(bytes: Buffer): Certificate {
  const whole = new DerReader(DerReader.one(bytes, TAG.sequence).content);
  const fields = whole.into(TAG.sequence);
  const outer = whole.next(TAG.sequence);
  whole.next(TAG.bitString);
  whole.end();
  fields.optional(0xa0);
  const serial = fields.next(TAG.integer).content;
  const inner = fields.next(TAG.sequence);
  const issuer = fields.next(TAG.sequence).bytes;
  // Validity, subject, key, and two unique identifiers that nobody uses.
  for (let skipped = 0; skipped < 3; skipped++) fields.next(TAG.sequence);
  fields.optional(0x81);
  fields.optional(0x82);
  const list = fields.optional(0xa3);
  fields.end();
  const algorithm = new DerReader(inner.content).next(TAG.oid).bytes;
  const x509 = new X509Certificate(bytes);
  return {
    x509,
    publicKey: x509.publicKey,
    issuer,
    serial,
    extensions: list ? readExtensions(list.content) : new Map(),
    isStrong: outer.bytes.equals(inner.bytes) && strong.some((each) => each.equals(algorithm)),
  };
}

function readExtensions(bytes: Buffer): Map<string, Extension> {
  const extensions = new Map<string, Extension>();
  for (const each of new DerReader(DerReader.one(bytes, TAG.sequence).content).all(TAG.sequence)) {
    const parts = new DerReader(each.content);
    const id = parts.next(TAG.oid).bytes.toString('hex');
    const critical = parts.optional(TAG.boolean)?.content[0] === 0xff;
    if (extensions.has(id)) invalid('a certificate has an extension twice');
    extensions.set(id, { critical, value: parts.next(TAG.octetString).content });
    parts.end();
  }
  return extensions;
}

/** Refuses what may not sign time stamps. @throws PangolinError INVALID */
export function checkSigner(certificate: Certificate): void {
  checkAny(certificate);
  const { x509, extensions } = certificate;
  if (x509.ca) invalid('the time stamp is signed by a certification authority itself');
  const purpose = extensions.get(EXTENSION.extendedKeyUsage);
  if (!purpose?.critical || !purpose.value.equals(sequence(TIME_STAMPING))) {
    invalid('the certificate of the time stamp is not for time stamps alone');
  }
  // digitalSignature, nonRepudiation
  if (!mayUse(extensions, 0b1100_0000)) invalid('the certificate of the time stamp is not for signatures');
}

/** Refuses what may not have issued certificates. @param below CAs between it and the signer. @throws PangolinError INVALID */
export function checkIssuer(certificate: Certificate, below: number): void {
  checkAny(certificate);
  const { x509, extensions } = certificate;
  // keyCertSign
  if (!x509.ca || !mayUse(extensions, 0b0000_0100)) invalid('a certificate was issued by one that may not issue any');
  const purpose = extensions.get(EXTENSION.extendedKeyUsage);
  if (purpose && !purpose.value.includes(TIME_STAMPING)) invalid('a certificate was issued by one not for time stamps');
  const constraints = extensions.get(EXTENSION.basicConstraints);
  if (!constraints) return;
  const parts = new DerReader(DerReader.one(constraints.value, TAG.sequence).content);
  parts.optional(TAG.boolean);
  const limit = parts.optional(TAG.integer);
  if (limit && limit.content.readUIntBE(0, Math.min(limit.content.length, 6)) < below) {
    invalid('a certificate was issued further down than its path may be long');
  }
}

function checkAny({ publicKey, extensions }: Certificate): void {
  for (const [id, { critical }] of extensions) {
    if (critical && !understood.has(id)) invalid('a certificate has a critical extension that is not known');
  }
  const { asymmetricKeyType, asymmetricKeyDetails } = publicKey;
  const good =
    asymmetricKeyType === 'rsa'
      ? (asymmetricKeyDetails?.modulusLength ?? 0) >= 2048
      : asymmetricKeyType === 'ec' && CURVES.includes(asymmetricKeyDetails?.namedCurve ?? '');
  if (!good) invalid('a certificate has a key that is too weak or of a kind that is not known');
}

/** True when there is no statement on the use of the key, or one that has one of these bits of its first byte. */
function mayUse(extensions: Certificate['extensions'], bits: number): boolean {
  const usage = extensions.get(EXTENSION.keyUsage);
  if (!usage) return true;
  // The first content byte of a BIT STRING counts its unused bits.
  return ((DerReader.one(usage.value, TAG.bitString).content[1] ?? 0) & bits) !== 0;
}

function invalid(sentence: string): never {
  throw new PangolinError('INVALID', sentence);
}
