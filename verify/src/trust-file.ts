/** Reads `trust.json` (contracts/trust.ts) into keys that can be used. What it holds is the auditor's own decision. */
import { createPublicKey, type KeyObject } from 'node:crypto';
import { decodeBase64, keyIdOf } from '@pangolin/contracts/dsse';
import { messageOf, PangolinError } from '@pangolin/contracts/errors';
import { NOTE_ED25519, noteKeyHash, rawOfEd25519, type NoteKey } from '@pangolin/contracts/note';
import {
  TRUST_SCHEMA,
  TRUSTED_ROOT_MEDIA_TYPE,
  type SignerRole,
  type TrustDocument,
  type TrustedAnchor,
  type TrustedLog,
  type TrustedSigner,
  type Validity,
} from '@pangolin/contracts/trust';
import { array, count, is, literal, object, text } from './shape.ts';
import { readAuthorities, type TrustedAuthority } from './time-stamp/authorities.ts';
import { parseWitnessPolicy, type WitnessPolicy } from './witness-policy.ts';

/** Milliseconds since 1970. */
export interface KeyLife {
  readonly start: number;
  readonly end?: number;
  readonly revokedAt?: number;
}

export interface TrustedKey extends KeyLife {
  readonly keyid: string;
  readonly key: KeyObject;
  /** SubjectPublicKeyInfo, DER. */
  readonly spki: Buffer;
  readonly roles: readonly SignerRole[];
}

export interface TrustedLogKey extends KeyLife {
  readonly note: NoteKey;
}

export interface Trust {
  readonly origin: string;
  readonly signers: ReadonlyMap<string, TrustedKey>;
  readonly logs: readonly TrustedLogKey[];
  readonly authorities: readonly TrustedAuthority[];
  readonly witnesses: WitnessPolicy | undefined;
  readonly anchors: readonly TrustedAnchor[];
  readonly require: NonNullable<TrustDocument['require']>;
}

/** Bytes of a trust file. */
export const TRUST_BYTES_MAX = 2 ** 20;

const INSTANT = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)$/;
const instant = is(
  'an RFC 3339 time',
  (value) => typeof value === 'string' && INSTANT.test(value) && !Number.isNaN(Date.parse(value)),
);
const base64 = is('base64', (value) => decodeBase64(value) !== undefined);
const validity = object({ start: instant, 'end?': instant });
const none = array(() => ' is not supported', { max: 0 });

const BUCKET = /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/;
const PREFIX = /^(?:[A-Za-z0-9._-]+\/)*$/;

function isHttpUrl(value: string): boolean {
  const url = URL.parse(value);
  return url !== null && /^https?:$/.test(url.protocol) && url.username === '' && url.search === '';
}

const shape = object({
  schema: literal(TRUST_SCHEMA),
  origin: text(253),
  signers: array(
    object({
      keyid: text(100),
      publicKey: base64,
      alg: literal('ecdsa-p256-sha256'),
      roles: array(literal('seal', 'attest'), { min: 1, max: 2 }),
      validFor: validity,
      'revokedAt?': instant,
    }),
    { min: 1, max: 1000 },
  ),
  trustedRoot: object({
    mediaType: literal(TRUSTED_ROOT_MEDIA_TYPE),
    tlogs: array(
      object({
        baseUrl: text(300),
        hashAlgorithm: literal('SHA2_256'),
        publicKey: object({ rawBytes: base64, keyDetails: literal('PKIX_ED25519'), validFor: validity }),
        logId: object({ keyId: base64 }),
        checkpointKeyId: object({ keyId: base64 }),
      }),
      { min: 1, max: 100 },
    ),
    certificateAuthorities: none,
    ctlogs: none,
    timestampAuthorities: array(
      object({
        'subject?': object({ 'organization?': text(300), 'commonName?': text(300) }),
        'uri?': text(2000),
        certChain: object({ certificates: array(object({ rawBytes: base64 }), { min: 1, max: 10 }) }),
        validFor: validity,
      }),
      { max: 100 },
    ),
  }),
  'tsaRoots?': array(text(100_000), { max: 100 }),
  'witnessPolicy?': text(100_000),
  'anchors?': array(
    object({
      type: literal('s3-object-lock'),
      bucket: is('the name of a bucket', (value) => typeof value === 'string' && BUCKET.test(value)),
      region: is('a region', (value) => typeof value === 'string' && /^[a-z0-9-]{1,40}$/.test(value)),
      'endpoint?': is('an http or https URL', (value) => typeof value === 'string' && isHttpUrl(value)),
      'prefix?': is('empty or a path that ends with /', (value) => typeof value === 'string' && PREFIX.test(value)),
      minRetentionDays: count,
    }),
    { max: 16 },
  ),
  'require?': object({
    'guarantee?': literal('external-immutable', 'witnessed'),
    'timeTier?': literal('tsa-attested'),
  }),
});

/** @throws PangolinError INVALID unless `bytes` are the JSON of a usable trust document. */
export function parseTrustFile(bytes: Buffer): TrustDocument {
  if (bytes.length > TRUST_BYTES_MAX) throw bad('it is longer than 1 MiB');
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString('utf8'));
  } catch (cause) {
    throw new PangolinError('INVALID', 'the trust file is not JSON', { cause });
  }
  loadTrust(value as TrustDocument);
  return value as TrustDocument;
}

/** @throws PangolinError INVALID when the document is malformed or names a key that must not be used. */
export function loadTrust(document: TrustDocument): Trust {
  const problem = shape(document);
  if (problem !== undefined) throw bad(`trust${problem}`);
  const signers = new Map<string, TrustedKey>();
  for (const signer of document.signers) {
    if (signers.has(signer.keyid)) throw bad(`the key ${signer.keyid} is there twice`);
    signers.set(signer.keyid, signerKey(signer));
  }
  return {
    origin: document.origin,
    signers,
    logs: document.trustedRoot.tlogs.map((log) => logKey(log, document.origin)),
    authorities: readAuthorities(document),
    witnesses: witnessPolicy(document),
    anchors: document.anchors ?? [],
    require: document.require ?? {},
  };
}

function witnessPolicy({ witnessPolicy: policy, origin }: TrustDocument): WitnessPolicy | undefined {
  if (policy === undefined) return undefined;
  let read: WitnessPolicy;
  try {
    read = parseWitnessPolicy(policy, origin);
  } catch (error) {
    throw bad(messageOf(error));
  }
  const weak = [...read.witnesses.values()].find((key) => isLowOrder(key.publicKey));
  if (weak) throw bad(`the key of the witness ${weak.name} is a point of low order, under which anything verifies`);
  return read;
}

/** What comes before x and y: EC, P-256, uncompressed point. */
const P256_SPKI = Buffer.from('3059301306072a8648ce3d020106082a8648ce3d03010703420004', 'hex');

function signerKey(signer: TrustedSigner): TrustedKey {
  const spki = decodeBase64(signer.publicKey)!;
  let key: KeyObject;
  try {
    key = createPublicKey({ key: spki, format: 'der', type: 'spki' });
  } catch {
    throw bad(`the public key of ${signer.keyid} is not a SubjectPublicKeyInfo`);
  }
  if (key.asymmetricKeyType !== 'ec' || key.asymmetricKeyDetails?.namedCurve !== 'prime256v1') {
    throw bad(`the key ${signer.keyid} is not an ECDSA P-256 key`);
  }
  // The leaf in the log is built from these bytes, so there may be only one way to write them.
  if (spki.length !== P256_SPKI.length + 64 || !spki.subarray(0, P256_SPKI.length).equals(P256_SPKI)) {
    throw bad(`the key ${signer.keyid} is not in canonical form`);
  }
  if (keyIdOf(key) !== signer.keyid) throw bad(`the key id ${signer.keyid} is not the one of its public key`);
  const { keyid, roles } = signer;
  return { keyid, roles, key, spki, ...lifeOf(signer.validFor, signer.revokedAt) };
}

function logKey(log: TrustedLog, origin: string): TrustedLogKey {
  if (log.baseUrl !== `https://${origin}`) throw bad(`a log is at ${log.baseUrl}, not at https://${origin}`);
  const raw = rawOfEd25519(decodeBase64(log.publicKey.rawBytes)!);
  if (!raw) throw bad('the key of the log is not an Ed25519 key');
  if (isLowOrder(raw)) throw bad('the key of the log is a point of low order, under which anything verifies');
  const note = { name: origin, type: NOTE_ED25519, publicKey: raw };
  const id = noteKeyHash(note).toString('base64');
  if (log.logId.keyId !== id || log.checkpointKeyId.keyId !== id)
    throw bad('the key id of the log is not the one of its key');
  return { note, ...lifeOf(log.publicKey.validFor, undefined) };
}

function lifeOf(validFor: Validity, revokedAt: string | undefined): KeyLife {
  return {
    start: Date.parse(validFor.start),
    ...(validFor.end !== undefined && { end: Date.parse(validFor.end) }),
    ...(revokedAt !== undefined && { revokedAt: Date.parse(revokedAt) }),
  };
}

/** The y coordinates (little-endian) of the Ed25519 points of order 1, 2, 4 and 8, and the longer forms of the small ones. */
const LOW_ORDER = new Set([
  '00'.repeat(32),
  `01${'00'.repeat(31)}`,
  '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
  'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
  `ec${'ff'.repeat(30)}7f`,
  `ed${'ff'.repeat(30)}7f`,
  `ee${'ff'.repeat(30)}7f`,
]);

/** @param raw 32 bytes. */
export function isLowOrder(raw: Buffer): boolean {
  const y = Buffer.from(raw);
  y[31]! &= 0x7f;
  return LOW_ORDER.has(y.toString('hex'));
}

const bad = (why: string): PangolinError =>
  new PangolinError('INVALID', `the trust file cannot be used: ${why}`, {
    hint: 'Get it again from where you trust it, for example from the operator by another way than the bundle.',
  });
