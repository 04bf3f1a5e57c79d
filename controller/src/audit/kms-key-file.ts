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
import { PangolinError } from '@pangolin/contracts/errors';
import type { SignerRole } from '@pangolin/contracts/trust';
import { replaceFile } from './key-history.ts';
import { describeKmsKey, regionOf, type KmsKey } from './kms-signer.ts';

const SCHEMA = 'pangolin-kms-key/1';
const pathOf = (dir: string, role: SignerRole): string => join(dir, `${role}.kms.json`);

/** Undefined when the key of the role is a file. @throws PangolinError INVALID */
export async function readKmsKey(dir: string, role: SignerRole): Promise<KmsKey | undefined> {
  const path = pathOf(dir, role);
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

/**
 * Gives a role its KMS key, once: the same key again changes nothing.
 * @throws PangolinError CONFLICT when the role has another key; INVALID, UNAVAILABLE, NOT_FOUND or DENIED as KMS answers
 */
export async function useKmsKey(dir: string, role: SignerRole, arn: string, endpoint?: string): Promise<void> {
  regionOf(arn);
  const known = await readKmsKey(dir, role);
  if (known?.arn === arn) return;
  const file = await access(join(dir, `${role}.pem`)).then(
    () => true,
    () => false,
  );
  if (known !== undefined || file) {
    throw new PangolinError('CONFLICT', `this deployment has a ${role} key already: ${known?.arn ?? `${role}.pem`}`, {
      hint: 'A key is chosen when the deployment is made; make a new deployment for another one.',
    });
  }
  const key = await describeKmsKey(arn, endpoint);
  await mkdir(dir, { recursive: true, mode: 0o700 });
  await replaceFile(pathOf(dir, role), canonical({ schema: SCHEMA, ...key }));
}
