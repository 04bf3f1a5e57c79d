/** An ObjectStore in a Map, for tests of what stands on the seam. It passes the same conformance suite as the real ones. */
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { sha256 } from '@pangolin/contracts/digest';
import { PangolinError } from '@pangolin/contracts/errors';
import type { ListPage, ObjectInfo, ObjectStore, PutOptions } from '@pangolin/storage/object-store';

export function createMemoryStore(): ObjectStore {
  const objects = new Map<string, Buffer>();
  const info = (key: string, bytes: Buffer): ObjectInfo => ({
    key,
    size: bytes.length,
    etag: sha256(bytes),
    sha256: sha256(bytes),
  });
  const need = (key: string): Buffer => {
    const bytes = objects.get(key);
    if (!bytes) throw new PangolinError('NOT_FOUND', `no object ${key}`);
    return bytes;
  };
  const store: ObjectStore = {
    kind: 'folder',
    location: 'memory',
    async get(key, { maxBytes = 256 * 2 ** 20 } = {}) {
      const bytes = need(key);
      if (bytes.length > maxBytes) throw new PangolinError('TOO_LARGE', `${key} has ${bytes.length} bytes`);
      return Buffer.from(bytes);
    },
    getStream: async (key) => Readable.from([need(key)]),
    head: async (key) => (objects.has(key) ? info(key, objects.get(key)!) : undefined),
    async put(key, body, options: PutOptions = {}) {
      const bytes = body instanceof Readable ? await buffer(body) : Buffer.from(body);
      if (options.sha256 !== undefined && options.sha256 !== sha256(bytes))
        throw new PangolinError('INTEGRITY', `${key} has another digest`);
      const old = objects.get(key);
      if (options.ifAbsent && old) throw new PangolinError('PRECONDITION', `${key} exists`);
      if (options.ifMatch !== undefined && (!old || sha256(old) !== options.ifMatch))
        throw new PangolinError('PRECONDITION', `${key} is another version`);
      objects.set(key, bytes);
      return info(key, bytes);
    },
    async list(prefix, { after, limit = 1000 } = {}): Promise<ListPage> {
      const keys = [...objects.keys()].filter(
        (key) =>
          key.startsWith(prefix) && (after === undefined || Buffer.compare(Buffer.from(key), Buffer.from(after)) > 0),
      );
      keys.sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
      const page = keys.slice(0, limit);
      const last = page.at(-1);
      return {
        objects: page.map((key) => ({ key, size: objects.get(key)!.length })),
        ...(keys.length > limit && last !== undefined && { next: last }),
      };
    },
    async delete(key) {
      objects.delete(key);
    },
    copy: async (from, to, options) => store.put(to, need(from), options),
    watch: async () => async () => {},
    localPath: () => undefined,
  };
  return store;
}
