/** What an anchor holds of one run, as its server tells it. */
import type { TrustedAnchor } from '@pangolin/contracts/trust';

export interface AnchorVersion {
  readonly versionId: string;
  readonly deleteMarker: boolean;
}

export interface LockedObject {
  readonly body: Buffer;
  /** `COMPLIANCE` is the only mode that binds the owner of the bucket too. */
  readonly lockMode: string | undefined;
  /** Milliseconds since 1970. */
  readonly retainUntil: number | undefined;
  readonly lastModified: number | undefined;
}

/** Every method rejects with PangolinError UNAVAILABLE or DENIED when the server does not answer as it should. */
export interface AnchorReader {
  /** Every version of exactly this key, the oldest first. */
  versions(key: string): Promise<readonly AnchorVersion[]>;
  /** Undefined when it is longer than a seal may be, or compressed: then it is none. */
  get(key: string, versionId: string): Promise<LockedObject | undefined>;
}

/** What an anchor holds of a whole deployment. Rejects as AnchorReader does. */
export interface AnchorArchive extends Pick<AnchorReader, 'get'> {
  /** Every version of every key that begins so, but for delete markers. */
  keys(prefix: string): AsyncIterable<{ readonly key: string; readonly versionId: string }>;
}

export type OpenAnchor = (anchor: TrustedAnchor) => AnchorReader;
