/** What an auditor has of a log: a copy of `log/`, or of the whole storage prefix, and bundles of its runs. */
import { constants } from 'node:fs';
import { open, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { bundleFile } from '@pangolin/contracts/bundle';
import { isPangolinError, messageOf, PangolinError } from '@pangolin/contracts/errors';
import {
  checkpointAnchorPrefix,
  EVENTS_BYTES_MAX,
  HEADS_BYTES_MAX,
  LOG,
  RUNS,
  SEAL_BYTES_MAX,
  sealAnchorPrefix,
} from '@pangolin/contracts/layout';
import type { AnchorArchive } from '../anchor/anchor.ts';
import { openBundle } from '../readers/open.ts';
import { Refusal } from '../refusal.ts';
import type { Found, LogSources } from './check-log.ts';

export interface LogCopy {
  /** A copy of `log/`, or one that holds `log/`, and then maybe `runs/` as well. */
  readonly dir: string;
  /** Directories, archives and documents. */
  readonly bundles: readonly string[];
  /** Whether the bundles are of every run; those of a copied `runs/` are. */
  readonly complete: boolean;
  /** To look into, by what people call them. */
  readonly anchors: readonly { readonly place: string; readonly prefix: string; readonly archive: AnchorArchive }[];
}

/** @throws PangolinError NOT_FOUND when there is no log in the directory, or no bundle at a path. */
export async function openLogCopy({ dir, bundles, complete, anchors }: LogCopy, origin: string): Promise<LogSources> {
  const whole = (await isDirectory(join(dir, LOG))) || (await isDirectory(join(dir, RUNS)));
  if (!whole && !(await isDirectory(dir))) {
    throw new PangolinError('NOT_FOUND', `there is no directory ${dir}`, {
      hint: 'Name a copy of log/ of the storage, or of the storage with log/ and runs/.',
    });
  }
  const runs = whole ? await runFolders(join(dir, RUNS)) : undefined;
  const at = (key: string): string => join(dir, whole ? key : key.slice(LOG.length));
  const unsealed: string[] = [];
  const seals = async function* (): AsyncGenerator<Found> {
    for (const [name, read] of [
      ...(runs ?? []).map((run) => [run, () => sealedRun(dir, run)] as const),
      ...bundles.map((path) => [path, () => readSealOf(path)] as const),
    ]) {
      const found = await read();
      if (found) yield found;
      else unsealed.push(name);
    }
  };
  const heads = async function* (): AsyncGenerator<Found> {
    for (const run of runs ?? []) {
      const found = await inRun(dir, run, 'heads.jsonl', HEADS_BYTES_MAX);
      if (found) yield found;
    }
  };
  const unreachable = new Map<string, string>();
  const anchoredCheckpoints: string[] = [];
  for await (const { bytes } of inAnchors(anchors, checkpointAnchorPrefix(origin), unreachable)) {
    anchoredCheckpoints.push(bytes.toString('utf8'));
  }
  return {
    get: (key, bytesMax) => readPlain(at(key), bytesMax),
    seals: seals(),
    unsealed,
    complete: complete || runs !== undefined,
    heads: heads(),
    anchoredSeals: inAnchors(anchors, sealAnchorPrefix(origin), unreachable),
    anchoredCheckpoints,
    unreachable,
  };
}

const isDirectory = (path: string): Promise<boolean> => stat(path).then((found) => found.isDirectory(), () => false); // prettier-ignore

/** By the names that they have there; undefined when the copy has no runs. */
async function runFolders(dir: string): Promise<string[] | undefined> {
  if (!(await isDirectory(dir))) return undefined;
  const entries = await readdir(dir, { withFileTypes: true });
  return entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
}

async function sealedRun(dir: string, run: string): Promise<Found | undefined> {
  const found = await inRun(dir, run, 'seal.sigstore.json', SEAL_BYTES_MAX);
  const events = async () => (await inRun(dir, run, 'events.jsonl', EVENTS_BYTES_MAX))?.bytes;
  return found && { ...found, events };
}

async function inRun(dir: string, run: string, name: string, bytesMax: number): Promise<Found | undefined> {
  const place = `${RUNS}${run}/evidence/${name}`;
  const bytes = await readPlain(join(dir, place), bytesMax);
  return bytes && { place, bytes };
}

/** Undefined for a run that is not sealed. What is no bundle holds no seal that could be read. */
async function readSealOf(path: string): Promise<Found | undefined> {
  const { reader, close } = await openBundle(path);
  try {
    const names = new Set((await reader.list()).map(({ name }) => name));
    if (!names.has(bundleFile.seal)) return undefined;
    return { place: path, bytes: await reader.read(bundleFile.seal), events: () => readEventsOf(path) };
  } catch (error) {
    if (error instanceof Refusal) return { place: path, bytes: Buffer.alloc(0) };
    throw error;
  } finally {
    await close();
  }
}

/** Opened again: of many bundles one log at a time is held. */
async function readEventsOf(path: string): Promise<Buffer> {
  const { reader, close } = await openBundle(path);
  try {
    return await reader.read(bundleFile.events);
  } catch (error) {
    if (error instanceof Refusal) return Buffer.alloc(0);
    throw error;
  } finally {
    await close();
  }
}

/** Undefined when it is not there. @throws PangolinError INVALID for what is no plain file of that size. */
async function readPlain(path: string, bytesMax: number): Promise<Buffer | undefined> {
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK).catch(
    (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return undefined;
      throw new PangolinError('INVALID', `${path} cannot be read: ${messageOf(error)}`, { cause: error });
    },
  );
  if (!file) return undefined;
  try {
    const found = await file.stat();
    if (!found.isFile() || found.size > bytesMax) throw new PangolinError('INVALID', `${path} is no plain file of at most ${bytesMax} bytes`); // prettier-ignore
    return await file.readFile();
  } finally {
    await file.close();
  }
}

/** One that does not answer is left out from then on, and `unreachable` says why. */
async function* inAnchors(
  anchors: LogCopy['anchors'],
  prefix: string,
  unreachable: Map<string, string>,
): AsyncGenerator<Found> {
  for (const { place, prefix: own, archive } of anchors) {
    if (unreachable.has(place)) continue;
    try {
      for await (const { key, versionId } of archive.keys(own + prefix)) {
        const object = await archive.get(key, versionId);
        if (object) yield { place: `${place} at ${key}`, bytes: object.body };
      }
    } catch (error) {
      if (!isPangolinError(error)) throw error;
      unreachable.set(place, messageOf(error));
    }
  }
}
