/** Listing a folder in the order of its keys, opening only directories that can hold a key of the page. */
import { isUtf8 } from 'node:buffer';
import { readdir } from 'node:fs/promises';
import { directoryOf, inDirectory, nameOf, sizeIn } from './folder-files.ts';
import { isMissing } from './fs-errors.ts';
import { compareKeys, isKey } from './keys.ts';
import type { ListPage } from './object-store.ts';

/** One directory entry that is a key, or the start of keys when it ends with `/`. */
interface Entry {
  readonly key: string;
  readonly order: Buffer;
}

export async function listFolder(
  root: string,
  prefix: string,
  after: string | undefined,
  limit: number,
): Promise<ListPage> {
  const keys: string[] = [];
  for await (const key of walk(root, directoryOf(prefix), prefix, after)) {
    // One more than asked for tells whether there is a next page.
    if (keys.push(key) > limit) break;
  }
  const last = keys.length > limit ? keys[limit - 1] : undefined;
  const objects = await withSizes(root, keys.slice(0, limit));
  return last === undefined ? { objects } : { objects, next: last };
}

async function* walk(
  root: string,
  dir: string,
  prefix: string,
  after: string | undefined,
): AsyncGenerator<string, void, undefined> {
  for (const { key } of await entriesOf(root, dir)) {
    const isDirectory = key.endsWith('/');
    if (!key.startsWith(prefix) && !(isDirectory && prefix.startsWith(key))) continue;
    // A directory that `after` lies in is opened; any other directory or file is wholly before or after it.
    if (after !== undefined && !(isDirectory && after.startsWith(key)) && compareKeys(key, after) <= 0) continue;
    if (isDirectory) yield* walk(root, key, prefix, after);
    else yield key;
  }
}

/**
 * Sorted so that walking them in turn yields ascending keys: `a-b` (2D) comes before what is in `a/` (2F).
 * Left out: links, pipes, sockets and devices, which are no objects, and names that no key can have.
 */
async function entriesOf(root: string, dir: string): Promise<Entry[]> {
  try {
    return await inDirectory(root, dir, { create: false }, async ({ path }) => {
      const entries: Entry[] = [];
      for (const entry of await readdir(path, { withFileTypes: true, encoding: 'buffer' })) {
        if (!isUtf8(entry.name) || !(entry.isFile() || entry.isDirectory())) continue;
        const key = `${dir}${entry.name.toString()}`;
        if (!isKey(key)) continue;
        const named = entry.isDirectory() ? `${key}/` : key;
        entries.push({ key: named, order: Buffer.from(named) });
      }
      return entries.sort((a, b) => Buffer.compare(a.order, b.order));
    });
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
}

/** What was removed since its directory was read is left out. */
async function withSizes(root: string, keys: readonly string[]): Promise<{ key: string; size: number }[]> {
  const sizes = new Map<string, number>();
  for (const [dir, group] of Map.groupBy(keys, directoryOf)) {
    await inDirectory(root, dir, { create: false }, async (directory) => {
      const found = await Promise.all(group.map((key) => sizeIn(directory, nameOf(key))));
      group.forEach((key, i) => {
        const size = found[i];
        if (size !== undefined) sizes.set(key, size);
      });
    }).catch((error: unknown) => {
      if (!isMissing(error)) throw error;
    });
  }
  return keys.flatMap((key) => {
    const size = sizes.get(key);
    return size === undefined ? [] : [{ key, size }];
  });
}
