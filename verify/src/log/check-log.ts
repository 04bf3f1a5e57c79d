/**
 * Checks the deployment's log as a whole (evidence.md §3.6): that its tiles make the root that its key signed, that it
 * continues every earlier checkpoint, and that its entries belong to the seals and heads of runs one to one. An entry names
 * no run, so a deleted run is known by its place, and by its name where an anchor still has its seal.
 */
import { sha256 } from '@pangolin/contracts/digest';
import { CHECKPOINT, LOG } from '@pangolin/contracts/layout';
import { emptyFrontier, rootOf } from '@pangolin/contracts/merkle';
import { NOTE_BYTES_MAX, parseCheckpoint, parseNote, verifyNote, type Checkpoint } from '@pangolin/contracts/note';
import { plural } from '../checks/check.ts';
import type { Trust } from '../trust-file.ts';
import { headLine, headPayloads, startOf } from './bundle-events.ts';
import { readHeads, type KnownHead } from './head.ts';
import { judgeHeads, judgeSeals } from './judge.ts';
import { readSeal, type KnownSeal, type SealedRun } from './seal.ts';

import { readTiles } from './tiles.ts';

export const LOG_REPORT_SCHEMA = 'pangolin-log-report/1';

export type LogProblemCode =
  | 'log-missing'
  | 'checkpoint'
  | 'tile'
  | 'root'
  | 'run-missing'
  | 'seal-unlogged'
  | 'seal-unreadable'
  | 'two-seals'
  | 'head-unreadable'
  | 'head-missing'
  | 'rewritten'
  | 'forked'
  | 'behind';

export interface LogProblem {
  readonly code: LogProblemCode;
  /** One sentence. */
  readonly message: string;
  /** Position in the log, from 0. */
  readonly index?: number;
  readonly run?: string;
}

export interface LogReport {
  readonly schema: typeof LOG_REPORT_SCHEMA;
  readonly origin: string;
  /** `failed`: there are problems. `incomplete`: there are none, but the trust file lacks a key or an anchor did not answer. */
  readonly verdict: 'consistent' | 'failed' | 'incomplete';
  readonly size: number;
  /** Base64, as the checkpoint has it. */
  readonly root?: string;
  /** Seals of runs that were found, in the storage and in anchors. */
  readonly seals: number;
  readonly anchored: number;
  /** Statements of how far runs had come while they went on that are in the log. */
  readonly heads: number;
  /** Seals in the storage that are of other logs: of deployments that had it before. */
  readonly foreign: number;
  /** Earlier checkpoints that this log continues: of seals, of anchors, and those that runs were opened after. */
  readonly checkpoints: number;
  /** Runs without a seal: they have no entry yet. */
  readonly unsealed: readonly string[];
  /** What could not be judged, a sentence each. */
  readonly unchecked: readonly string[];
  readonly problems: readonly LogProblem[];
}

/** A seal, or the heads of a run, as they were found. `place` is for people. */
export interface Found {
  readonly place: string;
  readonly bytes: Buffer;
  /** The events of the run, where they are at hand; undefined when they turn out not to be there. */
  readonly events?: () => Promise<Buffer | undefined>;
}

export interface LogSources {
  /** An object of the storage prefix or of a mirror of it; undefined when it is not there. */
  readonly get: (key: string, bytesMax: number) => Promise<Buffer | undefined>;
  readonly seals: AsyncIterable<Found>;
  /** Whether these are all runs that there are: then an entry that is of none of them is of a run that was deleted. */
  readonly complete: boolean;
  /** Runs without one; complete once `seals` was read to its end. */
  readonly unsealed: readonly string[];
  /** The heads of every run that has some, sealed or not: one envelope a line. */
  readonly heads: AsyncIterable<Found>;
  /** What anchors keep, genuine or not; empty when nobody looked. */
  readonly anchoredSeals: AsyncIterable<Found>;
  readonly anchoredCheckpoints: readonly string[];
  /** Anchors that did not answer, and why; complete once `anchoredSeals` was read to its end. */
  readonly unreachable: ReadonlyMap<string, string>;
}

/** What the sources hold never throws; what reading them throws goes through. */
export async function checkLog(sources: LogSources, trust: Trust): Promise<LogReport> {
  const problems: LogProblem[] = [];
  const problem = (code: LogProblemCode, message: string, where: Pick<LogProblem, 'index' | 'run'> = {}): void =>
    void problems.push({ code, message, ...where });

  const seals: KnownSeal[] = [];
  let foreign = 0;
  const unknown: { readonly unknown: string; readonly leaf: string; readonly place: string }[] = [];
  const payloads = new Map<string, Buffer>();
  const past: PastCheckpoint[] = [];
  const addEvents = async (told: SealedRun, place: string, events: Found['events']): Promise<void> => {
    const bytes = await events?.();
    if (!bytes) return;
    const after = startOf(bytes);
    if (sha256(bytes) !== told.events) problem('seal-unreadable', `${place} has other events than its seal says`);
    else if (after) past.push({ ...after, place: `the submission in ${place}` });
    for (const [digest, payload] of headPayloads(told, trust.origin, bytes)) payloads.set(digest, payload);
  };
  for await (const { place, bytes, events } of sources.seals) {
    const seal = readSeal(bytes, trust);
    // Whoever put it in the place of another hides nothing: the entry of that one lacks its run.
    if (seal === 'foreign') foreign++;
    else if ('known' in seal) {
      seals.push({ ...seal.known, place });
      await addEvents(seal.known, place, events);
    } else if ('unknown' in seal) {
      unknown.push({ ...seal, place });
      await addEvents(seal.told, place, events);
    } else problem('seal-unreadable', `${place} is no seal of this deployment: ${seal.problem}`);
  }
  const anchored: KnownSeal[] = [];
  for await (const { place, bytes } of sources.anchoredSeals) {
    const seal = readSeal(bytes, trust);
    // Anybody who can write there may have left it.
    if (seal !== 'foreign' && 'known' in seal) anchored.push({ ...seal.known, place });
  }

  const heads = new Map<string, KnownHead>();
  const addHeads = ({ place, bytes }: Found): void => {
    for (const head of readHeads(bytes, trust)) {
      if (head === 'foreign') continue;
      if ('known' in head) heads.set(head.known.leaf, { ...head.known, place });
      else if ('unknown' in head) unknown.push({ ...head, place });
      else problem('head-unreadable', `${place} holds no head of this deployment: ${head.problem}`);
    }
  };
  for await (const found of sources.heads) addHeads(found);

  const prefixes = [`${LOG}${trust.origin}/`, LOG];
  const { prefix, head } = await readCheckpoint(sources, prefixes, trust, problem);
  for (const { checkpoint, place } of [...seals, ...anchored]) if (checkpoint) past.push({ ...checkpoint, place });
  for (const note of sources.anchoredCheckpoints) {
    const checkpoint = checkpointOf(note, trust);
    if (checkpoint) past.push({ ...checkpoint, place: 'an anchor' });
  }
  const sizes = new Set(past.map(({ size }) => size));
  const { entries, roots } = await readTiles(sources, prefix, head, sizes, problem, (leaf) => {
    const line = payloads.size > 0 ? headLine(leaf, payloads) : undefined;
    if (line) addHeads({ place: 'the log', bytes: line });
  });
  let continued = 0;
  for (const { size, root, place } of past) {
    const ours = roots.get(size);
    if (size > head.size) problem('behind', `${place} has a checkpoint of ${size} entries, the log only ${head.size}`);
    else if (ours?.equals(root) === true) continued++;
    else if (ours) problem('forked', `${place} has another checkpoint of ${size} entries than this log had then`);
  }
  const claimed = judgeSeals(seals, anchored, entries, problem);
  const logged = judgeHeads([...heads.values()], [...seals, ...anchored], entries, problem);
  for (const { index } of logged) claimed.add(index);
  for (const { leaf } of unknown) claimed.add(entries.get(leaf) ?? -1);
  const unclaimed = [...entries.values()].filter((index) => !claimed.has(index));
  for (const index of sources.complete ? unclaimed : []) {
    problem('run-missing', `entry ${index} of the log is of a run, or of a head, that is gone`, { index });
  }
  const unchecked = [
    ...(sources.complete || unclaimed.length === 0
      ? []
      : [[nameEntries(unclaimed), 'no bundle that was given is of their runs'] as const]),
    ...unknown.map(({ place, unknown: why }) => [place, why] as const),
    ...sources.unreachable,
  ].map(([place, why]) => `${place} cannot be checked because ${why}`);
  return {
    schema: LOG_REPORT_SCHEMA,
    origin: trust.origin,
    verdict: problems.length > 0 ? 'failed' : unchecked.length > 0 ? 'incomplete' : 'consistent',
    size: head.size,
    ...(head.size > 0 && { root: head.root.toString('base64') }),
    seals: seals.length,
    anchored: anchored.length,
    heads: logged.length,
    foreign,
    checkpoints: continued,
    unsealed: sources.unsealed,
    unchecked,
    problems,
  };
}

/** What the log has to have been at some time. */
interface PastCheckpoint extends Pick<Checkpoint, 'size' | 'root'> {
  readonly place: string;
}

const NAMED_MAX = 20;

function nameEntries(indices: readonly number[]): string {
  const more = indices.length > NAMED_MAX ? ` and ${indices.length - NAMED_MAX} more` : '';
  return `${plural(indices.length, 'entry', 'entries')} of the log (${indices.slice(0, NAMED_MAX).join(', ')}${more})`;
}

export type Problem = (code: LogProblemCode, message: string, where?: Pick<LogProblem, 'index' | 'run'>) => void;

function checkpointOf(text: string, { origin, logs }: Trust): Checkpoint | undefined {
  try {
    const note = parseNote(text);
    const checkpoint = parseCheckpoint(note.text);
    const signed = logs.some((log) => note.signatures.some((each) => verifyNote(note.text, each, log.note)));
    return checkpoint.origin === origin && signed ? checkpoint : undefined;
  } catch {
    return undefined;
  }
}

const EMPTY: Checkpoint = { origin: '', size: 0, root: rootOf(emptyFrontier) };

/** A deployment that began anew on a storage has its log below the first one's. */
async function readCheckpoint(
  { get }: LogSources,
  prefixes: readonly string[],
  trust: Trust,
  problem: Problem,
): Promise<{ readonly prefix: string; readonly head: Checkpoint }> {
  for (const prefix of prefixes) {
    const bytes = await get(`${prefix}${CHECKPOINT.slice(LOG.length)}`, NOTE_BYTES_MAX);
    if (!bytes) continue;
    const head = checkpointOf(bytes.toString('utf8'), trust);
    if (head) return { prefix, head };
    problem('checkpoint', `${prefix}checkpoint is not a checkpoint that the log ${trust.origin} signed`);
    return { prefix, head: EMPTY };
  }
  problem('log-missing', 'there is no checkpoint of the log');
  return { prefix: LOG, head: EMPTY };
}
