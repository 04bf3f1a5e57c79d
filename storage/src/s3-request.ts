/** Parts that several requests have in common. */
import type { Sha256 } from '@pangolin/contracts/digest';
import type { PutOptions } from './object-store.ts';
import type { S3Place } from './s3-place.ts';

export function objectAt(place: S3Place, key: string): { Bucket: string; Key: string } {
  return { Bucket: place.bucket, Key: place.prefix + key };
}

export function conditionsOf(options: PutOptions): { IfNoneMatch?: string; IfMatch?: string } {
  if (options.ifAbsent === true) return { IfNoneMatch: '*' };
  return options.ifMatch === undefined ? {} : { IfMatch: options.ifMatch };
}

export function isConditional(options: PutOptions): boolean {
  return options.ifAbsent === true || options.ifMatch !== undefined;
}

/** The form in which S3 writes checksums. */
export function base64Of(digest: Sha256): string {
  return Buffer.from(digest, 'hex').toString('base64');
}
