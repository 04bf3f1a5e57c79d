/**
 * The way out of a database that is behind its log, and of lost keys (evidence.md §3.11): a new deployment on the same
 * storage. Nothing is deleted: what there was moves aside, the old log stays where it is, and old bundles verify with the
 * old trust document.
 */
import { existsSync } from 'node:fs';
import { mkdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { formatTime } from '@pangolin/contracts/units';
import { openKeys, trustDocument, type Keys } from './keys.ts';

export interface NewOrigin {
  readonly keys: Keys;
  /** Where the old keys, database and trust document are now. */
  readonly aside: string;
}

/**
 * The caller sees to it that nobody serves. Repeatable after a crash.
 * @param origin a random one without. @param now epoch milliseconds.
 */
export async function beginNewOrigin(stateDir: string, origin: string | undefined, now: number): Promise<NewOrigin> {
  const keysDir = join(stateDir, 'keys');
  // Keys that are lost have left no name.
  const old = existsSync(join(keysDir, 'deployment.json')) ? await openKeys(keysDir) : undefined;
  const aside = join(stateDir, `before-${old?.origin ?? formatTime(now).replaceAll(':', '')}`);
  await mkdir(aside, { recursive: true, mode: 0o700 });
  if (old) await writeFile(join(aside, 'trust.json'), `${JSON.stringify(trustDocument(old), null, 2)}\n`);
  const database = join(stateDir, 'state.db');
  if (existsSync(database)) await rename(database, join(aside, 'state.db'));
  // Crash here: an empty database with the old keys, which the published log is ahead of. Again, and it is finished.
  if (existsSync(keysDir)) await rename(keysDir, join(aside, 'keys'));
  // Crash here: the next start makes keys that the published log is not signed with, and is refused likewise.
  return { keys: await openKeys(keysDir, { ...(origin !== undefined && { origin }), beside: true }), aside };
}
