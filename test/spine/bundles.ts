/** Bundles of a storage in memory. */
import { exportBundle } from '@pangolin/storage/bundle';
import { openStore } from '@pangolin/storage/open';
import type { BundleReader } from '@pangolin/verify/bundle-reader';
import { memoryReader } from '@pangolin/verify/readers/memory';

/** The bundle of a sealed run, as `orch audit` exports it. */
export async function exportedFiles(storage: string, run: string): Promise<BundleReader> {
  const files = new Map<string, Buffer>();
  for await (const { name, body } of exportBundle(await openStore(storage), run)) files.set(name, body);
  return memoryReader(files);
}
