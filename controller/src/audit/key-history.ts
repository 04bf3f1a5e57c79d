/** Which keys a deployment has had: `<keys>/history.json`, canonical JSON, there once a key was changed. */
import { open, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { canonical, parseCanonical } from '@pangolin/contracts/canonical';
import { PangolinError } from '@pangolin/contracts/errors';
import type { SignerRole } from '@pangolin/contracts/trust';

export interface KeyRecord {
  readonly keyid: string;
  readonly role: SignerRole;
  /** SubjectPublicKeyInfo, DER, base64. */
  readonly publicKey: string;
  readonly start: string;
  /** Of a key in KMS. */
  readonly arn?: string;
  /** Absent for the key in use. */
  readonly end?: string;
  readonly revokedAt?: string;
}

const SCHEMA = 'pangolin-keys-history/1';

/** Oldest first; empty when no key was ever changed. @throws PangolinError INVALID */
export async function readHistory(dir: string): Promise<readonly KeyRecord[]> {
  const path = join(dir, 'history.json');
  let bytes: Buffer;
  try {
    bytes = await readFile(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
  const { schema, keys } = parseCanonical(bytes) as { schema?: unknown; keys?: unknown };
  if (schema !== SCHEMA || !Array.isArray(keys)) throw new PangolinError('INVALID', `${path} is not a history of keys`);
  return keys as KeyRecord[];
}

/** Whole or not at all. */
export async function writeHistory(dir: string, keys: readonly KeyRecord[]): Promise<void> {
  await replaceFile(join(dir, 'history.json'), canonical({ schema: SCHEMA, keys }));
}

/** Puts `text` in the place of a file that only the owner may read. */
export async function replaceFile(path: string, text: string): Promise<void> {
  const temporary = `${path}.new`;
  const file = await open(temporary, 'w', 0o600);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(temporary, path);
}
