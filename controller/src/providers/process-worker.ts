/** Which worker a checkout runs, and where its tasks work. */
import { lstatSync, mkdirSync, readdirSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { PangolinError } from '@pangolin/contracts/errors';

const worker = fileURLToPath(import.meta.resolve('@pangolin/worker-image/main'));
const root = join(worker, '../../..');

/** The bundle starts faster, so it is taken where it is not older than what it was made from. */
export function defaultWorkerCommand(): readonly string[] {
  const bundle = join(root, 'worker-image/dist/worker.mjs');
  const sources = ['worker-image/src', 'contracts/src', 'storage/src'].map((dir) => join(root, dir));
  const fresh = modifiedAt(bundle) > Math.max(...sources.map(newestIn));
  const main = fresh ? bundle : worker;
  return [process.execPath, '--disable-warning=ExperimentalWarning', main];
}

function newestIn(dir: string): number {
  const files = readdirSync(dir, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  return Math.max(0, ...files.map((entry) => modifiedAt(join(entry.parentPath, entry.name))));
}

const modifiedAt = (file: string): number => statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0;

/**
 * A directory for workspaces, this user's alone, outside `stateDir`: that often lies in the user's own repository, where git, npm
 * and others would find the user's files by walking up. Shared by all deployments of the user; task names tell them apart.
 * @throws PangolinError DENIED when somebody else has made it.
 */
export function workBase(): string {
  const uid = process.getuid?.() ?? 0;
  const dir = join(tmpdir(), `pangolin-${uid}`);
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const stat = lstatSync(dir);
  if (stat.isDirectory() && stat.uid === uid && (stat.mode & 0o077) === 0) return dir;
  throw new PangolinError('DENIED', `${dir} is not a private directory of this user`, {
    hint: 'Somebody else made it; remove it or set TMPDIR.',
  });
}
