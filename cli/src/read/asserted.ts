/** What the blocks of an item say about their work, from the output.json that the controller accepted. */
import type { BlockOutput } from '@pangolin/contracts/block-output';
import type { Output } from '@pangolin/contracts/output';
import type { ItemStatus } from '@pangolin/contracts/status';
import type { ObjectStore } from '@pangolin/storage/object-store';
import { productBytes } from './products.ts';

/** Undefined when they say nothing. @throws PangolinError INTEGRITY, NOT_FOUND. */
export async function assertedOf(store: ObjectStore, { result }: ItemStatus): Promise<BlockOutput | undefined> {
  if (result === undefined) return undefined;
  const bytes = await productBytes(store, { sha256: result });
  return (JSON.parse(bytes.toString('utf8')) as Output).asserted;
}
