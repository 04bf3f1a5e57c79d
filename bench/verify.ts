/**
 * Verification of bundles of growing length, each in a process of its own for its peak memory. The floor of a lean
 * bundle is one SHA-256 over its bytes, that of a full one also a bare check of every signature in it.
 */
import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { trustDocument } from '@pangolin/controller/audit/keys';
import { exportBundle } from '@pangolin/storage/bundle';
import { writeBundle } from '@pangolin/storage/bundle-writers';
import { openDeployment, recordRun } from './deployment.ts';
import { inTemporary, round, type Row } from './figures.ts';

const PROCESS = fileURLToPath(new URL('./verify-process.ts', import.meta.url));
const cases = [
  ['lean', 1_000],
  ['lean', 10_000],
  ['lean', 100_000],
  ['full', 1_000],
  ['full', 10_000],
] as const;

/** What verify-process.ts prints. */
export interface Measured {
  readonly ms: number;
  readonly peakRssMiB: number;
  readonly bytes: number;
  readonly verdict?: string;
}

export async function verify(): Promise<Row[]> {
  const rows: Row[] = [];
  for (const [bundle, events] of cases) rows.push(await measure(bundle, events));
  return rows;
}

async function measure(bundle: 'lean' | 'full', events: number): Promise<Row> {
  return await inTemporary(async (dir) => {
    const deployment = await openDeployment(dir);
    await recordRun(deployment, 'run', (events - 2) / 2, bundle === 'full');
    const { error } = await deployment.sealer.advance();
    if (error) throw error;
    const [path, trust] = [join(dir, 'bundle.tar'), join(dir, 'trust.json')];
    await writeBundle(exportBundle(deployment.store, 'run', { lean: bundle === 'lean' }), path);
    writeFileSync(trust, JSON.stringify(trustDocument(deployment.keys)));
    deployment.db.close();
    const ours = await inProcess('verify', path, trust);
    const floor = await inProcess('floor', path, trust);
    return {
      bundle,
      events,
      mib: round(ours.bytes / 2 ** 20),
      verdict: ours.verdict ?? '',
      ms: round(ours.ms),
      eventsPerSecond: Math.round((1000 * events) / ours.ms),
      floorMs: round(floor.ms),
      ratioToFloor: round(ours.ms / floor.ms),
      peakRssMiB: ours.peakRssMiB,
      floorPeakRssMiB: floor.peakRssMiB,
    };
  });
}

async function inProcess(...args: readonly string[]): Promise<Measured> {
  const { stdout } = await promisify(execFile)(process.execPath, [
    '--disable-warning=ExperimentalWarning',
    PROCESS,
    ...args,
  ]);
  return JSON.parse(stdout) as Measured;
}
