/** Finds and reads `pangolin.yaml`. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Config } from '@pangolin/contracts/config';
import { PangolinError } from '@pangolin/contracts/errors';
import { readConfig } from '@pangolin/contracts/read-config';
import type { ObjectStore } from '@pangolin/storage/object-store';

const CONFIG_FILE = 'pangolin.yaml';

/**
 * The named file; else `pangolin.yaml` in the state directory, else in a folder storage; else nothing is configured.
 * @throws PangolinError NOT_FOUND for a named file that is not there; INVALID for one that cannot be used.
 */
export async function loadConfig(
  named: string | undefined,
  stateDir: string,
  store: Pick<ObjectStore, 'localPath'>,
): Promise<Config> {
  const inStorage = store.localPath(CONFIG_FILE);
  const usual = [join(stateDir, CONFIG_FILE), ...(inStorage === undefined ? [] : [inStorage])];
  for (const path of named === undefined ? usual : [named]) {
    let bytes: Buffer;
    try {
      bytes = await readFile(path);
    } catch (cause) {
      const missing = (cause as NodeJS.ErrnoException).code === 'ENOENT';
      if (missing && named === undefined) continue;
      throw new PangolinError(missing ? 'NOT_FOUND' : 'DENIED', `the configuration ${path} cannot be read`, { cause });
    }
    const read = readConfig(bytes, path);
    if (read.ok) return read.config;
    const [first] = read.problems;
    const where = first?.line === undefined ? path : `${path}:${first.line}:${first.column ?? 1}`;
    throw new PangolinError('INVALID', `${where}: ${first?.message ?? 'it cannot be used'}`, {
      details: read.problems,
      ...(first?.hint !== undefined && { hint: first.hint }),
    });
  }
  return {};
}
