/**
 * What evidence costs the controller. Appending: events into the run's log, each group one durable commit, beside the
 * same lines into a plain table with as many commits. Sealing: from a finished run to its stored seal, beside the two
 * signatures and the same objects written with an fsync each, and one long run beside the bare hashing of its log.
 */
import { generateKeyPairSync, sign } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { sha256 } from '@pangolin/contracts/digest';
import { eventsKey } from '@pangolin/contracts/layout';
import type { RunEventBody } from '@pangolin/contracts/run-log';
import { inTemporary, median, round, timed, type Row } from './figures.ts';
import { openDatabase, openDeployment, recordRun, type Deployment } from './deployment.ts';

const SEALED_ITEMS = 50;
const SEALS = 15;
const BATCH = 50;
/** How often a log is hashed for the floor. */
const FLOORS = 5;

export async function evidence(): Promise<Row[]> {
  return [
    await append(1, 500),
    await append(50, 10_000),
    await seal('one by one', 1, SEALS),
    await seal('together', BATCH, 3),
    await sealOf(1_000),
    await sealOf(10_000),
    await sealOf(100_000),
  ];
}

/* ---- append ---- */

async function append(group: number, count: number): Promise<Row> {
  return await inTemporary(async (dir) => {
    const { db, evidence: store } = await openDeployment(dir);
    const ms = await timed(() => {
      for (let at = 0; at < count; at += group) {
        const events = Array.from({ length: group }, (_, n) => eventOf(at + n));
        db.exec('BEGIN IMMEDIATE');
        store.appendEvents(
          'run',
          events.map((body) => ({ at: 1, actor: 'service:controller', body })),
        );
        db.exec('COMMIT');
      }
    });
    const lines = db.prepare('SELECT line FROM run_event ORDER BY seq').pluck().all() as Buffer[];
    db.close();
    const floorMs = await plainInserts(join(dir, 'floor.db'), lines, group);
    return {
      what: 'append',
      how: group === 1 ? 'alone' : `in groups of ${group}`,
      count,
      ms: round(ms),
      perSecond: Math.round((1000 * count) / ms),
      floorMs: round(floorMs),
      ratioToFloor: round(ms / floorMs),
    };
  });
}

function eventOf(n: number): RunEventBody {
  const dispatch = { sha256: String(n).padStart(64, '0') };
  return { kind: 'item.fired', itemId: `item-${n}`, attempt: 1, dispatch, inputs: {} };
}

async function plainInserts(path: string, lines: readonly Buffer[], group: number): Promise<number> {
  const db = openDatabase(path);
  db.exec('CREATE TABLE t (n INTEGER PRIMARY KEY, line BLOB)');
  const insert = db.prepare('INSERT INTO t VALUES (?, ?)');
  const ms = await timed(() => {
    for (let at = 0; at < lines.length; at += group) {
      db.exec('BEGIN IMMEDIATE');
      for (let n = at; n < at + group; n++) insert.run(n, lines[n]);
      db.exec('COMMIT');
    }
  });
  db.close();
  return ms;
}

/* ---- seal ---- */

/** Per run. `batch` runs are finished at the same time and share a checkpoint. */
async function seal(how: string, batch: number, rounds: number): Promise<Row> {
  return await inTemporary(async (dir) => {
    const deployment = await openDeployment(dir);
    const times: number[] = [];
    const floors: number[] = [];
    for (let n = 0; n < rounds; n++) {
      for (let run = 0; run < batch; run++) await recordRun(deployment, `run-${n}-${run}`, SEALED_ITEMS, true);
      const before = new Map(filesUnder(join(dir, 'storage')));
      times.push((await timed(() => sealAll(deployment))) / batch);
      const written = filesUnder(join(dir, 'storage')).filter(([path, at]) => before.get(path) !== at);
      floors.push(
        (await plainSeals(
          join(dir, `floor-${n}`),
          written.map(([path]) => path),
          batch,
        )) / batch,
      );
    }
    deployment.db.close();
    const ms = median(times);
    const floorMs = median(floors);
    const figures = { ms: round(ms), perSecond: Math.round(1000 / ms), floorMs: round(floorMs) };
    return {
      what: `seal of ${2 * SEALED_ITEMS + 2} events`,
      how,
      count: batch * rounds,
      ...figures,
      ratioToFloor: round(ms / floorMs),
    };
  });
}

/** One run of so many events, beside one SHA-256 over its log: the cost is linear when the ratio stays. */
async function sealOf(events: number): Promise<Row> {
  return await inTemporary(async (dir) => {
    const deployment = await openDeployment(dir);
    await recordRun(deployment, 'run', (events - 2) / 2, false);
    const ms = await timed(() => sealAll(deployment));
    const log = await deployment.store.get(eventsKey('run'));
    const floors: number[] = [];
    for (let n = 0; n < FLOORS; n++) floors.push(await timed(() => sha256(log)));
    deployment.db.close();
    const floorMs = median(floors);
    const mib = round(log.length / 2 ** 20);
    return { what: `seal of ${events} events`, how: 'alone', count: 1, mib, ms: round(ms), microsecondsPerEvent: round((1000 * ms) / events), floorMs: round(floorMs), ratioToFloor: round(ms / floorMs) }; // prettier-ignore
  });
}

async function sealAll({ sealer }: Deployment): Promise<void> {
  const { pending, error } = await sealer.advance();
  if (error ?? pending > 0) throw error ?? new Error(`${pending} seals are pending`);
}

/** Path and time of change of every object. */
function filesUnder(root: string): (readonly [string, number])[] {
  return readdirSync(root, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && !entry.parentPath.includes('.pangolin-store'))
    .map((entry) => join(entry.parentPath, entry.name))
    .map((path) => [path, statSync(path).mtimeMs] as const);
}

async function plainSeals(dir: string, paths: readonly string[], seals: number): Promise<number> {
  const bodies = paths.map((path) => readFileSync(path));
  const sealKey = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
  const logKey = generateKeyPairSync('ed25519').privateKey;
  mkdirSync(dir);
  return await timed(() => {
    for (let n = 0; n < seals; n++) sign('sha256', bodies[0]!, sealKey);
    sign(null, bodies[0]!, logKey);
    for (const [n, body] of bodies.entries()) writeFileSync(join(dir, String(n)), body, { flush: true });
  });
}
