/** DSSE 1.0.2 envelopes with exactly one signature, and the key ids that go with them (evidence.md §3.5). */
import { createHash, createPublicKey, type KeyObject } from 'node:crypto';

export const PAYLOAD_TYPE = 'application/vnd.in-toto+json';

export interface Envelope {
  /** Base64 (RFC 4648, padded) of the payload bytes. */
  readonly payload: string;
  readonly payloadType: typeof PAYLOAD_TYPE;
  readonly signatures: readonly [{ readonly keyid: string; readonly sig: string }];
}

/** `DSSEv1 SP len(type) SP type SP len(body) SP body`, lengths in bytes: the only thing that is ever signed. */
export function pae(payload: Uint8Array, payloadType: string = PAYLOAD_TYPE): Buffer {
  const type = Buffer.from(payloadType, 'utf8');
  return Buffer.concat([Buffer.from(`DSSEv1 ${type.length} `), type, Buffer.from(` ${payload.length} `), payload]);
}

/** Signs PAE bytes: ECDSA P-256 gives a DER signature over their SHA-256. */
export interface Signer {
  readonly keyid: string;
  /** SubjectPublicKeyInfo, DER. */
  readonly publicKey: Buffer;
  sign(bytes: Uint8Array): Buffer | Promise<Buffer>;
}

export async function signEnvelope(signer: Signer, payload: Uint8Array): Promise<Envelope> {
  const sig = lowS(await signer.sign(pae(payload)));
  return {
    payload: Buffer.from(payload).toString('base64'),
    payloadType: PAYLOAD_TYPE,
    signatures: [{ keyid: signer.keyid, sig: sig.toString('base64') }],
  };
}

const P256_ORDER = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;

/**
 * From an ECDSA signature (r, s) anybody can make (r, n - s), which verifies as well. We write the one with the smaller
 * s and verifiers refuse the other where no log fixes the bytes. DER in and out; what is not a DER signature is
 * returned as it is.
 */
export function lowS(signature: Uint8Array): Buffer {
  const der = Buffer.from(signature);
  const rEnd = 4 + (der[3] ?? 0);
  const r = der.subarray(4, rEnd);
  const s = der.subarray(rEnd + 2);
  if (der[0] !== 0x30 || der[1] !== der.length - 2 || der[2] !== 2 || der[rEnd] !== 2 || der[rEnd + 1] !== s.length) {
    return der;
  }
  const value = s.length === 0 ? 0n : BigInt(`0x${s.toString('hex')}`);
  if (value <= P256_ORDER / 2n || value >= P256_ORDER) return der;
  const low = derInteger(P256_ORDER - value);
  const body = Buffer.concat([Buffer.of(2, r.length), r, Buffer.of(2, low.length), low]);
  return Buffer.concat([Buffer.of(0x30, body.length), body]);
}

/** The content of a DER INTEGER: shortest form, with a zero byte in front where the first bit would read as a sign. */
function derInteger(value: bigint): Buffer {
  const hex = value.toString(16);
  const bytes = Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, 'hex');
  return bytes[0]! >= 0x80 ? Buffer.concat([Buffer.of(0), bytes]) : bytes;
}

/** Strict RFC 4648: undefined unless encoding the result again gives the same text. */
export function decodeBase64(text: unknown): Buffer | undefined {
  if (typeof text !== 'string') return undefined;
  const bytes = Buffer.from(text, 'base64');
  return bytes.toString('base64') === text ? bytes : undefined;
}

/**
 * `SHA256:` and the unpadded base64 of SHA-256 over the SSH wire form of the key: what `ssh-keygen -l` prints.
 * go-securesystemslib (cosign, sigstore-go) skips a signature whose key id is anything else.
 * @throws TypeError for keys other than EC P-256 and Ed25519.
 */
export function keyIdOf(key: KeyObject | Uint8Array): string {
  const object =
    key instanceof Uint8Array ? createPublicKey({ key: Buffer.from(key), format: 'der', type: 'spki' }) : key;
  const wire = sshWire(object);
  return `SHA256:${createHash('sha256').update(wire).digest('base64').replace(/=+$/, '')}`;
}

function sshWire(key: KeyObject): Buffer {
  const jwk = key.export({ format: 'jwk' });
  if (jwk.kty === 'EC' && jwk.crv === 'P-256') {
    const point = Buffer.concat([Buffer.of(4), Buffer.from(jwk.x!, 'base64url'), Buffer.from(jwk.y!, 'base64url')]);
    return Buffer.concat(['ecdsa-sha2-nistp256', 'nistp256', point].map(sshString));
  }
  if (jwk.kty === 'OKP' && jwk.crv === 'Ed25519') {
    return Buffer.concat(['ssh-ed25519', Buffer.from(jwk.x!, 'base64url')].map(sshString));
  }
  throw new TypeError('only EC P-256 and Ed25519 keys are supported');
}

function sshString(value: string | Buffer): Buffer {
  const bytes = Buffer.from(value as string);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length);
  return Buffer.concat([length, bytes]);
}
