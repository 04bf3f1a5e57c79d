/** Rotating and revoking the keys of a deployment that nobody serves meanwhile (evidence.md §3.10). */
import { createPublicKey } from 'node:crypto';
import { keyIdOf } from '@pangolin/contracts/dsse';
import { PangolinError } from '@pangolin/contracts/errors';
import type { SignerRole } from '@pangolin/contracts/trust';
import { formatTime } from '@pangolin/contracts/units';
import { readHistory, replaceFile, writeHistory } from './key-history.ts';
import { kmsFileText, kmsPath, readKmsKey } from './kms-key-file.ts';
import { describeKmsKey } from './kms-signer.ts';
import { generateKey, openKeys, pemPath, recordOf, signersOf, type Keys, type RoleSigner } from './keys.ts';

/** Where the next key of a role comes from: a file that is made here, or a key that is in KMS already. */
export type NextKey = 'file' | { readonly arn: string; readonly endpoint?: string };

/**
 * A new key for `role`, valid from `now` on; the old one stays known with its end, and its private half, if it is a file,
 * is gone.
 * @param now epoch milliseconds. @param next absent: a file after a file. A key in KMS is followed by what is named.
 * @throws PangolinError USAGE when it has to be named; CONFLICT for a key that this deployment has or had; INVALID, UNAVAILABLE,
 * NOT_FOUND or DENIED as KMS answers
 */
export async function rotateKey(dir: string, role: SignerRole, now: number, next?: NextKey): Promise<Keys> {
  if (next === undefined && (await readKmsKey(dir, role)) !== undefined) {
    throw new PangolinError('USAGE', `the ${role} key is in AWS KMS: name the one that follows it`, {
      hint: '--kms ARN for another key in KMS; --file for one whose private half is kept here.',
    });
  }
  const keys = await openKeys(dir);
  const { signer, path, text } = await makeNext(dir, role, next ?? 'file');
  const known = [...signersOf(keys), { ...keys.log, role: 'log' }].find(({ keyid }) => keyid === signer.keyid);
  if (known) {
    throw new PangolinError('CONFLICT', `${signer.arn ?? signer.keyid} is or was the ${known.role} key of this deployment`, {
      hint: 'A key has one role and one time of validity: make another one.',
    }); // prettier-ignore
  }
  const at = formatTime(now);
  const records = signersOf(keys).map((each) => (each.keyid === keys[role].keyid ? { ...each, end: at } : each));
  await replaceFile(`${path}.next`, text);
  // Crash here: a key that nothing names, and that the next start throws away.
  await writeHistory(dir, [...records, recordOf(signer, role, at)]);
  // Crash here: the next start puts it into its place, by the same function as now.
  return openKeys(dir);
}

async function makeNext(
  dir: string,
  role: SignerRole,
  next: NextKey,
): Promise<{ readonly signer: Omit<RoleSigner, 'sign'>; readonly path: string; readonly text: string }> {
  if (next === 'file') {
    const fresh = generateKey(role);
    const publicKey = createPublicKey(fresh).export({ type: 'spki', format: 'der' });
    const text = fresh.export({ type: 'pkcs8', format: 'pem' }) as string;
    return { signer: { keyid: keyIdOf(publicKey), publicKey }, path: pemPath(dir, role), text };
  }
  const key = await describeKmsKey(next.arn, role, next.endpoint);
  const publicKey = Buffer.from(key.publicKey, 'base64');
  const signer = { arn: key.arn, keyid: keyIdOf(publicKey), publicKey };
  return { signer, path: kmsPath(dir, role), text: kmsFileText(key) };
}

/**
 * From `at` on nothing that the key signed counts, and without a trusted time nothing that it ever signed. A key in use
 * is rotated as well.
 * @param next what follows a key in use, as for `rotateKey`.
 * @throws PangolinError NOT_FOUND for a key that this deployment never had; INVALID for a time before it was made; and as `rotateKey`
 */
export async function revokeKey(dir: string, keyid: string, at: number, now: number, next?: NextKey): Promise<Keys> {
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
  if (record.end === undefined) await rotateKey(dir, record.role, now, next);
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
