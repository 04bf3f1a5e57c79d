/**
 * The storage seam. Two implementations (folder, S3) pass one conformance suite.
 * Keys are the ones of contracts/layout: relative, `/`-separated, no empty, `.` or `..` segment;
 * anything else is refused with PangolinError INVALID before it reaches a disk or a server.
 */
import type { Readable } from 'node:stream';
import type { Sha256 } from '@pangolin/contracts/digest';
import type { PostGrant, RequestGrant } from '@pangolin/contracts/task';

export interface ObjectInfo {
  readonly key: string;
  readonly size: number;
  /** Opaque; equal exactly when the content version is the same. For `ifMatch`. */
  readonly etag: string;
  /** SHA-256 that the store itself vouches for: computed from the bytes it holds, not from what the writer said. */
  readonly sha256: Sha256;
}

export interface PutOptions {
  /** Create only: an existing object is PangolinError PRECONDITION and stays as it is. */
  readonly ifAbsent?: boolean;
  /** Replace only this version: anything else there is PangolinError PRECONDITION. */
  readonly ifMatch?: string;
  /** The bytes must have this digest, else PangolinError INTEGRITY and nothing is stored. */
  readonly sha256?: Sha256;
}

export interface ListPage {
  /** Ascending by UTF-8 bytes of the key. `size` only: a listing computes no digests. */
  readonly objects: readonly { readonly key: string; readonly size: number }[];
  /** Pass as `after` for the next page; absent on the last. */
  readonly next?: string;
}

/**
 * Signs single requests, so that a task reaches what it needs and holds no credential. Makes no request to the store,
 * which checks the right of the signer when a grant is used.
 * @throws PangolinError DENIED when there are no credentials to sign with; INVALID for a malformed key
 */
export interface Grantor {
  /** Where all of these requests go. */
  target(): Promise<GrantTarget>;
  /** What of a lifetime the present credentials can give: their own end limits it. */
  expiry(seconds: number): Promise<{ readonly seconds: number; readonly at: Date }>;
  /** Reads one object, whatever version it has then: the reader checks the digest. */
  read(key: string, seconds: number): Promise<string>;
  /** Creates one object; the store refuses it when it exists. */
  create(key: string, seconds: number): Promise<RequestGrant>;
  /** Writes any number of objects below `prefix`, which ends with `/`, each of at most `maxBytes`. */
  write(prefix: string, seconds: number, maxBytes: number): Promise<PostGrant>;
}

export interface GrantTarget {
  /** `scheme://host:port`. */
  readonly origin: string;
  /** The path of a `read` or `create` starts with it, that of a `write` is `formPath`. */
  readonly prefixPath: string;
  readonly formPath: string;
  /** PEM certificates that the host's certificate is checked with; those of Node when absent. */
  readonly ca?: Buffer;
}

export interface RetryTokens {
  readonly left: number;
  readonly max: number;
}

export interface ObjectStore {
  /** `folder` stores can be mounted into tasks: see `localPath`. */
  readonly kind: 'folder' | 's3';
  /** For people: the folder or s3:// URL. */
  readonly location: string;

  /** The whole object. @throws PangolinError NOT_FOUND; TOO_LARGE above `maxBytes` (default 256 MiB). */
  get(key: string, options?: { readonly maxBytes?: number }): Promise<Buffer>;
  /** @throws PangolinError NOT_FOUND */
  getStream(key: string): Promise<Readable>;
  /** Size, etag and digest, or undefined. */
  head(key: string): Promise<ObjectInfo | undefined>;
  /** Atomic and durable when it returns: a reader sees the old object or the new one, also after a power loss. */
  put(key: string, body: Uint8Array | string | Readable, options?: PutOptions): Promise<ObjectInfo>;
  /** Keys that start with `prefix`, after the key `after`, at most `limit` (default 1000). */
  list(prefix: string, options?: { readonly after?: string; readonly limit?: number }): Promise<ListPage>;
  /** Idempotent: deleting what is not there succeeds. */
  delete(key: string): Promise<void>;
  /** Server-side where possible. The source may be written by an untrusted worker: with `sha256`, the bytes that arrive are checked. */
  copy(from: string, to: string, options?: PutOptions): Promise<ObjectInfo>;
  /** Calls back (coalesced) when something under one of the prefixes may have changed. A hint: the caller lists. Returns stop. */
  watch(prefixes: readonly string[], onChange: (prefix: string) => void): Promise<() => Promise<void>>;
  /** Absolute path of a key on this machine; undefined for remote stores. The file need not exist. */
  localPath(key: string): string | undefined;
  /** How tasks reach a store that cannot be mounted. */
  readonly grantor?: Grantor;
  /** What is left of the budget for trying requests again, and all of it. Without a network there is none. */
  retryTokens?(): Promise<RetryTokens>;
}
