/** Where the keys of a deployment are, and that nobody uses them while they are changed. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { PangolinError } from '@pangolin/contracts/errors';
import type { NextKey } from '@pangolin/controller/audit/key-changes';
import type { Keys } from '@pangolin/controller/audit/keys';
import type { EvidenceStore } from '@pangolin/controller/store/evidence';
import type { Context } from './context.ts';

export const stateFlag = {
  type: 'string',
  valueHint: 'DIR',
  description: 'Where run-state and keys are. Else PANGOLIN_STATE, else controller/ of a folder storage.',
} as const;

/** What the flag says, else the environment. */
export const stateGiven = (flag: string | undefined): string | undefined =>
  flag ?? (process.env.PANGOLIN_STATE || undefined);

/** Which key comes after the one in use. */
export const nextKeyFlags = {
  kms: { type: 'string', valueHint: 'ARN', description: 'The new key is this one in AWS KMS (ECC_NIST_P256).' },
  'kms-endpoint': { type: 'string', valueHint: 'URL', description: 'Instead of the region’s own.' },
  file: { type: 'boolean', description: 'The new key is a file here, where the old one is in KMS.' },
} as const;

/** @throws PangolinError USAGE for both, or for an endpoint of nothing. */
export function nextKeyOf(args: {
  readonly kms: string | undefined;
  readonly 'kms-endpoint': string | undefined;
  readonly file: boolean;
}): NextKey | undefined {
  const { kms: arn, 'kms-endpoint': endpoint, file } = args;
  if (arn !== undefined && file) throw new PangolinError('USAGE', '--kms and --file name two places for one key');
  if (arn === undefined && endpoint !== undefined) {
    throw new PangolinError('USAGE', '--kms-endpoint says where KMS is, and no --kms which key');
  }
  if (arn !== undefined) return { arn, ...(endpoint !== undefined && { endpoint }) };
  return file ? 'file' : undefined;
}

export const originFlag = {
  type: 'string',
  valueHint: 'HOST',
  description: 'Name of the log: a bare hostname, for good. Else a random one.',
} as const;

/** @throws PangolinError USAGE when it has to be named and is not. */
export async function stateDirOf(context: Context, state: string | undefined): Promise<string> {
  const dir = stateGiven(state) ?? (await context.openOrCreate()).localPath('controller');
  if (dir === undefined)
    throw new PangolinError('USAGE', 'remote storage needs --state DIR, or PANGOLIN_STATE, for the keys');
  return dir;
}

export const keysDirOf = (stateDir: string): string => join(stateDir, 'keys');

/** @throws PangolinError NOT_FOUND when there are none yet: to look at keys makes none. */
export async function existingKeys(stateDir: string): Promise<Keys> {
  const dir = keysDirOf(stateDir);
  if (!existsSync(join(dir, 'deployment.json'))) {
    throw new PangolinError('NOT_FOUND', `there are no keys in ${dir}`, {
      hint: 'Make them with `pangolin key init`; `pangolin orch serve` makes them too.',
    });
  }
  const { openKeys } = await import('@pangolin/controller/audit/keys');
  return await openKeys(dir);
}

/**
 * Changes the keys there are, given their directory, and prints them. Only while no controller serves: one that does would go on
 * signing with the key that was replaced.
 * @throws PangolinError NOT_FOUND when there are none; CONFLICT when a controller serves, or when a finished run is not signed yet.
 */
export async function changeKeys(
  context: Context,
  state: string | undefined,
  change: (keysDir: string) => Promise<Keys>,
): Promise<void> {
  const stateDir = await stateDirOf(context, state);
  await existingKeys(stateDir);
  const keys = await alone(stateDir, async (evidence) => {
    const unsigned = evidence?.unsignedSealCount() ?? 0;
    if (unsigned > 0) {
      throw new PangolinError('CONFLICT', `${unsigned} finished runs are not signed yet, and the key that is in use has to do that`, {
        hint: 'Run `pangolin orch serve --until-idle` first.',
      }); // prettier-ignore
    }
    return await change(keysDirOf(stateDir));
  });
  await printKeys(keys, context);
}

/** Runs `change` with the database taken, if there is one. @throws PangolinError CONFLICT when a controller serves. */
export async function alone<T>(
  stateDir: string,
  change: (evidence: EvidenceStore | undefined) => Promise<T>,
): Promise<T> {
  const file = join(stateDir, 'state.db');
  if (!existsSync(file)) return await change(undefined);
  const { StateStore } = await import('@pangolin/controller/store/state');
  const { EvidenceStore: Evidence } = await import('@pangolin/controller/store/evidence');
  const state = new StateStore(file);
  try {
    const evidence = new Evidence(state.db);
    // Whoever moves the file needs no other one beside it.
    state.db.pragma('wal_checkpoint(TRUNCATE)');
    return await change(evidence);
  } finally {
    state.close();
  }
}

export interface KeyLine {
  readonly role: string;
  readonly keyid: string;
  readonly state: 'in use' | 'retired' | 'revoked';
  readonly start: string;
  /** Of the key in KMS; absent for a file. */
  readonly arn?: string;
  readonly end?: string;
  readonly revokedAt?: string;
}

export async function keyLines(keys: Keys): Promise<KeyLine[]> {
  const { signersOf } = await import('@pangolin/controller/audit/keys');
  const signers = signersOf(keys).map(({ role, keyid, start, arn, end, revokedAt }) => ({
    role,
    keyid,
    state:
      revokedAt !== undefined ? ('revoked' as const) : end !== undefined ? ('retired' as const) : ('in use' as const),
    start,
    ...(arn !== undefined && { arn }),
    ...(end !== undefined && { end }),
    ...(revokedAt !== undefined && { revokedAt }),
  }));
  const { keyid, arn } = keys.log;
  return [
    ...signers,
    { role: 'log', keyid, state: 'in use', start: keys.createdAt, ...(arn !== undefined && { arn }) },
  ];
}

/** Prints what `pangolin key show` shows. */
export async function printKeys(keys: Keys, context: Context): Promise<void> {
  const lines = await keyLines(keys);
  if (context.json) return await context.printJson({ origin: keys.origin, keys: lines });
  await context.print(keys.origin);
  for (const { role, keyid, state, start, arn, end, revokedAt } of lines) {
    const until = revokedAt !== undefined ? `, revoked at ${revokedAt}` : end !== undefined ? ` to ${end}` : '';
    const place = arn === undefined ? '' : `, ${arn}`;
    await context.print(`${role.padEnd(7)} ${keyid}  ${state}, from ${start}${until}${place}`);
  }
}
