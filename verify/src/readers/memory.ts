/** Bundles that are in memory: the single JSON document, and whatever tests make. */
import { isUtf8 } from 'node:buffer';
import { BUNDLE_DOCUMENT_BYTES_MAX, type BundleDocument } from '@pangolin/contracts/bundle';
import { sha256 } from '@pangolin/contracts/digest';
import { decodeBase64 } from '@pangolin/contracts/dsse';
import type { BundleReader } from '../bundle-reader.ts';
import { quote, refuse } from '../refusal.ts';
import { isObject, object, record } from '../shape.ts';
import { parseStrict } from '../strict-json.ts';

export function memoryReader(files: ReadonlyMap<string, Buffer>): BundleReader {
  const get = (name: string): Buffer => files.get(name) ?? refuse(`${quote(name)} is not in the bundle`);
  return {
    list: async () => [...files].map(([name, bytes]) => ({ name, size: bytes.length })),
    read: async (name) => Buffer.from(get(name)),
    digest: async (name) => sha256(get(name)),
  };
}

const shape = object({
  files: record(
    () => true,
    (value) => (typeof value === 'string' ? undefined : object({ base64: () => undefined })(value)),
  ),
});

/** @throws Refusal unless `bytes` are the one canonical document of a set of files (contracts/bundle). */
export function readDocument(bytes: Buffer): Map<string, Buffer> {
  // Base64 adds a third, escapes in JSON at most five sixths; beyond that the files are too large anyway.
  if (bytes.length > 6 * BUNDLE_DOCUMENT_BYTES_MAX) refuse('the bundle is too large for one JSON document');
  if (!isUtf8(bytes)) refuse('the bundle is not UTF-8');
  const value = parseStrict('the bundle', bytes.toString('utf8'));
  const problem = shape(value);
  if (problem !== undefined) refuse(`the bundle${problem}`);
  const files = new Map<string, Buffer>();
  for (const [name, content] of Object.entries((value as BundleDocument).files)) {
    files.set(name, isObject(content) ? readBinary(name, content.base64) : Buffer.from(content as string, 'utf8'));
  }
  return files;
}

/** Bytes that are UTF-8 are written as text, so base64 of them would be a second encoding of the same bundle. */
function readBinary(name: string, encoded: unknown): Buffer {
  const bytes = decodeBase64(encoded) ?? refuse(`${quote(name)} is not base64`);
  if (isUtf8(bytes)) refuse(`${quote(name)} is text in base64`);
  return bytes;
}
