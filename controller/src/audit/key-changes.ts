/** Rotating and revoking the keys of a deployment that nobody serves meanwhile (evidence.md §3.10). */
import { createPublicKey } from 'node:crypto';
import { rename } from 'node:fs/promises';
import { join } from 'node:path';
import { keyIdOf } from '@pangolin/contracts/dsse';
import { PangolinError } from '@pangolin/contracts/errors';
import type { SignerRole } from '@pangolin/contracts/trust';
import { formatTime } from '@pangolin/contracts/units';
import { readHistory, replaceFile, writeHistory, type KeyRecord } from './key-history.ts';
import { readKmsKey } from './kms-key-file.ts';
import { generateKey, openKeys, signersOf, type Keys } from './keys.ts';

/**
 * A new key for `role`, valid from `now` on; the old one stays known with its end, and its private half is gone.
 * @param now epoch milliseconds.
 * @throws PangolinError UNSUPPORTED for a key in KMS.
 */
export async function rotateKey(dir: string, role: SignerRole, now: number): Promise<Keys> {
  if ((await readKmsKey(dir, role)) !== undefined) {
    throw new PangolinError('UNSUPPORTED', `the ${role} key is in AWS KMS and cannot be replaced here`, {
      hint: 'Disable it in KMS and make a new deployment with another key.',
    });
  }
  const keys = await openKeys(dir);
  const at = formatTime(now);
  const fresh = generateKey(role);
  const publicKey = createPublicKey(fresh).export({ type: 'spki', format: 'der' });
  const next: KeyRecord = { keyid: keyIdOf(publicKey), role, publicKey: publicKey.toString('base64'), start: at };
  const records = signersOf(keys).map((each) => (each.keyid === keys[role].keyid ? { ...each, end: at } : each));
  const path = join(dir, `${role}.pem`);
  // The key before the history that names it, the place of the old one last: openKeys finishes what a crash left.
  await replaceFile(`${path}.next`, fresh.export({ type: 'pkcs8', format: 'pem' }) as string);
  await writeHistory(dir, [...records, next]);
  await rename(`${path}.next`, path);
  return openKeys(dir);
}

/**
 * From `at` on nothing that the key signed counts, and without a trusted time nothing that it ever signed. A key in use
 * is rotated as well.
 * @throws PangolinError NOT_FOUND for a key that this deployment never had; INVALID for a time before it was made.
 */
export async function revokeKey(dir: string, keyid: string, at: number, now: number): Promise<Keys> {
  const keys = await openKeys(dir);
  const record = signersOf(keys).find((each) => each.keyid === keyid);
  if (!record) {
    throw new PangolinError('NOT_FOUND', `this deployment has no key ${keyid}`, {
      hint: '`pangolin key show` lists them. The key of the log cannot be revoked: start a new deployment.',
    });
  }
  if (at < Date.parse(record.start) || at > now) {
    throw new PangolinError('INVALID', `the key was made at ${record.start}; revoke it at a time from then to now`);
  }
  if (record.end === undefined) await rotateKey(dir, record.role, now);
  const revokedAt = formatTime(at);
  // A second revocation may only make it earlier: what did not count does not count again.
  await writeHistory(
    dir,
    (await readHistory(dir)).map((each) =>
      each.keyid === keyid && (each.revokedAt === undefined || revokedAt < each.revokedAt)
        ? { ...each, revokedAt }
        : each,
    ),
  );
  return openKeys(dir);
}
