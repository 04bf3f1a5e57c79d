/**
 * What anchors answered somebody who could reach them, for an auditor who cannot: canonical JSON of AnchorSnapshot. Nobody
 * signs it, a bucket least of all, so it shows what is wrong with a bundle and never that a bucket keeps it: the check runs
 * over it as over the bucket, and the guarantee stays what it is without.
 */
import { isUtf8 } from 'node:buffer';
import { canonicalBytes } from '@pangolin/contracts/canonical';
import { decodeBase64 } from '@pangolin/contracts/dsse';
import { PangolinError } from '@pangolin/contracts/errors';
import type { TrustedAnchor } from '@pangolin/contracts/trust';
import { formatTime } from '@pangolin/contracts/units';
import { array, count, is, literal, object, text, time } from '../shape.ts';
import { parseStrict } from '../strict-json.ts';
import { Refusal } from '../refusal.ts';
import type { AnchorReader, LockedObject, OpenAnchor } from './anchor.ts';

const SNAPSHOT_SCHEMA = 'pangolin-anchor-snapshot/1';
export const SNAPSHOT_BYTES_MAX = 256 * 2 ** 20;

export interface AnchorSnapshot {
  readonly schema: typeof SNAPSHOT_SCHEMA;
  readonly takenAt: string;
  /** Each key that was asked for. */
  readonly listings: readonly {
    /** `<endpoint or region>/<bucket>`. */
    readonly anchor: string;
    readonly key: string;
    /** The oldest first. */
    readonly versions: readonly SnapshotVersion[];
  }[];
}

interface SnapshotVersion {
  readonly versionId: string;
  readonly deleteMarker: boolean;
  /** Absent where the server's answer was no seal by its size or encoding, and for delete markers. */
  readonly object?: {
    /** Base64. */
    readonly body: string;
    readonly lockMode?: string;
    /** Milliseconds since 1970. */
    readonly retainUntil?: number;
    readonly lastModified?: number;
  };
}

const base64 = is('base64', (value) => decodeBase64(value) !== undefined);
const shape = object({
  schema: literal(SNAPSHOT_SCHEMA),
  takenAt: time,
  listings: array(
    object({
      anchor: text(2000),
      key: text(2000),
      versions: array(
        object({
          versionId: text(2000),
          deleteMarker: literal(true, false),
          'object?': object({ body: base64, 'lockMode?': text(100), 'retainUntil?': count, 'lastModified?': count }),
        }),
        { max: 20_000 },
      ),
    }),
    { max: 1000 },
  ),
});

const nameOf = ({ endpoint, region, bucket }: TrustedAnchor): string => `${endpoint ?? region}/${bucket}`;

/** Opens anchors and keeps what they answer. `bytes`: the snapshot of all that was asked. @param at milliseconds since 1970. */
export function recording(open: OpenAnchor, at: number): { readonly open: OpenAnchor; readonly bytes: () => Buffer } {
  const listings: { anchor: string; key: string; versions: SnapshotVersion[] }[] = [];
  return {
    open: (anchor) => {
      const reader = open(anchor);
      return {
        versions: async (key) => {
          const versions = await reader.versions(key);
          listings.push({ anchor: nameOf(anchor), key, versions: versions.map((each) => ({ ...each })) });
          return versions;
        },
        get: async (key, versionId) => {
          const found = await reader.get(key, versionId);
          const versions = listings.findLast((each) => each.key === key && each.anchor === nameOf(anchor))?.versions;
          const place = versions?.findIndex((each) => each.versionId === versionId) ?? -1;
          if (found && place >= 0) versions![place] = { ...versions![place]!, ...written(found) };
          return found;
        },
      };
    },
    bytes: () =>
      canonicalBytes({ schema: SNAPSHOT_SCHEMA, takenAt: formatTime(at), listings } satisfies AnchorSnapshot),
  };
}

function written({ body, lockMode, retainUntil, lastModified }: LockedObject): Pick<SnapshotVersion, 'object'> {
  return {
    object: {
      body: body.toString('base64'),
      ...(lockMode !== undefined && { lockMode }),
      ...(retainUntil !== undefined && { retainUntil }),
      ...(lastModified !== undefined && { lastModified }),
    },
  };
}

/** @throws PangolinError INVALID unless `bytes` are a snapshot. */
export function readSnapshot(bytes: Buffer): AnchorSnapshot {
  const invalid = (why: string) =>
    new PangolinError('INVALID', `the snapshot of the anchors cannot be used: ${why}`, {
      hint: 'Have it made again with --anchor live --anchor-snapshot FILE.',
    });
  if (bytes.length > SNAPSHOT_BYTES_MAX || !isUtf8(bytes)) throw invalid('it is too long or not UTF-8');
  try {
    const value = parseStrict('it', bytes.toString('utf8'));
    const problem = shape(value);
    if (problem !== undefined) throw invalid(`snapshot${problem}`);
    return value as AnchorSnapshot;
  } catch (error) {
    if (error instanceof Refusal) throw invalid(error.message);
    throw error;
  }
}

/** Answers as the anchors did; what nobody asked for when it was taken is not to be had. */
export function openSnapshot({ listings, takenAt }: AnchorSnapshot): OpenAnchor {
  return (anchor): AnchorReader => {
    const versionsOf = (key: string): readonly SnapshotVersion[] => {
      const listing = listings.find((each) => each.anchor === nameOf(anchor) && each.key === key);
      if (listing) return listing.versions;
      throw new PangolinError('UNAVAILABLE', `the snapshot of ${takenAt} is of other runs or buckets`);
    };
    return {
      versions: async (key) => versionsOf(key).map(({ versionId, deleteMarker }) => ({ versionId, deleteMarker })),
      get: async (key, versionId) => {
        const found = versionsOf(key).find((each) => each.versionId === versionId)?.object;
        if (!found) return undefined;
        const { body, lockMode, retainUntil, lastModified } = found;
        return { body: decodeBase64(body)!, lockMode, retainUntil, lastModified };
      },
    };
  };
}
