/**
 * The files of a task on a store that cannot be mounted: it gets grants, and what it leaves is promoted from the store.
 * A task of this machine finds task.json in a directory here; one that runs elsewhere reads it from the store.
 *
 *     <tasksDir>/<task>/task.json      what the task was given first; never changed, so that a start can be repeated
 *     <tasksDir>/<task>/grants.json    newer grants, for a task of this machine
 *     <tasksDir>/<task>/address.json   of a task that runs elsewhere: URL and digest of its task.json
 */
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { sha256 } from '@pangolin/contracts/digest';
import { attemptFile, attemptPrefix, casKey, taskKey } from '@pangolin/contracts/layout';
import { OBJECT_BYTES_MAX } from '@pangolin/contracts/limits';
import { pinsOf } from '@pangolin/contracts/pins';
import type { DispatchManifest, Grants, Task } from '@pangolin/contracts/task';
import { formatTime } from '@pangolin/contracts/units';
import type { Grantor, ObjectStore } from '@pangolin/storage/object-store';
import { collect, isBooted, type LaidOut, type TaskFiles } from './task-files.ts';

/** A task looks for newer grants with this one, however long it has waited; the store ends no signature later. */
const LOOK_SECONDS = 7 * 24 * 3600;
/** Signing anew for less than this is not worth while. */
const GAIN_MS = 60_000;

export interface GrantedTaskFilesOptions {
  readonly store: ObjectStore;
  readonly grantor: Grantor;
  readonly tasksDir: string;
  /** Directory with `store.sock`, of tasks that run here. Without it they run elsewhere and reach the store by themselves. */
  readonly storeDir: string | undefined;
  /** Life of a grant, as far as the credentials last. */
  readonly lifeSeconds: number;
  readonly now: () => number;
}

export function createGrantedTaskFiles(options: GrantedTaskFilesOptions): TaskFiles {
  const { store, grantor, tasksDir, storeDir, now } = options;
  const dirOf = (task: string): string => join(tasksDir, task);
  /** When the newest grants of a task end. What an earlier controller gave is not known, so newer ones are given at once. */
  const ends = new Map<string, number>();

  return {
    store: storeDir === undefined ? 'network' : 'socket',

    async layOut(manifest, envelope, { params, answer }): Promise<LaidOut> {
      const inDir = dirOf(manifest.task);
      await mkdir(inDir, { recursive: true, mode: 0o700 });
      const whole = join(inDir, 'task.json');
      // A worker may be reading it, and a backend compares a repeated start with the first: it stays what it is.
      let text = await readFile(whole, 'utf8').catch(() => undefined);
      if (text === undefined) {
        const grants = await issue(options, manifest);
        ends.set(manifest.task, Date.parse(grants.expiresAt!));
        const values = { ...(params && { params }), ...(answer && { answer }) };
        const task: Task = { schema: 'task/1', manifest: envelope, grants, ...values };
        text = JSON.stringify(task);
        await writeWhole(whole, text);
      }
      if (storeDir !== undefined) return { inDir, storeDir };
      return { inDir, taskGrant: await address(options, manifest.task, text) };
    },

    async renew(manifest) {
      const { task } = manifest;
      const end = ends.get(task) ?? 0;
      if (end - now() > (options.lifeSeconds * 1000) / 2) return;
      const { at } = await grantor.expiry(options.lifeSeconds);
      if (at.getTime() - end < Math.min(GAIN_MS, options.lifeSeconds * 100)) return;
      const grants = await issue(options, manifest);
      const text = JSON.stringify(grants);
      if (storeDir === undefined) await store.put(taskKey(task, 'grants.json'), text);
      else await writeWhole(join(dirOf(task), 'grants.json'), text);
      ends.set(task, Date.parse(grants.expiresAt!));
    },

    booted: (ref) => isBooted(store, ref),
    collect: (ref, dispatch) => collect(store, ref, dispatch),

    async list() {
      return await readdir(tasksDir).catch(() => []);
    },

    async discard(task) {
      ends.delete(task);
      if (storeDir === undefined) {
        await store.delete(taskKey(task, 'task.json'));
        await store.delete(taskKey(task, 'grants.json'));
      }
      await rm(dirOf(task), { recursive: true, force: true });
    },
  };
}

/** Exactly what the manifest lists, and the attempt's own prefix. */
async function issue(options: GrantedTaskFilesOptions, manifest: DispatchManifest): Promise<Grants> {
  const { grantor } = options;
  const { seconds, at } = await grantor.expiry(options.lifeSeconds);
  const prefix = attemptPrefix(manifest);
  const read = async (key: string): Promise<{ url: string }> => ({ url: await grantor.read(key, seconds) });
  const inputs = await Promise.all(
    Object.entries(manifest.inputs).map(async ([key, input]) => [key, await read(casKey(input.sha256))] as const),
  );
  const pins = pinsOf(manifest).map(([, digest]) => digest);
  const things = await Promise.all(pins.map(async (digest) => [digest, await read(casKey(digest))] as const));
  return {
    ...(manifest.workspace && { workspace: await read(casKey(manifest.workspace.sha256)) }),
    inputs: Object.fromEntries(inputs),
    ...(things.length > 0 && { things: Object.fromEntries(things) }),
    attempt: {
      boot: await grantor.create(prefix + attemptFile.boot, seconds),
      bootRead: await read(prefix + attemptFile.boot),
      files: await grantor.write(prefix, seconds, OBJECT_BYTES_MAX),
    },
    expiresAt: formatTime(at.getTime()),
    renewed:
      options.storeDir === undefined
        ? {
            url: await grantor.read(
              taskKey(manifest.task, 'grants.json'),
              (await grantor.expiry(LOOK_SECONDS)).seconds,
            ),
          }
        : { path: 'grants.json' },
  };
}

/** The same one for as long as it holds: a backend may compare a repeated start with the first. */
async function address(
  { store, grantor, tasksDir, now }: GrantedTaskFilesOptions,
  task: string,
  text: string,
): Promise<{ readonly url: string; readonly sha256: string }> {
  const file = join(tasksDir, task, 'address.json');
  const known = await readFile(file, 'utf8').catch(() => undefined);
  if (known !== undefined) {
    const { end, ...rest } = JSON.parse(known) as { url: string; sha256: string; end: number };
    if (end > now()) return rest;
  }
  await store.put(taskKey(task, 'task.json'), text);
  const { seconds, at } = await grantor.expiry(LOOK_SECONDS);
  const made = { url: await grantor.read(taskKey(task, 'task.json'), seconds), sha256: sha256(text) };
  await writeWhole(file, JSON.stringify({ ...made, end: at.getTime() }));
  return made;
}

async function writeWhole(path: string, text: string): Promise<void> {
  await writeFile(`${path}.partial`, text, { mode: 0o600 });
  await rename(`${path}.partial`, path);
}
