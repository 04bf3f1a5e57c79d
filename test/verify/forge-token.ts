/** Time-stamp tokens as whoever has an authority's key could make them, at any time and bent in any way. */
import { createHash, createPrivateKey, sign, X509Certificate, type KeyObject } from 'node:crypto';
import { context, der, DerReader, oid, sequence, setOf, TAG, unsigned } from '@pangolin/contracts/der';
import { smallerSignature, timeStampBytes, TST_INFO, type TimeStamp } from '@pangolin/contracts/time-stamp';
import type { Authority } from '../audit/tsa.ts';

const HASH: Readonly<Record<string, Buffer>> = {
  sha1: oid('1.3.14.3.2.26'),
  sha256: oid('2.16.840.1.101.3.4.2.1'),
  sha512: oid('2.16.840.1.101.3.4.2.3'),
};
export const INT = (value: number): Buffer => unsigned(BigInt(value));
/** Ways to bend a token while it stays consistent. */
export interface Bend {
  readonly imprintOf?: Buffer;
  readonly imprintHash?: string;
  readonly genTime?: string;
  readonly ess?: (certificate: Buffer) => Buffer | undefined;
  readonly contentType?: Buffer | null;
  readonly messageDigest?: Buffer | null;
  readonly certificates?: (signer: Buffer) => Buffer[];
  readonly key?: KeyObject;
  readonly more?: readonly Buffer[];
  readonly stamp?: (stamp: TimeStamp) => TimeStamp;
  readonly high?: boolean;
}

export const attribute = (id: string, value: Buffer): Buffer => sequence(oid(id), setOf([value]));
export const essOf = (certificate: Buffer, hash = 'sha256'): Buffer =>
  sequence(sequence(sequence(der(TAG.octetString, createHash(hash).update(certificate).digest()))));

/** A token of this authority as it could be made by whoever has its key: consistent but for what is bent. */
export function forgeToken(authority: Authority, signature: Buffer, bend: Bend = {}): Buffer {
  const certificate = new X509Certificate(authority.signerPem).raw;
  const imprintHash = bend.imprintHash ?? 'sha256';
  const imprint = createHash(imprintHash)
    .update(bend.imprintOf ?? signature)
    .digest();
  const info = sequence(
    INT(1),
    oid('1.2.3.4.1'),
    sequence(sequence(HASH[imprintHash]!), der(TAG.octetString, imprint)),
    INT(42),
    der(TAG.generalizedTime, Buffer.from(bend.genTime ?? '20270601100000Z')),
  );
  const ess = bend.ess === undefined ? essOf(certificate) : bend.ess(certificate);
  const type = bend.contentType === undefined ? TST_INFO : bend.contentType;
  const digest = bend.messageDigest === undefined ? createHash('sha256').update(info).digest() : bend.messageDigest;
  const attributes = [
    ...(type ? [attribute('1.2.840.113549.1.9.3', type)] : []),
    ...(digest ? [attribute('1.2.840.113549.1.9.4', der(TAG.octetString, digest))] : []),
    ...(ess ? [attribute('1.2.840.113549.1.9.16.2.47', ess)] : []),
    ...(bend.more ?? []),
  ];
  const fields = new DerReader(certificate).into(TAG.sequence).into(TAG.sequence);
  fields.next(context(0));
  const serial = fields.next(TAG.integer).content;
  fields.next(TAG.sequence);
  const issuer = fields.next(TAG.sequence).bytes;
  const key = bend.key ?? createPrivateKey(authority.signerKeyPem);
  const made = sign('sha256', setOf(attributes), key);
  const curve = key.asymmetricKeyDetails?.namedCurve;
  const low = curve === undefined ? made : smallerSignature(made, curve);
  const stamp: TimeStamp = {
    info,
    certificates: bend.certificates?.(certificate) ?? [certificate],
    issuer,
    serial,
    hash: 'sha256',
    attributes,
    algorithm: curve === undefined ? 'rsa' : 'ecdsa',
    signature: bend.high === true ? higher(low) : low,
  };
  return timeStampBytes(bend.stamp?.(stamp) ?? stamp);
}

const N = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;
function higher(signature: Buffer): Buffer {
  const pair = new DerReader(signature).into(TAG.sequence);
  const [r, s] = pair.all(TAG.integer).map(({ content }) => BigInt(`0x${content.toString('hex')}`));
  return sequence(unsigned(r!), unsigned(N - s!));
}
