/**
 * Registered things: content in cas/, and per name one object that lists its versions, oldest first.
 *
 *     registry/pipeline/dev.build.json
 *     {"kind":"pipeline","name":"dev.build","schema":"registry/1","versions":[{"actor":"human:ada","at":"2026-…Z","sha256":"…"}]}
 */
import { canonicalBytes, parseCanonical } from '@pangolin/contracts/canonical';
import { isSha256, parseDigest, sha256, type Sha256 } from '@pangolin/contracts/digest';
import { isPangolinError, PangolinError } from '@pangolin/contracts/errors';
import { isId } from '@pangolin/contracts/ids';
import { casKey, registryKey } from '@pangolin/contracts/layout';
import type { ThingKind } from '@pangolin/contracts/things';
import { formatTime } from '@pangolin/contracts/units';
import type { ObjectStore } from './object-store.ts';

export interface ThingVersion {
  readonly sha256: Sha256;
  /** RFC 3339. */
  readonly at: string;
  readonly actor: string;
}

export interface Thing {
  readonly schema: 'registry/1';
  readonly kind: ThingKind;
  readonly name: string;
  /** Never empty; the last one is what the name means now. */
  readonly versions: readonly ThingVersion[];
}

/** Versions kept of one name: the oldest leave the list first. Their content stays in cas/. */
export const VERSIONS_MAX = 1000;
const RECORD_BYTES_MAX = 2 ** 20;
/** Writers of one name that may come in between before the last one gives up. */
const TRIES = 10;

/**
 * Makes `bytes` (canonical JSON) the current version of the name. Registering the current version again changes nothing.
 * @throws PangolinError INVALID for a name that is no id; CONFLICT when others keep registering the same name.
 */
export async function registerThing(
  store: ObjectStore,
  kind: ThingKind,
  name: string,
  bytes: Uint8Array,
  actor: string,
  now: number,
): Promise<{ readonly thing: Thing; readonly version: ThingVersion; readonly changed: boolean }> {
  if (!isId(name) || name.includes('@')) {
    throw new PangolinError('INVALID', 'a registered name is an id without `@`', { hint: 'For example dev.build.' });
  }
  const digest = sha256(bytes);
  await putContent(store, digest, bytes);
  for (let attempt = 0; attempt < TRIES; attempt += 1) {
    const found = await read(store, kind, name);
    const current = found?.thing.versions.at(-1);
    if (found && current?.sha256 === digest) return { thing: found.thing, version: current, changed: false };
    const version = { sha256: digest, at: formatTime(now), actor };
    const versions = [...(found?.thing.versions ?? []), version].slice(-VERSIONS_MAX);
    const thing: Thing = { schema: 'registry/1', kind, name, versions };
    try {
      const only = found ? { ifMatch: found.etag } : { ifAbsent: true };
      await store.put(registryKey(kind, name), canonicalBytes(thing), only);
      return { thing, version, changed: true };
    } catch (error) {
      if (!isPangolinError(error, 'PRECONDITION')) throw error;
    }
  }
  throw new PangolinError('CONFLICT', `others keep registering ${kind} ${name}`, { hint: 'Try again.' });
}

/**
 * The digest of `name` (its current version) or of `name@sha256:<hex>` (that one, if it was registered under the name).
 * Undefined when there is none. @throws PangolinError INTEGRITY for a record that is not one of ours.
 */
export async function resolveThing(store: ObjectStore, kind: ThingKind, ref: string): Promise<Sha256 | undefined> {
  const at = ref.lastIndexOf('@');
  const name = at === -1 ? ref : ref.slice(0, at);
  const wanted = at === -1 ? undefined : parseDigest(ref.slice(at + 1));
  if (!isId(name) || (at !== -1 && wanted === undefined)) return undefined;
  const versions = (await read(store, kind, name))?.thing.versions;
  const version = wanted === undefined ? versions?.at(-1) : versions?.find((each) => each.sha256 === wanted);
  return version?.sha256;
}

/** Its record, or undefined. */
export async function showThing(store: ObjectStore, kind: ThingKind, name: string): Promise<Thing | undefined> {
  return isId(name) ? (await read(store, kind, name))?.thing : undefined;
}

/** By name. */
export async function listThings(store: ObjectStore, kind: ThingKind): Promise<Thing[]> {
  const things: Thing[] = [];
  const prefix = registryKey(kind, '').replace(/\.json$/, '');
  for (let after: string | undefined; ;) {
    const page = await store.list(prefix, after === undefined ? {} : { after });
    for (const { key } of page.objects) {
      const found = await readKey(store, key);
      if (found) things.push(found.thing);
    }
    after = page.next;
    if (after === undefined) return things.sort((a, b) => (a.name < b.name ? -1 : 1));
  }
}

/**
 * The content of a version, checked against its digest.
 * @throws PangolinError NOT_FOUND, INTEGRITY.
 */
export async function thingBytes(store: ObjectStore, digest: Sha256): Promise<Buffer> {
  const bytes = await store.get(casKey(digest));
  if (sha256(bytes) !== digest) throw new PangolinError('INTEGRITY', `cas/ holds other bytes under sha256:${digest}`);
  return bytes;
}

async function putContent(store: ObjectStore, digest: Sha256, bytes: Uint8Array): Promise<void> {
  try {
    await store.put(casKey(digest), bytes, { ifAbsent: true, sha256: digest });
  } catch (error) {
    if (!isPangolinError(error, 'PRECONDITION')) throw error;
  }
}

function read(store: ObjectStore, kind: ThingKind, name: string): ReturnType<typeof readKey> {
  return readKey(store, registryKey(kind, name));
}

async function readKey(store: ObjectStore, key: string): Promise<{ thing: Thing; etag: string } | undefined> {
  // The version first: a record that changes after this fails the conditional write that follows.
  const info = await store.head(key);
  if (!info) return undefined;
  const value = parseCanonical(await store.get(key, { maxBytes: RECORD_BYTES_MAX }));
  if (!isThing(value)) throw new PangolinError('INTEGRITY', `${key} is no registry record`);
  return { thing: value, etag: info.etag };
}

function isThing(value: unknown): value is Thing {
  const thing = value as Partial<Thing> | null;
  return (
    typeof thing === 'object' &&
    thing?.schema === 'registry/1' &&
    typeof thing.name === 'string' &&
    Array.isArray(thing.versions) &&
    thing.versions.length > 0 &&
    thing.versions.every((version: ThingVersion | null) => isSha256(version?.sha256))
  );
}
