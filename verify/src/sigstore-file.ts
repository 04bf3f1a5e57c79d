/** Reads a Sigstore bundle v0.3 as we write it (contracts/sigstore-bundle): shape and encodings, nothing about trust. */
import { isUtf8 } from 'node:buffer';
import { decodeBase64, keyIdOf, lowS, pae, PAYLOAD_TYPE, type Envelope } from '@pangolin/contracts/dsse';
import { BUNDLE_MEDIA_TYPE, type SigstoreBundle } from '@pangolin/contracts/sigstore-bundle';
import type { SignerRole } from '@pangolin/contracts/trust';
import { hashedRekordLeaf } from '@pangolin/contracts/tlog';
import { createPublicKey, verify } from 'node:crypto';
import { lack, quote, refuse } from './refusal.ts';
import { array, is, isObject, literal, object, text } from './shape.ts';
import { parseStrict } from './strict-json.ts';
import type { Trust, TrustedKey } from './trust-file.ts';

/** Bytes of one such file. */
export const SIGSTORE_BYTES_MAX = 32 * 2 ** 20;

export interface LogEntry {
  readonly index: number;
  readonly hashes: readonly Buffer[];
  /** The signed note. */
  readonly checkpoint: string;
  /** What the file says that the log and its entry are; only a rebuilt file shows whether that is so. */
  readonly logId: Buffer;
  readonly body: Buffer;
}

export interface SigstoreFile {
  readonly bytes: Buffer;
  readonly envelope: Envelope;
  readonly payload: Buffer;
  readonly signature: Buffer;
  readonly keyid: string;
  /** Names the key a second time. */
  readonly hint: string;
  /** There iff the file was read as one with a log entry. */
  readonly entry?: LogEntry;
  /** RFC 3161 responses, DER. */
  readonly timestamps: readonly Buffer[];
}

const base64 = is('base64', (value) => decodeBase64(value) !== undefined);
const hash = is('a hash in base64', (value) => decodeBase64(value)?.length === 32);
const decimal = is(
  'a decimal number',
  (value) => typeof value === 'string' && /^(?:0|[1-9][0-9]{0,15})$/.test(value) && Number.isSafeInteger(Number(value)),
);

const entry = object({
  logIndex: decimal,
  logId: object({ keyId: hash }),
  kindVersion: object({ kind: text(50), version: text(50) }),
  inclusionProof: object({
    logIndex: decimal,
    rootHash: hash,
    treeSize: decimal,
    hashes: array(hash, { max: 64 }),
    checkpoint: object({ envelope: text(65_536) }),
  }),
  canonicalizedBody: base64,
});

const shapeWith = (entries: number) =>
  object({
    mediaType: literal(BUNDLE_MEDIA_TYPE),
    dsseEnvelope: object({
      payload: base64,
      payloadType: literal(PAYLOAD_TYPE),
      signatures: array(object({ keyid: text(100), sig: base64 }), { min: 1, max: 1 }),
    }),
    verificationMaterial: object({
      publicKey: object({ hint: text(100) }),
      tlogEntries: array(entry, { min: entries, max: entries }),
      'timestampVerificationData?': object({
        rfc3161Timestamps: array(object({ signedTimestamp: base64 }), { min: 1, max: 8 }),
      }),
    }),
  });
const shapes = { logged: shapeWith(1), unlogged: shapeWith(0) };

/** @throws Refusal */
export function readSigstoreFile(what: string, bytes: Buffer, kind: keyof typeof shapes): SigstoreFile {
  if (!isUtf8(bytes)) refuse(`${what} is not UTF-8`);
  const value = parseStrict(what, bytes.toString('utf8'));
  const problem = shapes[kind](value);
  if (problem !== undefined) refuse(what + problem);
  const { dsseEnvelope: envelope, verificationMaterial: material } = value as SigstoreBundle;
  const [logged] = material.tlogEntries;
  return {
    bytes,
    envelope,
    payload: decodeBase64(envelope.payload)!,
    signature: decodeBase64(envelope.signatures[0].sig)!,
    keyid: envelope.signatures[0].keyid,
    hint: material.publicKey.hint,
    ...(logged && {
      entry: {
        index: Number(logged.inclusionProof.logIndex),
        hashes: logged.inclusionProof.hashes.map((each) => decodeBase64(each)!),
        checkpoint: logged.inclusionProof.checkpoint.envelope,
        logId: decodeBase64(logged.logId.keyId)!,
        body: decodeBase64(logged.canonicalizedBody)!,
      },
    }),
    timestamps: (material.timestampVerificationData?.rfc3161Timestamps ?? []).map(({ signedTimestamp }) =>
      decodeBase64(signedTimestamp)!,
    ),
  };
}

/** The trusted key that a file says it is signed with. @throws Refusal; Unavailable when the trust file has none of this name. */
export function signerOf(what: string, file: SigstoreFile, trust: Trust, role: SignerRole): TrustedKey {
  const key =
    trust.signers.get(file.keyid) ??
    lack(`the trust file has no key ${quote(file.keyid)}, with which ${what} says that it is signed`);
  if (!key.roles.includes(role)) refuse(`${what} is signed with a key that is not trusted to ${role}`);
  return key;
}

/** True when the signature verifies over the PAE of the payload. */
export function isSigned(file: SigstoreFile, { key }: TrustedKey): boolean {
  return verify('sha256', pae(file.payload), key, file.signature);
}

/** True for the one of the two signatures (r, s), (r, n - s) that we write. */
export function isLowS(signature: Buffer): boolean {
  return lowS(signature).equals(signature);
}

/**
 * True when the file is in itself what its unknown key would have made: then the trust file may be older than the key.
 * Anything else was changed, whoever signed it.
 */
export function isOfItsOwnKey({ entry, envelope, keyid, payload, signature, hint }: SigstoreFile): boolean {
  try {
    const spki = Buffer.from(keyIn(JSON.parse(entry!.body.toString('utf8'))), 'base64');
    const key = createPublicKey({ key: spki, format: 'der', type: 'spki' });
    return (
      hint === keyid &&
      keyIdOf(key) === keyid &&
      hashedRekordLeaf(envelope, spki).equals(entry!.body) &&
      verify('sha256', pae(payload), key, signature)
    );
  } catch {
    // Whatever does not parse was not made by a key.
    return false;
  }
}

/** The public key that the log entry names; empty when it names none. */
function keyIn(body: unknown): string {
  let value = body;
  for (const step of ['spec', 'hashedRekordV002', 'signature', 'verifier', 'publicKey', 'rawBytes']) {
    value = isObject(value) ? value[step] : undefined;
  }
  return typeof value === 'string' ? value : '';
}
