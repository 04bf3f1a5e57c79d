/** Stage: from the assignment to a directory in which blocks can run. */
import { lstat, mkdir, readdir, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { canonical, canonicalBytes } from '@pangolin/contracts/canonical';
import { sha256 } from '@pangolin/contracts/digest';
import { OUTPUT_BYTES_MAX } from '@pangolin/contracts/limits';
import type { Grants } from '@pangolin/contracts/task';
import type { Assignment } from '../assignment.ts';
import { importBaseline } from '../capture/baseline.ts';
import { BLOCK_OUTPUT_FILE } from '../capture/block-output.ts';
import { NEEDS_INPUT_FILE } from '../capture/needs-input.ts';
import { AttemptFailure, failureOf } from '../failure.ts';
import type { WorkerOptions } from '../options.ts';
import type { TaskGrants } from '../task-grants.ts';
import { placesOf, type Places } from '../places.ts';
import { copyFileInto, copyTree } from './copy.ts';
import { fetchGrant } from './fetch.ts';
import { overlay } from './overlay.ts';
import { closeToOthers, openToOthers } from './privacy.ts';
import { fetchThings, type Equipment } from './things.ts';
import { give, initRepo, own, packPath, stageCommit } from './workspace.ts';

const OUTPUT_SCHEMA_FILE = '.pangolin/output.schema.json';
const ANSWER_FILE = '.pangolin/answer.json';

export interface Staged {
  readonly places: Places;
  /** What the workspace is compared with; undefined while nothing has been laid out. */
  readonly baseTree: string;
  readonly equipment: Equipment;
}

interface From {
  readonly inDir: string;
  readonly grants: TaskGrants;
}

/** @throws AttemptFailure, mostly StageFailed */
export async function stage(
  assignment: Assignment,
  options: WorkerOptions,
  grants: TaskGrants,
  halt: AbortSignal,
): Promise<Staged> {
  const places = placesOf(options);
  try {
    checkParams(assignment);
    if (assignment.separateUser && places.user === undefined) {
      throw new AttemptFailure('StageFailed', 'the manifest promises a separate block user, and there is none here');
    }
    await makePlaces(places, options, assignment);
    const baseTree = await layOutWorkspace(assignment, places, { ...options, grants }, halt);
    const equipment = await fetchThings(assignment.pins, places, grants, halt);
    await overlay(equipment.files, places);
    await layOutExtras(assignment, equipment, places, { ...options, grants }, halt);
    return { places, baseTree, equipment };
  } catch (error) {
    if (halt.aborted) throw halt.reason;
    throw failureOf(error, 'StageFailed', 'staging failed');
  }
}

function checkParams({ params, paramsSha256 }: Assignment): void {
  if (paramsSha256 === undefined) return;
  const actual = params === undefined ? null : sha256(canonicalBytes(params));
  if (actual === paramsSha256) return;
  throw new AttemptFailure('StageFailed', 'the params of task.json do not have the digest of the manifest');
}

/** The scratch directories; with a separate block user, nothing of the runner's stays open to it. */
async function makePlaces(
  places: Places,
  { workDir, inDir, outDir, task, storeSocket }: WorkerOptions,
  { grants }: Assignment,
): Promise<void> {
  await mkdir(workDir, { recursive: true });
  if (places.user !== undefined) {
    await openToOthers(workDir, places.user);
    if (task === undefined) await closeToOthers(inDir, grants.attempt ? 'grants' : 'read', places.user);
    if (storeSocket !== undefined) await closeToOthers(dirname(storeSocket), 'grants', places.user);
    await closeToOthers(outDir, 'write', places.user);
  }
  await mkdir(places.private, { mode: 0o700 });
  for (const dir of [places.workspace, places.home, places.tmp]) {
    await mkdir(dir, { mode: dir === places.workspace ? 0o755 : 0o700 });
    await own(dir, places.user);
  }
}

async function layOutWorkspace(
  { source }: Assignment,
  places: Places,
  { inDir, grants }: From,
  halt: AbortSignal,
): Promise<string> {
  const pinned = source.kind === 'pinned' ? source.workspace : undefined;
  await initRepo(places, pinned?.commit, halt);
  if (pinned !== undefined) {
    const target = packPath(places, pinned);
    const { sha256: digest, size } = pinned;
    const grant = (all: Grants) => all.workspace;
    const pack = { what: 'the workspace', grant, sha256: digest, bytesMax: size, target, owner: undefined };
    await fetchGrant(grants, pack, halt);
    return stageCommit(places, pinned, halt);
  }
  const given = join(inDir, 'workspace');
  if (source.kind === 'copy' && (await isDirectory(given))) await copyTree(given, places, halt);
  return importBaseline(places, halt);
}

/** inputs/, outputs/ and what blocks find in .pangolin/, all owned by the block user. */
async function layOutExtras(
  { source, params, answer }: Assignment,
  { outputSchema }: Equipment,
  places: Places,
  { inDir, grants }: From,
  halt: AbortSignal,
): Promise<void> {
  const { user } = places;
  for (const dir of [places.inputs, places.outputs, join(places.workspace, '.pangolin')]) await ensureDir(dir, places);
  await refusingCollision('.pangolin/inputs.json', () => give(places.params, canonical(params ?? {}), user));
  if (answer !== undefined) {
    await refusingCollision(ANSWER_FILE, () => give(join(places.workspace, ANSWER_FILE), canonical(answer), user));
  }
  if (outputSchema !== undefined) {
    const schema = join(places.workspace, OUTPUT_SCHEMA_FILE);
    await refusingCollision(OUTPUT_SCHEMA_FILE, () => give(schema, canonical(outputSchema), user));
  }
  for (const file of [NEEDS_INPUT_FILE, BLOCK_OUTPUT_FILE])
    await refusingCollision(file, () => refuseExisting(join(places.workspace, file)));
  if (source.kind === 'pinned') {
    for (const [key, digest] of source.inputs) {
      const what = `the input ${key}`;
      const target = join(places.inputs, key);
      const grant = (all: Grants) => all.inputs[key];
      const input = { what, grant, sha256: digest, bytesMax: OUTPUT_BYTES_MAX, target, owner: user };
      await refusingCollision(`inputs/${key}`, () => fetchGrant(grants, input, halt));
    }
    return;
  }
  const given = join(inDir, 'inputs');
  if (!(await isDirectory(given))) return;
  for (const key of await readdir(given)) {
    await refusingCollision(`inputs/${key}`, () => copyFileInto(join(given, key), join(places.inputs, key), user));
  }
}

/** A question or an output that the workspace brings along is nobody's. @throws EEXIST */
async function refuseExisting(path: string): Promise<void> {
  if (await lstat(path).catch(() => undefined)) throw Object.assign(new Error(path), { code: 'EEXIST' });
}

async function refusingCollision(name: string, write: () => Promise<void>): Promise<void> {
  try {
    await write();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    throw new AttemptFailure('StageFailed', `${name} exists in the workspace already; rename it there`);
  }
}

/** Never follows a link that the workspace brought along. */
async function ensureDir(dir: string, places: Places): Promise<void> {
  const there = await lstat(dir).catch(() => undefined);
  if (there?.isDirectory()) return;
  if (there !== undefined) {
    const name = dir.slice(places.workspace.length + 1);
    throw new AttemptFailure('StageFailed', `${name} of the workspace is not a directory; the name is reserved`);
  }
  await mkdir(dir, { mode: 0o755 });
  await own(dir, places.user);
}

async function isDirectory(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined))?.isDirectory() ?? false;
}
