/** The storage prefix in an S3 bucket. */
import { PangolinError } from '@pangolin/contracts/errors';
import type { ObjectStore } from './object-store.ts';

export function openS3Store(location: string): Promise<ObjectStore> {
  return Promise.reject(new PangolinError('UNSUPPORTED', `${location}: S3 storage is not part of this build`));
}
