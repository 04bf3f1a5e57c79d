/**
 * C2SP signed notes (signed-note 1.0.0) and the checkpoints written in them (tlog-checkpoint 1.0.0).
 *
 * ```
 * origin.example
 * 8
 * HrkAYQC2OUqzdUwpLGDUx8Qs3OCzxmRVtGsGS7yKvnU=
 *
 * — origin.example <base64 of key id (4 bytes) and signature>
 * ```
 * What is signed is the text up to and including the line feed before the blank line.
 */
import { createHash, createPublicKey, verify } from 'node:crypto';
import { decodeBase64 } from './dsse.ts';
import { PangolinError } from './errors.ts';

/** Signature types of signed-note: Ed25519 over the text, and a witness's Ed25519 over the text and a time. */
export const NOTE_ED25519 = 0x01;
export const NOTE_COSIGNATURE = 0x04;

/** Bytes of a note and lines of signatures; more is hostile. */
export const NOTE_BYTES_MAX = 65_536;
export const NOTE_SIGNATURES_MAX = 16;

/** A key name: neither empty nor holding white space, control characters or `+`. */
const NAME = /^[^\s+\p{Cc}]{1,255}$/u;
// eslint-disable-next-line no-control-regex -- control characters are exactly what a note must not hold.
const CONTROL = /[\u0000-\u0009\u000b-\u001f\u007f]/;
const SIGNATURE_LINE = /^\u2014 ([^ ]+) ([^ ]+)$/u;

export interface NoteKey {
  readonly name: string;
  readonly type: number;
  /** Raw public key; 32 bytes for Ed25519. */
  readonly publicKey: Buffer;
}

export interface NoteSignature {
  readonly name: string;
  /** The first 4 bytes of `noteKeyHash`: a hint, not an identity. */
  readonly keyId: Buffer;
  readonly signature: Buffer;
}

export interface Note {
  /** Ends in a line feed. */
  readonly text: string;
  readonly signatures: readonly NoteSignature[];
}

/** `SHA-256(name LF type publicKey)`: its first 4 bytes are the key id, all 32 the log id of Sigstore (evidence.md §3.7). */
export function noteKeyHash(key: NoteKey): Buffer {
  return createHash('sha256').update(`${key.name}\n`).update(Buffer.of(key.type)).update(key.publicKey).digest();
}

export function noteKeyId(key: NoteKey): Buffer {
  return noteKeyHash(key).subarray(0, 4);
}

/** `name+<key id, 8 hex>+<base64 of type and key>`: the verifier key that Go's note package reads. */
export function formatVkey(key: NoteKey): string {
  const encoded = Buffer.concat([Buffer.of(key.type), key.publicKey]).toString('base64');
  return `${key.name}+${noteKeyId(key).toString('hex')}+${encoded}`;
}

/** @throws PangolinError INVALID also when the key id is not the one of the key. */
export function parseVkey(text: string): NoteKey {
  const [name = '', , ...rest] = text.split('+');
  // Base64 may hold `+` itself, so everything after the second one belongs to the key.
  const bytes = decodeBase64(rest.join('+'));
  if (!bytes || bytes.length < 2 || !NAME.test(name)) throw new PangolinError('INVALID', 'not a verifier key');
  const key = { name, type: bytes[0]!, publicKey: bytes.subarray(1) };
  if (formatVkey(key) !== text) throw new PangolinError('INVALID', 'the verifier key has another key id');
  return key;
}

/** @throws PangolinError INVALID for a text or name that no note may hold. */
export function formatNote(note: Note): string {
  if (!note.text.endsWith('\n') || CONTROL.test(note.text) || !note.text.isWellFormed()) {
    throw new PangolinError('INVALID', 'a note is UTF-8 lines without control characters');
  }
  const lines = note.signatures.map(({ name, keyId, signature }) => {
    if (!NAME.test(name) || keyId.length !== 4) throw new PangolinError('INVALID', 'not a note signature');
    return `\u2014 ${name} ${Buffer.concat([keyId, signature]).toString('base64')}\n`;
  });
  return `${note.text}\n${lines.join('')}`;
}

/** @throws PangolinError INVALID unless formatting the result gives `text` again. Signatures are not verified. */
export function parseNote(text: string): Note {
  const invalid = (why: string) => new PangolinError('INVALID', `not a signed note: ${why}`);
  if (text.length > NOTE_BYTES_MAX) throw invalid('too long');
  // The text may hold blank lines, the signatures may not: the last one separates them.
  const split = text.lastIndexOf('\n\n');
  if (split < 0 || !text.endsWith('\n')) throw invalid('no blank line before the signatures');
  const lines = text.slice(split + 2, -1).split('\n');
  if (lines.length > NOTE_SIGNATURES_MAX) throw invalid('too many signatures');
  const signatures = lines.map((line): NoteSignature => {
    const [, name, encoded] = SIGNATURE_LINE.exec(line) ?? [];
    const bytes = decodeBase64(encoded);
    if (name === undefined || !NAME.test(name) || !bytes || bytes.length < 5)
      throw invalid('a malformed signature line');
    return { name, keyId: bytes.subarray(0, 4), signature: bytes.subarray(4) };
  });
  const note = { text: text.slice(0, split + 1), signatures };
  if (formatNote(note) !== text) throw invalid('not in canonical form');
  return note;
}

/** True when `signature` claims `key` by name and key id, and verifies over `text`. Ed25519 only. */
export function verifyNote(text: string, signature: NoteSignature, key: NoteKey): boolean {
  if (key.type !== NOTE_ED25519 || key.publicKey.length !== 32 || signature.signature.length !== 64) return false;
  if (signature.name !== key.name || !signature.keyId.equals(noteKeyId(key))) return false;
  return verify(null, Buffer.from(text, 'utf8'), ed25519Key(key.publicKey), signature.signature);
}

/** What a witness signs (tlog-cosignature 1.0.1). @param time seconds since 1970. */
export function cosignatureText(time: bigint, text: string): string {
  return `cosignature/v1\ntime ${time}\n${text}`;
}

/** When the witness `key` says that it saw `text`, in milliseconds since 1970; undefined unless it did say so. */
export function verifyCosignature(text: string, signature: NoteSignature, key: NoteKey): number | undefined {
  if (key.type !== NOTE_COSIGNATURE || key.publicKey.length !== 32 || signature.signature.length !== 72)
    return undefined;
  if (signature.name !== key.name || !signature.keyId.equals(noteKeyId(key))) return undefined;
  const time = signature.signature.readBigUInt64BE(0);
  const signed = Buffer.from(cosignatureText(time, text), 'utf8');
  // Times that a Date cannot hold are nobody's.
  if (time === 0n || time > 8_640_000_000_000n) return undefined;
  return verify(null, signed, ed25519Key(key.publicKey), signature.signature.subarray(8))
    ? Number(time) * 1000
    : undefined;
}

const SPKI_ED25519 = Buffer.from('302a300506032b6570032100', 'hex');

/** SubjectPublicKeyInfo (DER) of a raw Ed25519 key, and back; undefined for any other key. */
export function spkiOfEd25519(raw: Uint8Array): Buffer {
  return Buffer.concat([SPKI_ED25519, raw]);
}
export function rawOfEd25519(spki: Uint8Array): Buffer | undefined {
  const bytes = Buffer.from(spki);
  return bytes.length === 44 && bytes.subarray(0, 12).equals(SPKI_ED25519) ? bytes.subarray(12) : undefined;
}

function ed25519Key(raw: Uint8Array) {
  return createPublicKey({ key: spkiOfEd25519(raw), format: 'der', type: 'spki' });
}

/** The state of a log: what a checkpoint says. */
export interface Checkpoint {
  readonly origin: string;
  readonly size: number;
  /** 32 bytes. */
  readonly root: Buffer;
}

/** The text of a checkpoint: three lines, no extension lines. */
export function formatCheckpoint(checkpoint: Checkpoint): string {
  return `${checkpoint.origin}\n${checkpoint.size}\n${checkpoint.root.toString('base64')}\n`;
}

/** Reads the text of a note. @throws PangolinError INVALID for anything but three canonical lines. */
export function parseCheckpoint(text: string): Checkpoint {
  const [origin = '', decimal = '', encoded] = text.split('\n');
  const size = /^(0|[1-9][0-9]{0,15})$/.test(decimal) ? Number(decimal) : Number.NaN;
  const root = decodeBase64(encoded);
  if (!NAME.test(origin) || !Number.isSafeInteger(size) || root?.length !== 32) {
    throw new PangolinError('INVALID', 'not a checkpoint');
  }
  const checkpoint = { origin, size, root };
  if (formatCheckpoint(checkpoint) !== text) throw new PangolinError('INVALID', 'not a checkpoint of three lines');
  return checkpoint;
}
