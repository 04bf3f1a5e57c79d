/**
 * RFC 3161 time stamps in the one form that we keep (evidence.md §3.9): status granted and nothing said about it, one
 * signer, no unsigned attributes, no revocation lists, sets in DER order, one way to name each algorithm. A writer
 * reads what an authority sent and writes this; a verifier checks the parts, writes them again and compares bytes, so
 * that no bit is free.
 */
import {
  context,
  der,
  DerReader,
  oid,
  readGeneralizedTime,
  readUnsigned,
  sequence,
  setOf,
  TAG,
  unsigned,
  type Der,
} from './der.ts';
import { PangolinError } from './errors.ts';

/** Bytes of one response; more is hostile. */
export const TIME_STAMP_BYTES_MAX = 65_536;
/** Certificates in one response. */
const CERTIFICATES_MAX = 10;

export const hashNames = ['sha256', 'sha384', 'sha512'] as const;
export type HashName = (typeof hashNames)[number];

const hashOids: Readonly<Record<HashName, Buffer>> = {
  sha256: oid('2.16.840.1.101.3.4.2.1'),
  sha384: oid('2.16.840.1.101.3.4.2.2'),
  sha512: oid('2.16.840.1.101.3.4.2.3'),
};
const ecdsaOids: Readonly<Record<HashName, Buffer>> = {
  sha256: oid('1.2.840.10045.4.3.2'),
  sha384: oid('1.2.840.10045.4.3.3'),
  sha512: oid('1.2.840.10045.4.3.4'),
};
const rsaOids: readonly Buffer[] = [1, 11, 12, 13].map((last) => oid(`1.2.840.113549.1.1.${last}`));
const SIGNED_DATA = oid('1.2.840.113549.1.7.2');
export const TST_INFO = oid('1.2.840.113549.1.9.16.1.4');
const NULL = der(TAG.null);

export interface TimeStamp {
  /** DER of the TSTInfo: what is signed, by way of the message digest attribute. */
  readonly info: Buffer;
  /** DER; in the order of their bytes. */
  readonly certificates: readonly Buffer[];
  /** DER of the Name, and the content of the INTEGER: which certificate is the signer's. */
  readonly issuer: Buffer;
  readonly serial: Buffer;
  readonly hash: HashName;
  /** The signed attributes, DER, each an Attribute. */
  readonly attributes: readonly Buffer[];
  readonly algorithm: 'rsa' | 'ecdsa';
  readonly signature: Buffer;
}

const INT = (value: number): Buffer => unsigned(BigInt(value));

/** The TimeStampResp. */
export function timeStampBytes(stamp: TimeStamp): Buffer {
  const { hash, algorithm } = stamp;
  const signer = sequence(
    INT(1),
    sequence(stamp.issuer, der(TAG.integer, stamp.serial)),
    sequence(hashOids[hash]),
    setOf(stamp.attributes, context(0)),
    algorithm === 'rsa' ? sequence(rsaOids[0]!, NULL) : sequence(ecdsaOids[hash]),
    der(TAG.octetString, stamp.signature),
  );
  const signed = sequence(
    INT(3),
    setOf([sequence(hashOids[hash])]),
    sequence(TST_INFO, der(context(0), der(TAG.octetString, stamp.info))),
    setOf(stamp.certificates, context(0)),
    setOf([signer]),
  );
  return sequence(sequence(INT(0)), sequence(SIGNED_DATA, der(context(0), signed)));
}

/** The bytes that the signature is over (RFC 5652 §5.4). */
export const signedAttributes = ({ attributes }: TimeStamp): Buffer => setOf(attributes);

/**
 * Reads a TimeStampResp and leaves out what the normal form has no place for. Nothing is verified.
 * @throws PangolinError INVALID for anything that has no normal form; DENIED when the authority refused.
 */
export function readTimeStamp(bytes: Buffer): TimeStamp {
  if (bytes.length > TIME_STAMP_BYTES_MAX) throw invalid('it is too long');
  const response = new DerReader(DerReader.one(bytes, TAG.sequence).content);
  const status = readUnsigned(response.into(TAG.sequence).next(TAG.integer).content);
  if (status !== 0n) throw new PangolinError('DENIED', `the time-stamping authority answered with status ${status}`);
  const content = response.into(TAG.sequence);
  response.end();
  expect(content.next(TAG.oid), SIGNED_DATA);
  const signed = content.into(context(0)).into(TAG.sequence);
  signed.next(TAG.integer);
  signed.next(TAG.set);
  const encapsulated = signed.into(TAG.sequence);
  expect(encapsulated.next(TAG.oid), TST_INFO);
  const info = encapsulated.into(context(0)).next(TAG.octetString).content;
  const certificates = new DerReader(signed.next(context(0)).content).all(TAG.sequence).map((each) => each.bytes);
  if (certificates.length === 0 || certificates.length > CERTIFICATES_MAX)
    throw invalid('no certificates, or too many');
  signed.optional(context(1));
  const signers = signed.into(TAG.set);
  signed.end();
  const signer = signers.into(TAG.sequence);
  signers.end();
  return { info, certificates, ...readSigner(signer) };
}

function readSigner(signer: DerReader): Omit<TimeStamp, 'info' | 'certificates'> {
  if (readUnsigned(signer.next(TAG.integer).content) !== 1n) throw invalid('a signer without issuer and serial number');
  const name = signer.into(TAG.sequence);
  const issuer = name.next(TAG.sequence).bytes;
  const serial = name.next(TAG.integer).content;
  const hash = readHash(signer.next(TAG.sequence));
  const attributes = signer
    .into(context(0))
    .all(TAG.sequence)
    .map((each) => each.bytes);
  const algorithm = readAlgorithm(signer.next(TAG.sequence), hash);
  const signature = signer.next(TAG.octetString).content;
  signer.optional(context(1));
  signer.end();
  return { issuer, serial, hash, attributes, algorithm, signature };
}

/** The hash that an AlgorithmIdentifier names. @throws PangolinError INVALID for one that is too weak. */
export function readHash(algorithm: Der): HashName {
  const parts = new DerReader(algorithm.content);
  const named = parts.next(TAG.oid);
  // RFC 5754 §2: the parameters should be absent and may be NULL.
  parts.optional(TAG.null);
  parts.end();
  const found = hashNames.find((name) => hashOids[name].equals(named.bytes));
  if (!found) throw invalid('a hash other than SHA-256, SHA-384 and SHA-512');
  return found;
}

function readAlgorithm(algorithm: Der, hash: HashName): TimeStamp['algorithm'] {
  const named = new DerReader(algorithm.content).next(TAG.oid).bytes;
  if (ecdsaOids[hash].equals(named)) return 'ecdsa';
  // The plain name says nothing of the hash; the others must not contradict it.
  if ([rsaOids[0]!, rsaOids[1 + hashNames.indexOf(hash)]!].some((each) => each.equals(named))) return 'rsa';
  throw invalid('a signature other than RSA (PKCS #1 v1.5) and ECDSA');
}

/** The TimeStampReq over SHA-256 of something, asking for certificates. */
export function timeStampRequest(sha256: Buffer, nonce: bigint): Buffer {
  const imprint = sequence(sequence(hashOids.sha256), der(TAG.octetString, sha256));
  return sequence(INT(1), imprint, unsigned(nonce), der(TAG.boolean, Buffer.of(0xff)));
}

export interface TimeStampInfo {
  readonly imprint: { readonly hash: HashName; readonly digest: Buffer };
  /** Milliseconds since 1970. */
  readonly genTime: number;
  readonly nonce?: bigint;
}

/** Reads a TSTInfo. @throws PangolinError INVALID */
export function readTimeStampInfo(bytes: Buffer): TimeStampInfo {
  const info = new DerReader(DerReader.one(bytes, TAG.sequence).content);
  if (readUnsigned(info.next(TAG.integer).content) !== 1n) throw invalid('a version other than 1');
  info.next(TAG.oid);
  const imprint = info.into(TAG.sequence);
  const hash = readHash(imprint.next(TAG.sequence));
  const digest = imprint.next(TAG.octetString).content;
  imprint.end();
  info.next(TAG.integer);
  const time = info.next(TAG.generalizedTime);
  info.optional(TAG.sequence);
  info.optional(TAG.boolean);
  const nonce = info.optional(TAG.integer);
  info.optional(context(0));
  info.optional(context(1));
  info.end();
  return {
    imprint: { hash, digest },
    genTime: readGeneralizedTime(time),
    ...(nonce && { nonce: readUnsigned(nonce.content) }),
  };
}

const orders: Readonly<Record<string, bigint>> = {
  prime256v1: 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n,
  secp384r1: 0xffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973n,
  secp521r1:
    0x01fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffa51868783bf2f966b7fcc0148f709a5d03bb5c9b8899c47aebb6fb71e91386409n,
};

/**
 * Of the two signatures (r, s), (r, n - s) that verify alike the one with the smaller s.
 * @param curve as node:crypto calls it. @throws PangolinError INVALID for another curve or form.
 */
export function smallerSignature(signature: Buffer, curve: string | undefined): Buffer {
  const order = orders[curve ?? ''];
  if (order === undefined) throw invalid('an ECDSA key on a curve other than P-256, P-384 and P-521');
  const pair = new DerReader(DerReader.one(signature, TAG.sequence).content);
  const r = readUnsigned(pair.next(TAG.integer).content);
  const s = readUnsigned(pair.next(TAG.integer).content);
  pair.end();
  if (r === 0n || s === 0n || r >= order || s >= order) throw invalid('a signature out of range');
  return sequence(unsigned(r), unsigned(s > order / 2n ? order - s : s));
}

function expect({ bytes }: Der, element: Buffer): void {
  if (!bytes.equals(element)) throw invalid('content of another type');
}

const invalid = (why: string): PangolinError => new PangolinError('INVALID', `not a usable time stamp: ${why}`);
