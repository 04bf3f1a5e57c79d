/** A bundle as a closed set of named files, whatever holds it. */
import type { Sha256 } from '@pangolin/contracts/digest';

export interface BundleFile {
  /** As in contracts/bundle; not checked by the reader. */
  readonly name: string;
  readonly size: number;
}

/** Every method rejects with a Refusal when what holds the bundle is not a plain set of files. */
export interface BundleReader {
  /** Every file, once, in any order. */
  list(): Promise<readonly BundleFile[]>;
  /** The bytes of a listed file, in a buffer of the caller's own. */
  read(name: string): Promise<Buffer>;
  /** SHA-256 of a listed file, without holding it in memory where that can be avoided. */
  digest(name: string): Promise<Sha256>;
}
