/**
 * Checks the deployment's log as a whole (evidence.md §3.6): that its tiles make the root that its key signed, that it
 * continues every earlier checkpoint, and that its entries and the sealed runs belong together one to one. An entry names
 * no run, so a deleted run is known by its place, and by its name where an anchor still has its seal.
 */
import { CHECKPOINT, LOG } from '@pangolin/contracts/layout';
import { append, emptyFrontier, leafHash, nodeHash, rootOf } from '@pangolin/contracts/merkle';
import { NOTE_BYTES_MAX, parseCheckpoint, parseNote, verifyNote, type Checkpoint } from '@pangolin/contracts/note';
import { TILE_WIDTH, tilePath, tilesBetween, type Tile } from '@pangolin/contracts/tlog';
import type { Trust } from '../trust-file.ts';
import { FOREIGN, readSeal, type KnownSeal } from './seal.ts';

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
  /** `failed`: there are problems. */
  readonly verdict: 'consistent' | 'failed';
  readonly size: number;
  /** Base64, as the checkpoint has it. */
  readonly root?: string;
  /** Seals of runs that were found, in the storage and in anchors. */
  readonly seals: number;
  readonly anchored: number;
  /** Seals in the storage that are of other logs: of deployments that had it before. */
  readonly foreign: number;
  /** Earlier checkpoints that this log continues: of seals and of anchors. */
  readonly checkpoints: number;
  /** Runs without a seal: they have no entry yet. */
  readonly unsealed: readonly string[];
  readonly problems: readonly LogProblem[];
}

/** A seal as it was found. `place` is for people. */
export interface FoundSeal {
  readonly place: string;
  readonly bytes: Buffer;
}

export interface LogSources {
  /** An object of the storage prefix or of a mirror of it; undefined when it is not there. */
  readonly get: (key: string, bytesMax: number) => Promise<Buffer | undefined>;
  /** Of all runs. */
  readonly seals: AsyncIterable<FoundSeal>;
  readonly unsealed: readonly string[];
  /** What anchors keep, genuine or not; empty when nobody looked. */
  readonly anchoredSeals: AsyncIterable<FoundSeal>;
  readonly anchoredCheckpoints: readonly string[];
}

/** Of a full bundle of entries. */
const ENTRIES_BYTES_MAX = TILE_WIDTH * 65_537;

/** What the sources hold never throws; what reading them throws goes through. */
export async function checkLog(sources: LogSources, trust: Trust): Promise<LogReport> {
  const problems: LogProblem[] = [];
  const problem = (code: LogProblemCode, message: string, where: Pick<LogProblem, 'index' | 'run'> = {}): void =>
    void problems.push({ code, message, ...where });

  const seals: KnownSeal[] = [];
  let foreign = 0;
  for await (const { place, bytes } of sources.seals) {
    const seal = readSeal(bytes, trust);
    // Whoever put it in the place of another hides nothing: the entry of that one lacks its run.
    if (seal === FOREIGN) foreign++;
    else if (typeof seal === 'string') problem('seal-unreadable', `${place} is no seal of this deployment: ${seal}`);
    else seals.push({ ...seal, place });
  }
  const anchored: KnownSeal[] = [];
  for await (const { place, bytes } of sources.anchoredSeals) {
    const seal = readSeal(bytes, trust);
    // Anybody who can write there may have left it.
    if (typeof seal !== 'string') anchored.push({ ...seal, place });
  }

  const prefixes = [`${LOG}${trust.origin}/`, LOG];
  const { prefix, head } = await readHead(sources, prefixes, trust, problem);
  const past = [
    ...[...seals, ...anchored].flatMap(({ checkpoint, place }) => (checkpoint ? { ...checkpoint, place } : [])),
    ...sources.anchoredCheckpoints.flatMap((note) => {
      const checkpoint = checkpointOf(note, trust);
      return checkpoint ? { ...checkpoint, place: 'an anchor' } : [];
    }),
  ];
  const { entries, roots } = await readTiles(sources, prefix, head, new Set(past.map(({ size }) => size)), problem);
  let continued = 0;
  for (const { size, root, place } of past) {
    const ours = roots.get(size);
    if (size > head.size) problem('behind', `${place} has a checkpoint of ${size} entries, the log only ${head.size}`);
    else if (ours?.equals(root) === true) continued++;
    else if (ours) problem('forked', `${place} has another checkpoint of ${size} entries than this log had then`);
  }
  judgeSeals(seals, anchored, entries, problem);
  return {
    schema: LOG_REPORT_SCHEMA,
    origin: trust.origin,
    verdict: problems.length > 0 ? 'failed' : 'consistent',
    size: head.size,
    ...(head.size > 0 && { root: head.root.toString('base64') }),
    seals: seals.length,
    anchored: anchored.length,
    foreign,
    checkpoints: continued,
    unsealed: sources.unsealed,
    problems,
  };
}

type Problem = (code: LogProblemCode, message: string, where?: Pick<LogProblem, 'index' | 'run'>) => void;

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
async function readHead(
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

interface Tiles {
  /** Leaf hash in base64 → index. */
  readonly entries: ReadonlyMap<string, number>;
  /** Size → root, of the sizes asked for. */
  readonly roots: ReadonlyMap<number, Buffer>;
}

/** Reads every tile of the log, and recomputes every hash in them from the entries. */
async function readTiles(
  { get }: LogSources,
  prefix: string,
  head: Checkpoint,
  sizes: ReadonlySet<number>,
  problem: Problem,
): Promise<Tiles> {
  const entries = new Map<string, number>();
  const roots = new Map<number, Buffer>();
  /** Tile level → its hashes, recomputed. */
  const rows: Buffer[][] = [[]];
  let frontier = emptyFrontier;
  for (const tile of tilesBetween(0, head.size)) {
    const key = `${prefix}${tilePath(tile)}`;
    const bytes = await get(key, ENTRIES_BYTES_MAX);
    if (!bytes) {
      problem('tile', `${key} is not there`);
      // Without it nothing that follows can be told apart.
      if (tile.level === 'entries') return { entries, roots };
      continue;
    }
    if (tile.level !== 'entries') {
      if (!bytes.equals(hashesOf(rows, tile))) problem('tile', `${key} does not follow from the entries`);
      continue;
    }
    const leaves = splitEntries(bytes);
    if (leaves?.length !== tile.width) {
      problem('tile', `${key} does not hold ${tile.width} entries`);
      return { entries, roots };
    }
    for (const leaf of leaves) {
      const hash = leafHash(leaf);
      const index = entries.size;
      if (entries.has(hash.toString('base64'))) problem('tile', `entry ${index} is there twice`, { index });
      entries.set(hash.toString('base64'), index);
      rows[0]!.push(hash);
      frontier = append(frontier, leaf);
      if (sizes.has(frontier.size)) roots.set(frontier.size, rootOf(frontier));
    }
  }
  if (head.size > 0 && !rootOf(frontier).equals(head.root)) {
    problem('root', 'the entries of the log do not make the root that its key signed');
  }
  return { entries, roots };
}

/** What a tile of hashes has to be; makes the row of its level from the one below when it is needed. */
function hashesOf(rows: Buffer[][], { level, index, width }: Tile): Buffer {
  const at = level as number;
  rows[at] ??= Array.from({ length: Math.floor(rows[at - 1]!.length / TILE_WIDTH) }, (_, tile) =>
    foldHashes(rows[at - 1]!.slice(tile * TILE_WIDTH, (tile + 1) * TILE_WIDTH)),
  );
  return Buffer.concat(rows[at].slice(index * TILE_WIDTH, index * TILE_WIDTH + width));
}

function foldHashes(hashes: readonly Buffer[]): Buffer {
  let row = hashes;
  while (row.length > 1) row = row.flatMap((hash, at) => (at % 2 === 0 ? [nodeHash(hash, row[at + 1]!)] : []));
  return row[0]!;
}

/** Undefined unless the lengths add up. */
function splitEntries(bytes: Buffer): Buffer[] | undefined {
  const leaves: Buffer[] = [];
  for (let at = 0; at < bytes.length;) {
    if (at + 2 > bytes.length) return undefined;
    const end = at + 2 + bytes.readUInt16BE(at);
    if (end > bytes.length) return undefined;
    leaves.push(bytes.subarray(at + 2, end));
    at = end;
  }
  return leaves;
}

function judgeSeals(
  seals: readonly KnownSeal[],
  anchored: readonly KnownSeal[],
  entries: ReadonlyMap<string, number>,
  problem: Problem,
): void {
  const claimed = new Set<number>();
  const ofRun = new Map<string, KnownSeal>();
  for (const [from, known] of [
    ['storage', seals],
    ['anchor', anchored],
  ] as const) {
    for (const seal of known) {
      const { run, leaf, place } = seal;
      const index = entries.get(leaf);
      const first = ofRun.get(run);
      if (!first) ofRun.set(run, seal);
      else if (first.leaf !== leaf) {
        problem('two-seals', `the run ${run} has two seals, in ${first.place} and in ${place}`, { run });
      }
      if (index === undefined) {
        problem('seal-unlogged', `the seal in ${place} is not in the log`, { run });
        continue;
      }
      if (from === 'anchor' && !claimed.has(index) && first?.leaf !== leaf) {
        problem('run-missing', `the run ${run}, entry ${index} of the log, is gone; its seal is in ${place}`, { index, run }); // prettier-ignore
      }
      claimed.add(index);
    }
  }
  for (const index of entries.values()) {
    if (!claimed.has(index)) problem('run-missing', `entry ${index} of the log is a seal whose run is gone`, { index });
  }
}
