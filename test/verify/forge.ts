/**
 * Makes signed bundles from nothing but keys and a story, by the letter of evidence.md and without the controller's
 * code, so that the verifier is not tested against its own relatives. Every step can be bent: that is what it is for.
 */
import { createHash, createPublicKey, generateKeyPairSync, sign, type KeyObject } from 'node:crypto';
import { canonicalBytes } from '@pangolin/contracts/canonical';
import { keyIdOf, lowS, pae } from '@pangolin/contracts/dsse';
import { isTime } from '@pangolin/verify/shape';
import type { TrustDocument } from '@pangolin/contracts/trust';

export const ORIGIN = 'log.forge.example';

/* eslint-disable @typescript-eslint/no-explicit-any -- a forge bends every shape there is. */
// oxlint-disable-next-line typescript/no-explicit-any
export type Json = any;
export type Files = Map<string, Buffer>;

export const sha = (bytes: Uint8Array | string): string => createHash('sha256').update(bytes).digest('hex');
export const jcs = (value: unknown): Buffer => canonicalBytes(value);
const set = (digest: string) => ({ sha256: digest });
const b64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');

export interface ForgeKey {
  readonly privateKey: KeyObject;
  readonly spki: Buffer;
  readonly keyid: string;
}
export interface ForgeKeys {
  readonly seal: ForgeKey;
  readonly attest: ForgeKey;
  readonly log: ForgeKey;
}

export function p256(): ForgeKey {
  return keyOf(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey);
}
export function ed25519(): ForgeKey {
  return keyOf(generateKeyPairSync('ed25519').privateKey);
}
function keyOf(privateKey: KeyObject): ForgeKey {
  const spki = createPublicKey(privateKey).export({ type: 'spki', format: 'der' });
  return { privateKey, spki, keyid: keyIdOf(spki) };
}
export const forgeKeys = (): ForgeKeys => ({ seal: p256(), attest: p256(), log: ed25519() });

/** `SHA-256(name LF 0x01 key)`. */
export const logIdOf = (key: ForgeKey, name = ORIGIN): Buffer =>
  createHash('sha256').update(`${name}\n`).update(Buffer.of(1)).update(key.spki.subarray(-32)).digest();

export function trustOf(keys: ForgeKeys, change: (trust: Json) => void = () => {}): TrustDocument {
  const validFor = { start: '2026-01-01T00:00:00.000Z' };
  const keyId = b64(logIdOf(keys.log));
  const signer = (role: 'seal' | 'attest') => ({
    keyid: keys[role].keyid,
    publicKey: b64(keys[role].spki),
    alg: 'ecdsa-p256-sha256',
    roles: [role],
    validFor,
  });
  const trust = {
    schema: 'pangolin-trust/1',
    origin: ORIGIN,
    signers: [signer('seal'), signer('attest')],
    trustedRoot: {
      mediaType: 'application/vnd.dev.sigstore.trustedroot+json;version=0.1',
      tlogs: [
        {
          baseUrl: `https://${ORIGIN}`,
          hashAlgorithm: 'SHA2_256',
          publicKey: { rawBytes: b64(keys.log.spki), keyDetails: 'PKIX_ED25519', validFor },
          logId: { keyId },
          checkpointKeyId: { keyId },
        },
      ],
      certificateAuthorities: [],
      ctlogs: [],
      timestampAuthorities: [],
    },
  };
  const copy = structuredClone(trust);
  change(copy);
  return copy as unknown as TrustDocument;
}

/* ---- RFC 6962, as the text of the RFC has it: slow and obvious ---- */

const leafOf = (leaf: Uint8Array): Buffer => createHash('sha256').update(Buffer.of(0)).update(leaf).digest();
const nodeOf = (left: Uint8Array, right: Uint8Array): Buffer =>
  createHash('sha256').update(Buffer.of(1)).update(left).update(right).digest();

function split(n: number): number {
  let k = 1;
  while (k * 2 < n) k *= 2;
  return k;
}
export function mth(leaves: readonly Uint8Array[]): Buffer {
  if (leaves.length === 0) return createHash('sha256').digest();
  if (leaves.length === 1) return leafOf(leaves[0]!);
  const k = split(leaves.length);
  return nodeOf(mth(leaves.slice(0, k)), mth(leaves.slice(k)));
}
export function auditPath(index: number, leaves: readonly Uint8Array[]): Buffer[] {
  if (leaves.length <= 1) return [];
  const k = split(leaves.length);
  return index < k
    ? [...auditPath(index, leaves.slice(0, k)), mth(leaves.slice(k))]
    : [...auditPath(index - k, leaves.slice(k)), mth(leaves.slice(0, k))];
}

/** RFC 6962 §2.1.2: that the tree over `leaves` continues the one over its first `first` leaves. */
export function consistencyPath(first: number, leaves: readonly Uint8Array[], isWhole = true): Buffer[] {
  if (first === leaves.length) return isWhole ? [] : [mth(leaves)];
  const k = split(leaves.length);
  return first <= k
    ? [...consistencyPath(first, leaves.slice(0, k), isWhole), mth(leaves.slice(k))]
    : [...consistencyPath(first - k, leaves.slice(k), false), mth(leaves.slice(0, k))];
}

/* ---- signing ---- */

export const signDsse = (key: ForgeKey, payload: Uint8Array): Buffer =>
  lowS(sign('sha256', pae(payload), key.privateKey));

export function attestation(key: ForgeKey, payload: Uint8Array): Json {
  return {
    mediaType: 'application/vnd.dev.sigstore.bundle.v0.3+json',
    dsseEnvelope: {
      payload: b64(payload),
      payloadType: 'application/vnd.in-toto+json',
      signatures: [{ keyid: key.keyid, sig: b64(signDsse(key, payload)) }],
    },
    verificationMaterial: { publicKey: { hint: key.keyid }, tlogEntries: [] },
  };
}

export function noteLine(name: string, keyId: Uint8Array, signature: Uint8Array): string {
  return `\u2014 ${name} ${b64(Buffer.concat([keyId, signature]))}\n`;
}
export function signNote(key: ForgeKey, text: string, name = ORIGIN): string {
  return noteLine(name, logIdOf(key, name).subarray(0, 4), sign(null, Buffer.from(text), key.privateKey));
}

/** Ways to bend a seal while everything else about it stays consistent and validly signed. */
export interface SealBend {
  readonly statement?: (statement: Json) => void;
  readonly payload?: (bytes: Buffer) => Buffer;
  /** Instead of an honest signature over the PAE. */
  readonly signature?: (payload: Buffer) => Buffer;
  readonly signer?: ForgeKey;
  /** Written as the key id and hint. */
  readonly keyid?: string;
  /** The key that the log entry names. */
  readonly leafKey?: ForgeKey;
  readonly leaf?: (leaf: Buffer) => Buffer;
  readonly logSize?: number;
  readonly index?: number;
  readonly checkpointText?: (text: string) => string;
  readonly note?: (text: string, line: string) => string;
  readonly logKey?: ForgeKey;
  /** The finished file, unsigned. */
  readonly file?: (file: Json) => void;
}

export function leafFor(payload: Uint8Array, signature: Uint8Array, key: ForgeKey): Buffer {
  const digest = createHash('sha256').update(pae(payload)).digest();
  return jcs({
    apiVersion: '0.0.2',
    kind: 'hashedrekord',
    spec: {
      hashedRekordV002: {
        data: { algorithm: 'SHA2_256', digest: b64(digest) },
        signature: {
          content: b64(signature),
          verifier: { keyDetails: 'PKIX_ECDSA_P256_SHA_256', publicKey: { rawBytes: b64(key.spki) } },
        },
      },
    },
  });
}

/** The log of the deployment: entries of others, and at `index` the one of the seal. */
export const leavesOf = (size: number, index = -1, leaf?: Buffer): Buffer[] =>
  Array.from({ length: size }, (_, at) => (at === index ? leaf! : Buffer.from(`entry ${at}`)));

/** A seal is well-formed also where the log that it seals is not: then it is the log that is to be refused. */
const timeOr = (at: Json): string => (isTime(at) ? at : '2026-03-01T10:00:00.000Z');

/** The seal file of a log of these lines. */
export function sealOf(keys: ForgeKeys, log: Buffer, bend: SealBend = {}): Buffer {
  const lines = splitLines(log);
  const first = JSON.parse(lines[0]!.toString()) as Json;
  const last = JSON.parse(lines.at(-1)!.toString()) as Json;
  const statement = {
    _type: 'https://in-toto.io/Statement/v1',
    subject: [{ name: 'events.jsonl', digest: set(sha(log)) }],
    predicateType: 'https://pangolin.dev/attestation/run-seal/v1',
    predicate: {
      runId: typeof first.runId === 'string' ? first.runId : 'run-1',
      logOrigin: ORIGIN,
      tree: { hash: 'rfc6962-sha256', size: lines.length, root: mth(lines).toString('hex') },
      status: ['succeeded', 'cancelled'].includes(last.status) ? last.status : 'failed',
      submittedAt: timeOr(first.at),
      completedAt: timeOr(last.at),
      heads: [{ size: 3, root: mth(lines.slice(0, 3)).toString('hex') }],
      attestations: 'signed',
      expects: { timestamp: [], witnesses: 0, anchor: [] },
    },
  };
  bend.statement?.(statement);
  const honest = jcs(statement);
  const payload = bend.payload?.(honest) ?? honest;
  const signer = bend.signer ?? keys.seal;
  const signature = bend.signature?.(payload) ?? signDsse(signer, payload);
  const trueLeaf = leafFor(payload, signature, bend.leafKey ?? signer);
  const leaf = bend.leaf?.(trueLeaf) ?? trueLeaf;
  const size = bend.logSize ?? 7;
  const index = bend.index ?? Math.min(4, size - 1);
  const leaves = leavesOf(size, index, leaf);
  const logKey = bend.logKey ?? keys.log;
  const honestText = `${ORIGIN}\n${size}\n${b64(mth(leaves))}\n`;
  const text = bend.checkpointText?.(honestText) ?? honestText;
  const line = signNote(logKey, text);
  const keyid = bend.keyid ?? signer.keyid;
  const file: Json = {
    mediaType: 'application/vnd.dev.sigstore.bundle.v0.3+json',
    dsseEnvelope: {
      payload: b64(payload),
      payloadType: 'application/vnd.in-toto+json',
      signatures: [{ keyid, sig: b64(signature) }],
    },
    verificationMaterial: {
      publicKey: { hint: keyid },
      tlogEntries: [
        {
          logIndex: String(index),
          logId: { keyId: b64(logIdOf(keys.log)) },
          kindVersion: { kind: 'hashedrekord', version: '0.0.2' },
          inclusionProof: {
            logIndex: String(index),
            rootHash: b64(mth(leaves)),
            treeSize: String(size),
            hashes: auditPath(index, leaves).map(b64),
            checkpoint: { envelope: bend.note?.(text, line) ?? `${text}\n${line}` },
          },
          canonicalizedBody: b64(trueLeaf),
        },
      ],
    },
  };
  bend.file?.(file);
  return jcs(file);
}

export function splitLines(log: Buffer): Buffer[] {
  const lines: Buffer[] = [];
  for (let at = 0; at < log.length;) {
    const end = log.indexOf(0x0a, at);
    lines.push(log.subarray(at, end));
    at = end + 1;
  }
  return lines;
}
export const joinLines = (lines: readonly Uint8Array[]): Buffer =>
  Buffer.concat(lines.flatMap((line) => [line, Buffer.of(0x0a)]));
export const eventsOf = (files: Files): Json[] =>
  splitLines(files.get('events.jsonl')!).map((line) => JSON.parse(line.toString()) as Json);
export const logOf = (events: readonly Json[]): Buffer => joinLines(events.map(jcs));

/** The bundle with other events, sealed again with the true keys: what an operator could do. */
export function resealed(
  keys: ForgeKeys,
  files: Files,
  change: (events: Json[]) => Json[] | void,
  bend: SealBend = {},
): Files {
  const events = eventsOf(files);
  const log = logOf(change(events) ?? events);
  return new Map(files).set('events.jsonl', log).set('seal.sigstore.json', sealOf(keys, log, bend));
}

/** Numbers the events again and sets the times and counts that follow. */
export function renumber(events: Json[]): Json[] {
  return events.map((event, seq) => ({ ...event, seq, at: `2026-03-01T10:00:${String(seq).padStart(2, '0')}.000Z` }));
}
