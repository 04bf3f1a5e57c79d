/** From what users write after `--storage` to a store. */
import { fileURLToPath } from 'node:url';
import { PangolinError } from '@pangolin/contracts/errors';
import { openFolderStore } from './folder-store.ts';
import type { ObjectStore } from './object-store.ts';

/**
 * A folder path, `file:///absolute/folder`, or `s3://bucket/prefix` (its options: s3-location.ts).
 * @throws PangolinError INVALID for any other scheme
 */
export async function openStore(location: string): Promise<ObjectStore> {
  const scheme = /^([A-Za-z][A-Za-z0-9+.-]*):\/\//.exec(location)?.[1]?.toLowerCase();
  switch (scheme) {
    case undefined:
      if (location === '') break;
      return await openFolderStore(location);
    case 'file':
      return await openFolderStore(folderOf(location));
    case 's3': {
      // The SDK is large; only who uses S3 loads it.
      const { openS3Store } = await import('./s3-store.ts');
      return await openS3Store(location);
    }
  }
  throw new PangolinError('INVALID', `${JSON.stringify(location)} is not a storage location`, {
    hint: 'Give a folder, file:///folder or s3://bucket/prefix.',
  });
}

function folderOf(url: string): string {
  try {
    return fileURLToPath(url);
  } catch (cause) {
    throw new PangolinError('INVALID', `${url} is not the URL of a local folder`, { cause });
  }
}
