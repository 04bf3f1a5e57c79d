/** Bundles of a storage in memory. */
import { exportBundle } from '@pangolin/storage/bundle';
import { openStore } from '@pangolin/storage/open';

/** The files of a sealed run's bundle, as `orch audit` exports it. */
export async function exportedFiles(storage: string, run: string): Promise<Map<string, Buffer>> {
  const files = new Map<string, Buffer>();
  for await (const { name, body } of exportBundle(await openStore(storage), run)) files.set(name, body);
  return files;
}
