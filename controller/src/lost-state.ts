/**
 * The run-state is the only truth and storage a projection of it: what ran when it was lost cannot be rebuilt. So a
 * storage that was served before is not served with an empty state directory, as it is there when a volume was not mounted.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { PangolinError } from '@pangolin/contracts/errors';
import { TRUST } from '@pangolin/contracts/layout';
import type { ObjectStore } from '@pangolin/storage/object-store';

const TRUST_BYTES_MAX = 2 ** 20;

/** @throws PangolinError CONFLICT */
export async function assertStateNotLost(stateDir: string, store: ObjectStore): Promise<void> {
  if (existsSync(join(stateDir, 'state.db')) || !(await store.head(TRUST))) return;
  // `pangolin key new-origin` and `key init` made keys of another name: somebody knows that this begins anew.
  const own = originIn(() => readFileSync(join(stateDir, 'keys', 'deployment.json'), 'utf8'));
  const trust = (await store.get(TRUST, { maxBytes: TRUST_BYTES_MAX })).toString('utf8');
  const served = originIn(() => trust);
  if (own !== undefined && own !== served) return;
  throw new PangolinError('CONFLICT', `${store.location} was served by ${served ?? 'a controller'}, whose run-state is not in ${stateDir}`, {
    hint: 'Mount the volume that has it, or restore it from a backup. If it is lost: `pangolin key new-origin` begins a new log; runs that had not ended have to be submitted again under new ids.',
  }); // prettier-ignore
}

function originIn(read: () => string): string | undefined {
  try {
    const { origin } = JSON.parse(read()) as { origin?: unknown };
    return typeof origin === 'string' ? origin : undefined;
  } catch {
    return undefined;
  }
}
