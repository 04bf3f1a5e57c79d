/** Product bytes from cas/, never handed on before their digest is checked. */
import { createWriteStream } from 'node:fs';
import { mkdir, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { sha256, sha256Stream } from '@pangolin/contracts/digest';
import { PangolinError } from '@pangolin/contracts/errors';
import { casKey } from '@pangolin/contracts/layout';
import { PATCH_BYTES_MAX } from '@pangolin/contracts/limits';
import type { ProductRef } from '@pangolin/contracts/output';
import type { ObjectStore } from '@pangolin/storage/object-store';

/** @throws PangolinError INTEGRITY, NOT_FOUND. */
export async function productBytes(store: ObjectStore, product: Pick<ProductRef, 'sha256'>): Promise<Buffer> {
  const bytes = await store.get(casKey(product.sha256), { maxBytes: PATCH_BYTES_MAX });
  if (sha256(bytes) !== product.sha256) throw damaged(product);
  return bytes;
}

/** Writes the product at `path`, replacing what is there; the file appears whole and checked, or not at all. */
export async function saveProduct(store: ObjectStore, product: ProductRef, path: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const partial = `${path}.${process.pid}.partial`;
  const hash = sha256Stream();
  const hashing = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      hash.update(chunk);
      done(null, chunk);
    },
  });
  try {
    await pipeline(await store.getStream(casKey(product.sha256)), hashing, createWriteStream(partial, { flags: 'wx' }));
    if (hash.digest('hex') !== product.sha256) throw damaged(product);
    await rename(partial, path);
  } finally {
    await rm(partial, { force: true });
  }
}

/** `dir/name` for a name that an item made up. @throws PangolinError INVALID for a name that leads elsewhere. */
export function safeJoin(dir: string, name: string): string {
  const parts = name.split('/');
  // eslint-disable-next-line no-control-regex -- no file name of ours holds them
  if (parts.some((part) => part === '' || part === '.' || part === '..' || /[\u0000-\u001f\\]/.test(part))) {
    throw new PangolinError(
      'INVALID',
      `the output name ${JSON.stringify(name.slice(0, 200))} is not a plain relative path`,
      {
        hint: 'Nothing was written under that name.',
      },
    );
  }
  return join(dir, ...parts);
}

function damaged(product: Pick<ProductRef, 'sha256'>): PangolinError {
  return new PangolinError('INTEGRITY', `the storage holds other bytes under sha256:${product.sha256}`, {
    hint: 'The product was changed after it was accepted; `pangolin verify` says what else was.',
  });
}
