/** task.json: a file of the input directory, or an object that one signed URL reads. */
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { sha256 } from '@pangolin/contracts/digest';
import { ManifestRejected } from './failure.ts';
import type { WorkerOptions } from './options.ts';
import { patiently, type StoreClient } from './store-client.ts';

export const TASK_BYTES_MAX = 8 * 2 ** 20;

/** @throws ManifestRejected when it is too large or another one than was announced; else it could not be read */
export async function readTask({ task, inDir }: WorkerOptions, client: StoreClient): Promise<Buffer> {
  if (task === undefined) return await readFile(join(inDir, 'task.json'));
  const bytes = await patiently(() => client.download(task.url, TASK_BYTES_MAX), {});
  if (sha256(bytes) !== task.sha256) throw new ManifestRejected('task.json is not the one that was announced');
  return bytes;
}

async function readFile(path: string): Promise<Buffer> {
  const file = await open(path);
  try {
    const { size } = await file.stat();
    if (size > TASK_BYTES_MAX) throw new ManifestRejected(`task.json is larger than ${TASK_BYTES_MAX} bytes`);
    return await file.readFile();
  } finally {
    await file.close();
  }
}
