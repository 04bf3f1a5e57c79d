/** The files of a task: what it gets before it starts, and what is accepted of what it leaves (law 4). */
import { copyFile, link, mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { isPangolinError, messageOf, PangolinError } from '@pangolin/contracts/errors';
import { sha256, type Sha256 } from '@pangolin/contracts/digest';
import type { Envelope } from '@pangolin/contracts/dsse';
import type { AttemptRef } from '@pangolin/contracts/ids';
import { attemptFile, attemptPrefix, casKey } from '@pangolin/contracts/layout';
import {
  OUTPUT_BYTES_MAX,
  OUTPUT_FILES_MAX,
  OUTPUT_JSON_BYTES_MAX,
  PATCH_BYTES_MAX,
  type Output,
  type ProductRef,
} from '@pangolin/contracts/output';
import type { Reason } from '@pangolin/contracts/reasons';
import { validateOutput } from '@pangolin/contracts/schema';
import { pinsOf } from '@pangolin/contracts/pins';
import type { DispatchManifest, Task } from '@pangolin/contracts/task';
import type { ObjectStore } from '@pangolin/storage/object-store';
import type { Products } from '../store/rows.ts';
import { mapBounded } from '@pangolin/contracts/map-bounded';
import type { Collected } from './transitions.ts';

const PROMOTE_PARALLEL = 8;

export interface Collection extends Collected {
  readonly output: Output | undefined;
  readonly invalid: { readonly reason: Reason; readonly message: string } | undefined;
}

/** What a backend is told of a task's files; see TaskStart. */
export interface LaidOut {
  readonly inDir: string;
  readonly outDir?: string;
  readonly storeDir?: string;
  readonly taskGrant?: { readonly url: string; readonly sha256: Sha256 };
}

/** What a task gets in its `task.json`; the manifest has the digests. */
export interface GivenValues {
  readonly params: Readonly<Record<string, unknown>> | undefined;
  readonly answer: Readonly<Record<string, unknown>> | undefined;
}

export interface TaskFiles {
  /** Manifest field `store`: how tasks reach the store. Absent where it is mounted. */
  readonly store?: DispatchManifest['store'];
  /** Lays out what the task gets. Repeatable. */
  layOut(manifest: DispatchManifest, envelope: Envelope, given: GivenValues): Promise<LaidOut>;
  /** Gives a running task newer grants when its own end soon. */
  renew?(manifest: DispatchManifest): Promise<void>;
  booted(ref: AttemptRef): Promise<boolean>;
  /** Reads the sentinel, checks every digest it names and promotes the products into cas/. Throws only when the storage does not answer. */
  collect(ref: AttemptRef, dispatch: string): Promise<Collection>;
  /** Every task that has an input directory. */
  list(): Promise<readonly string[]>;
  /** Removes what `layOut` made. */
  discard(task: string): Promise<void>;
}

/** On a folder: two directories that are mounted into the task. */
export function createTaskFiles(store: ObjectStore, tasksDir: string): TaskFiles {
  return {
    async layOut(manifest, envelope, { params, answer }) {
      const outDir = store.localPath(attemptPrefix(manifest).slice(0, -1));
      if (outDir === undefined)
        throw new PangolinError('UNSUPPORTED', 'tasks need a storage folder that can be mounted');
      await mkdir(outDir, { recursive: true });
      const inDir = join(tasksDir, manifest.task);
      const inputs = Object.fromEntries(Object.keys(manifest.inputs).map((key) => [key, { path: `inputs/${key}` }]));
      const things = pinsOf(manifest).map(([, digest]) => digest);
      const task: Task = {
        schema: 'task/1',
        manifest: envelope,
        grants: {
          inputs,
          ...(manifest.workspace && { workspace: { path: 'workspace.pack' } }),
          ...(things.length > 0 && {
            things: Object.fromEntries(things.map((digest) => [digest, { path: `things/${digest}` }])),
          }),
        },
        ...(params && { params }),
        ...(answer && { answer }),
      };
      const text = JSON.stringify(task);
      // Written last, so it says that all the rest is there. A worker may be reading it: what is whole is left alone.
      const whole = join(inDir, 'task.json');
      if ((await readFile(whole, 'utf8').catch(() => undefined)) === text) return { inDir, outDir };
      await mkdir(join(inDir, 'inputs'), { recursive: true, mode: 0o700 });
      for (const [key, input] of Object.entries(manifest.inputs))
        await place(store, input.sha256, join(inDir, 'inputs', key));
      for (const digest of things) await place(store, digest, join(inDir, 'things', digest));
      if (manifest.workspace) await place(store, manifest.workspace.sha256, join(inDir, 'workspace.pack'));
      await writeFile(`${whole}.partial`, text);
      await rename(`${whole}.partial`, whole);
      return { inDir, outDir };
    },

    booted: (ref) => isBooted(store, ref),
    collect: (ref, dispatch) => collect(store, ref, dispatch),

    async list() {
      return await readdir(tasksDir).catch(() => []);
    },

    async discard(task) {
      await rm(join(tasksDir, task), { recursive: true, force: true });
    },
  };
}

export async function isBooted(store: ObjectStore, ref: AttemptRef): Promise<boolean> {
  return (await store.head(attemptPrefix(ref) + attemptFile.boot)) !== undefined;
}

/** The same on every store: what an attempt left is in its prefix. */
export async function collect(store: ObjectStore, ref: AttemptRef, dispatch: string): Promise<Collection> {
  const none = { products: { outputs: {} }, partial: false, output: undefined, invalid: undefined } as const;
  const read = await readOutput(store, ref, dispatch);
  if (read === undefined) return none;
  if ('invalid' in read) return { ...none, invalid: read.invalid };
  const { output, bytes } = read;
  try {
    const products = await promote(store, attemptPrefix(ref), output);
    const result = sha256(bytes);
    await store.put(casKey(result), bytes, { sha256: result });
    const isRed = output.blocks.some(({ lens, status }) => lens === 'verify' && status === 'failed');
    const failed = output.blocks.find(({ status, exitCode }) => status === 'failed' && exitCode !== undefined);
    return {
      output,
      invalid: undefined,
      products,
      partial: output.partial || output.status !== 'succeeded',
      result,
      ...(failed?.exitCode !== undefined && { exitCode: failed.exitCode }),
      ...(output.needsInput && { question: output.needsInput }),
      ...(output.resetAt !== undefined && { resetAt: Date.parse(output.resetAt) }),
      ...(isRed && { red: true as const }),
    };
  } catch (error) {
    if (!isOfContent(error)) throw error;
    return {
      ...none,
      invalid: { reason: error.code === 'TOO_LARGE' ? 'OutputTooLarge' : 'ProductInvalid', message: error.message },
    };
  }
}

/** Whether it is about what the attempt left: a store that does not answer or does not let us in says nothing of that. */
function isOfContent(error: unknown): error is PangolinError {
  return isPangolinError(error) && !error.retryable && error.code !== 'DENIED';
}

/** A private name for the bytes of an object: a hard link where the file system has them, else a copy. */
async function place(store: ObjectStore, digest: string, target: string): Promise<void> {
  await mkdir(dirname(target), { recursive: true });
  await rm(target, { force: true });
  const source = store.localPath(casKey(digest));
  if (source === undefined) return writeFile(target, await store.get(casKey(digest)));
  await link(source, target).catch(() => copyFile(source, target));
}

type Read =
  | { readonly output: Output; readonly bytes: Buffer }
  | { readonly invalid: { readonly reason: Reason; readonly message: string } };

async function readOutput(store: ObjectStore, ref: AttemptRef, dispatch: string): Promise<Read | undefined> {
  const invalid = (message: string): Read => ({ invalid: { reason: 'ProductInvalid', message } });
  let bytes: Buffer;
  try {
    bytes = await store.get(attemptPrefix(ref) + attemptFile.output, { maxBytes: OUTPUT_JSON_BYTES_MAX });
  } catch (error) {
    if (isPangolinError(error, 'NOT_FOUND')) return undefined;
    if (!isOfContent(error)) throw error;
    return invalid(`output.json: ${error.message}`);
  }
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString('utf8'));
  } catch (error) {
    return invalid(`output.json is not JSON: ${messageOf(error)}`);
  }
  const problem = validateOutput(value);
  if (problem !== undefined) return invalid(`output.json: ${problem}`);
  const output = value as Output;
  const same =
    output.runId === ref.runId &&
    output.itemId === ref.itemId &&
    output.attempt === ref.attempt &&
    output.manifest === dispatch;
  return same ? { output, bytes } : invalid('output.json is of another attempt');
}

/** Copies every product into cas/ while checking that the attempt's own bytes have the digest that was claimed. */
async function promote(store: ObjectStore, prefix: string, output: Output): Promise<Products> {
  const { patch, outputs } = output.products;
  const entries: [string, ProductRef][] = Object.entries(outputs).map(([path, ref]) => [
    attemptFile.outputs + path,
    ref,
  ]);
  const total = entries.reduce((sum, [, ref]) => sum + ref.size, 0);
  if (entries.length > OUTPUT_FILES_MAX || total > OUTPUT_BYTES_MAX || (patch?.size ?? 0) > PATCH_BYTES_MAX) {
    throw new PangolinError('TOO_LARGE', `products of ${entries.length} files and ${total} bytes exceed the limits`);
  }
  if (patch) entries.push([attemptFile.patch, patch]);
  await mapBounded(entries, PROMOTE_PARALLEL, async ([name, ref]) => {
    const copied = await store.copy(prefix + name, casKey(ref.sha256), { sha256: ref.sha256 });
    if (copied.size !== ref.size)
      throw new PangolinError('INTEGRITY', `${name} has ${copied.size} bytes, not the reported ${ref.size}`);
  });
  return { ...(patch && { patch: { sha256: patch.sha256, size: patch.size } }), outputs };
}
