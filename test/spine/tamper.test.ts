/** Bundles of a real run, exported by the shipped command: whatever is changed in one, the verifier notices. */
import assert from 'node:assert/strict';
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { canonical } from '@pangolin/contracts/canonical';
import type { TrustDocument } from '@pangolin/contracts/trust';
import { openBundle } from '@pangolin/verify/readers/open';
import { memoryReader } from '@pangolin/verify/readers/memory';
import { parseTrustFile } from '@pangolin/verify/trust-file';
import { verifyBundle } from '@pangolin/verify/verify';
import { base64FieldMutants, eventMutants, fileMutants, nameMutants, payloadMutants } from '../verify/generic-mutants.ts';
import { joinLines, splitLines, type Files } from '../verify/forge.ts';
import { Harness, type Mutant } from '../verify/harness.ts';
import { exportedFiles } from './bundles.ts';
import { blocks, Deployment, outputs, patch, runOf, script } from './harness.ts';

let deployment: Deployment;
let document: string;
let directory: string;
let trust: TrustDocument;
const files = new Map<string, Buffer>();

before(async () => {
  deployment = new Deployment('process');
  deployment.drop(
    'run.json',
    runOf('run', deployment.repo, [
      { id: 'make', ...blocks(script('echo made > made.txt; echo o > outputs/o'), patch, outputs) },
      { id: 'use', needs: { made: { from: 'make', select: { kind: 'patch' } } }, ...blocks(script('git apply inputs/made'), patch) },
      { id: 'broken', ...blocks(script('exit 3')) },
      { id: 'behind', depends_on: ['broken'], ...blocks(script('true')) },
    ]),
  );
  await deployment.settle();
  document = await deployment.verified('run');
  directory = join(deployment.dir, 'bundle');
  assert.equal((await deployment.cli('orch', 'audit', 'run', '--out', directory)).code, 0);
  trust = parseTrustFile(readFileSync(join(deployment.storage, 'controller', 'trust.json')));
  for await (const { name, body } of exported(deployment.storage, 'run')) files.set(name, body);
});
after(() => deployment.dispose());
