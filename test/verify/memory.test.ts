/** What verifying a long run takes in memory: asserted, because unlike time it is the same on a busy machine. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { trustDocument } from '@pangolin/controller/audit/keys';
import { exportBundle } from '@pangolin/storage/bundle';
import { writeBundle } from '@pangolin/storage/bundle-writers';
import { openDeployment, recordRun } from '../../bench/deployment.ts';
import { inTemporary } from '../../bench/figures.ts';
import type { Measured } from '../../bench/verify.ts';

const EVENTS = 100_000;
/** The aim is 200 MB; the rest is for other versions of Node and of the kernel. */
const PEAK_MIB_MAX = 200;
const PROCESS = fileURLToPath(new URL('../../bench/verify-process.ts', import.meta.url));

test(`${EVENTS} events are verified within ${PEAK_MIB_MAX} MiB`, async (t) => {
  await inTemporary(async (dir) => {
    const deployment = await openDeployment(dir);
    await recordRun(deployment, 'run', (EVENTS - 2) / 2, false);
    assert.equal((await deployment.sealer.advance()).error, undefined);
    const [bundle, trust] = [join(dir, 'run.tar'), join(dir, 'trust.json')];
    await writeBundle(exportBundle(deployment.store, 'run', { lean: true }), bundle);
    writeFileSync(trust, JSON.stringify(trustDocument(deployment.keys)));
    deployment.db.close();
    const { stdout } = await promisify(execFile)(process.execPath, ['--disable-warning=ExperimentalWarning', PROCESS, 'verify', bundle, trust]); // prettier-ignore
    const { verdict, peakRssMiB } = JSON.parse(stdout) as Measured;
    t.diagnostic(`${peakRssMiB} MiB at the peak`);
    assert.equal(verdict, 'verified');
    assert.ok(peakRssMiB < PEAK_MIB_MAX, `${peakRssMiB} MiB`);
  });
});
