/**
 * Which KMS key has a role, in place of its private key. Canonical JSON:
 *
 * ```
 * <keys>/seal.kms.json   {"arn":"arn:aws:kms:…:key/…","publicKey":"<SPKI, base64>","schema":"pangolin-kms-key/1"}
 * ```
 */
import { access, mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { canonical, parseCanonical } from '@pangolin/contracts/canonical';
import { keyIdOf } from '@pangolin/contracts/dsse';
import { PangolinError } from '@pangolin/contracts/errors';
import { replaceFile } from './key-history.ts';
import { describeKmsKey, regionOf, type KeyRole, type KmsKey } from './kms-signer.ts';

const SCHEMA = 'pangolin-kms-key/1';
const ROLES: readonly KeyRole[] = ['seal', 'attest', 'log'];
export const kmsPath = (dir: string, role: KeyRole): string => join(dir, `${role}.kms.json`);

/** Undefined when there is no such file. @throws PangolinError INVALID */
export async function readKmsFile(path: string): Promise<KmsKey | undefined> {
  let bytes: Buffer;
  try {
    bytes = await readFile(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  const { schema, arn, publicKey, endpoint } = parseCanonical(bytes) as Record<string, unknown>;
  const fits = schema === SCHEMA && typeof arn === 'string' && typeof publicKey === 'string';
  if (!fits || (endpoint !== undefined && typeof endpoint !== 'string')) {
    throw new PangolinError('INVALID', `${path} names no KMS key`);
  }
  return { arn, publicKey, ...(endpoint !== undefined && { endpoint }) };
}

/** Undefined when the key of the role is a file. @throws PangolinError INVALID */
export const readKmsKey = (dir: string, role: KeyRole): Promise<KmsKey | undefined> => readKmsFile(kmsPath(dir, role));

export const kmsFileText = (key: KmsKey): string => canonical({ schema: SCHEMA, ...key });

/**
 * Gives a role its KMS key, once: the same key again changes nothing.
 * @throws PangolinError CONFLICT when the role has another key, or the key another role; INVALID, UNAVAILABLE,
 * NOT_FOUND or DENIED as KMS answers
 */
export async function useKmsKey(dir: string, role: KeyRole, arn: string, endpoint?: string): Promise<void> {
  regionOf(arn);
  const known = await readKmsKey(dir, role);
  if (known?.arn === arn) return;
  const file = await access(join(dir, `${role}.pem`)).then(
    () => true,
    () => false,
  );
  if (known !== undefined || file) {
    throw new PangolinError('CONFLICT', `this deployment has a ${role} key already: ${known?.arn ?? `${role}.pem`}`, {
      hint:
        role === 'log'
          ? 'The key of a log is for good: `pangolin key new-origin` begins another log.'
          : `\`pangolin key rotate --role ${role} --kms ARN\` puts another one in its place.`,
    });
  }
  const key = await describeKmsKey(arn, role, endpoint);
  for (const other of ROLES) {
    if ((await readKmsKey(dir, other))?.publicKey === key.publicKey) {
      throw new PangolinError('CONFLICT', `${arn} is the ${other} key already`, {
        hint: 'A key has one role: make one for each.',
      });
    }
  }
  await mkdir(dir, { recursive: true, mode: 0o700 });
  await replaceFile(kmsPath(dir, role), kmsFileText(key));
}

export const kmsKeyId = ({ publicKey }: KmsKey): string => keyIdOf(Buffer.from(publicKey, 'base64'));
