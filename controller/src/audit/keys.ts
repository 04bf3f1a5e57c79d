/**
 * The deployment's keys and name, kept as files:
 *
 * ```
 * <dir>/deployment.json   {"createdAt":"…","origin":"pangolin-1f2e3d4c.local","schema":"pangolin-keys/1"}
 *                         and "log":"log/<origin>/" where another deployment had the storage before
 * <dir>/seal.pem          ECDSA P-256, closes runs
 * <dir>/attest.pem        ECDSA P-256, signs dispatch and provenance statements
 * <dir>/log.pem           Ed25519, signs checkpoints of the deployment's log
 * ```
 * <dir>/history.json    the keys that were replaced, once one was (key-history.ts)
 * <dir>/<role>.kms.json   in place of <role>.pem: the key is in AWS KMS (kms-key-file.ts)
 * One key has one role: `seal` and `attest` sign only PAE strings, `log` only note texts.
 */
import { createPrivateKey, createPublicKey, generateKeyPairSync, randomBytes, sign, type KeyObject } from 'node:crypto';
import { chmod, link, mkdir, open, readFile, rename, stat, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { canonical, parseCanonical } from '@pangolin/contracts/canonical';
import { keyIdOf, type Signer } from '@pangolin/contracts/dsse';
import { PangolinError } from '@pangolin/contracts/errors';
import { LOG } from '@pangolin/contracts/layout';
import { NOTE_ED25519, noteKeyHash, rawOfEd25519, type NoteKey } from '@pangolin/contracts/note';
import { TRUST_SCHEMA, TRUSTED_ROOT_MEDIA_TYPE, type SignerRole, type TrustDocument } from '@pangolin/contracts/trust';
import { formatTime } from '@pangolin/contracts/units';
import { readHistory, type KeyRecord } from './key-history.ts';
import { kmsKeyId, kmsPath, readKmsFile, readKmsKey } from './kms-key-file.ts';
import { kmsSigner, type KeyRole } from './kms-signer.ts';

export interface Keys {
  /** Name of the deployment's log: a bare hostname, because sigstore-go takes a URL's hostname for it. */
  readonly origin: string;
  /** Where its log is in the storage. Ends with `/`. */
  readonly logPrefix: string;
  /** When the directory was made: the start of the keys' validity. */
  readonly createdAt: string;
  readonly seal: RoleSigner;
  readonly attest: RoleSigner;
  readonly log: LogSigner;
  /** Every key for statements that there ever was, once one was replaced. */
  readonly history: readonly KeyRecord[];
}

export interface RoleSigner extends Signer {
  /** Of the KMS key; absent for a file. */
  readonly arn?: string;
}

export interface LogSigner extends RoleSigner {
  /** `origin` and the raw key: what checkpoints are verified with. */
  readonly note: NoteKey;
}

/** What a deployment is called and where its log is, when it is made. */
export interface NewDeployment {
  /** A bare hostname; a random one without. */
  readonly origin?: string;
  /** Another deployment has `log/` of the storage: this one's log goes below it. */
  readonly beside?: boolean;
}

/**
 * Opens the keys in `dir` and makes what is missing. Two processes that start at once get the same keys.
 * @param made only looked at when there is no deployment yet.
 * @throws PangolinError DENIED when others can read a key; INVALID for a file that is not the key it should be.
 */
export async function openKeys(dir: string, made: NewDeployment = {}): Promise<Keys> {
  await mkdir(dir, { recursive: true, mode: 0o700 });
  await chmod(dir, 0o700);
  const { origin, createdAt, logPrefix } = await openDeployment(dir, made);
  const history = await readHistory(dir);
  for (const role of ['seal', 'attest'] as const) await finishRotation(dir, role, history);
  const [seal, attest, log] = await Promise.all((['seal', 'attest', 'log'] as const).map((role) => openKey(dir, role)));
  const publicKey = log!.publicKey;
  const note = { name: origin, type: NOTE_ED25519, publicKey: rawOfEd25519(publicKey)! };
  return { origin, createdAt, logPrefix, seal: seal!, attest: attest!, log: { ...log!, note }, history };
}

export const pemPath = (dir: string, role: KeyRole): string => join(dir, `${role}.pem`);

/**
 * A rotation is decided by the history. The new key may still lie beside its place, or be nobody's; and where a key went
 * to KMS or came from there, the old one may still be in the other place.
 */
async function finishRotation(dir: string, role: SignerRole, history: readonly KeyRecord[]): Promise<void> {
  const current = history.find((each) => each.role === role && each.end === undefined)?.keyid;
  const places = [pemPath(dir, role), kmsPath(dir, role)];
  for (const place of places) {
    const next = await keyIdIn(`${place}.next`, role);
    if (next !== undefined) await (next === current ? rename(`${place}.next`, place) : unlink(`${place}.next`));
  }
  const there = await Promise.all(places.map((place) => keyIdIn(place, role)));
  if (there.includes(undefined) || !there.includes(current)) return;
  await unlink(places[there[0] === current ? 1 : 0]!);
}

/** Of a private key, or of what stands for one in KMS; undefined when the file is not there. */
async function keyIdIn(path: string, role: SignerRole): Promise<string | undefined> {
  if (path.includes('.kms.json')) {
    const key = await readKmsFile(path);
    return key && kmsKeyId(key);
  }
  const pem = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error;
  });
  return pem === undefined ? undefined : fileSigner(createPrivateKey(pem), role, path).keyid;
}

const ORIGIN = /^(?=.{1,253}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$/;

async function openDeployment(
  dir: string,
  { origin: name, beside = false }: NewDeployment,
): Promise<Pick<Keys, 'origin' | 'createdAt' | 'logPrefix'>> {
  if (name !== undefined && !ORIGIN.test(name)) {
    throw new PangolinError('INVALID', `the origin ${JSON.stringify(name)} is not a bare hostname`, {
      hint: 'Lower-case letters, digits, hyphens and dots, for example offload-log.acme.example.',
    });
  }
  const path = join(dir, 'deployment.json');
  const bytes = await openFile(path, () => {
    const origin = name ?? `pangolin-${randomBytes(4).toString('hex')}.local`;
    const log = beside ? { log: `${LOG}${origin}/` } : {};
    return canonical({ schema: 'pangolin-keys/1', origin, createdAt: formatTime(Date.now()), ...log });
  });
  const value = parseCanonical(bytes) as Record<string, unknown>;
  const { schema, origin, createdAt, log: logPrefix = LOG } = value;
  if (schema !== 'pangolin-keys/1' || typeof origin !== 'string' || typeof createdAt !== 'string') {
    throw new PangolinError('INVALID', `${path} is not a deployment file`);
  }
  if (!ORIGIN.test(origin)) throw new PangolinError('INVALID', `the origin in ${path} is not a bare hostname`);
  if (logPrefix !== LOG && logPrefix !== `${LOG}${origin}/`) {
    throw new PangolinError('INVALID', `the log in ${path} is not below ${LOG}`);
  }
  return { origin, createdAt, logPrefix };
}

async function openKey(dir: string, role: KeyRole): Promise<RoleSigner> {
  const kms = await readKmsKey(dir, role);
  if (kms !== undefined) return kmsSigner(kms, role);
  const path = pemPath(dir, role);
  const pem = await openFile(path, () => generateKey(role).export({ type: 'pkcs8', format: 'pem' }) as string);
  const { mode } = await stat(path);
  if ((mode & 0o007) !== 0) {
    throw new PangolinError('DENIED', `everybody on this machine can use the private key ${path}`, {
      hint: `chmod 600 ${path}, or replace the key if others had access to it.`,
    });
  }
  let key: KeyObject;
  try {
    key = createPrivateKey(pem);
  } catch {
    // Without the cause: a parser's message may quote what it read.
    throw new PangolinError('INVALID', `${path} is not a PKCS #8 private key in PEM`);
  }
  return fileSigner(key, role, path);
}

export function generateKey(role: KeyRole): KeyObject {
  return role === 'log'
    ? generateKeyPairSync('ed25519').privateKey
    : generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
}

function fileSigner(key: KeyObject, role: KeyRole, path: string): Signer {
  const algorithm = role === 'log' ? null : 'sha256';
  const fits =
    role === 'log'
      ? key.asymmetricKeyType === 'ed25519'
      : key.asymmetricKeyType === 'ec' && key.asymmetricKeyDetails?.namedCurve === 'prime256v1';
  if (!fits) throw new PangolinError('INVALID', `${path} is not an ${role === 'log' ? 'Ed25519' : 'ECDSA P-256'} key`);
  const publicKey = createPublicKey(key).export({ type: 'spki', format: 'der' });
  return { keyid: keyIdOf(publicKey), publicKey, sign: (bytes) => sign(algorithm, bytes, key) };
}

/** Reads the file, or makes it: whole or not at all, and never over one that another process made meanwhile. */
async function openFile(path: string, make: () => string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  const temporary = `${path}.${randomBytes(4).toString('hex')}`;
  const file = await open(temporary, 'wx', 0o600);
  try {
    await file.writeFile(make());
    await file.sync();
    await link(temporary, path).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error;
    });
  } finally {
    await file.close();
    await unlink(temporary);
  }
  return readFile(path);
}

/** Every key for statements, the ones in use included. */
export function signersOf(keys: Keys): readonly KeyRecord[] {
  const known = new Set(keys.history.map(({ keyid }) => keyid));
  const first = (['seal', 'attest'] as const)
    .filter((role) => !known.has(keys[role].keyid))
    .map((role) => recordOf(keys[role], role, keys.createdAt));
  return [...keys.history, ...first];
}

export function recordOf(
  { keyid, publicKey, arn }: Omit<RoleSigner, 'sign'>,
  role: SignerRole,
  start: string,
): KeyRecord {
  return { keyid, role, publicKey: publicKey.toString('base64'), start, ...(arn !== undefined && { arn }) };
}

/** What an auditor needs to check this deployment's bundles; public. */
export function trustDocument(keys: Keys): TrustDocument {
  const validFor = { start: keys.createdAt };
  const keyId = noteKeyHash(keys.log.note).toString('base64');
  return {
    schema: TRUST_SCHEMA,
    origin: keys.origin,
    signers: signersOf(keys).map(({ keyid, publicKey, role, start, end, revokedAt }) => ({
      keyid,
      publicKey,
      alg: 'ecdsa-p256-sha256',
      roles: [role],
      validFor: { start, ...(end !== undefined && { end }) },
      ...(revokedAt !== undefined && { revokedAt }),
    })),
    trustedRoot: {
      mediaType: TRUSTED_ROOT_MEDIA_TYPE,
      tlogs: [
        {
          baseUrl: `https://${keys.origin}`,
          hashAlgorithm: 'SHA2_256',
          publicKey: { rawBytes: keys.log.publicKey.toString('base64'), keyDetails: 'PKIX_ED25519', validFor },
          logId: { keyId },
          checkpointKeyId: { keyId },
        },
      ],
      certificateAuthorities: [],
      ctlogs: [],
      timestampAuthorities: [],
    },
  };
}
