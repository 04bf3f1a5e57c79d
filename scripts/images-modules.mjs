// Packs the installed production modules for Dockerfile.controller: node scripts/images-modules.mjs
// Writes .build/controller-modules.tar, the same bytes for the same modules. What npm marks as development only,
// and the pinned Node itself (the image has its own), stays out.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8'));

/** Paths of the lockfile, outermost only: a module brings what is nested in it along. */
const modules = Object.entries(lock.packages)
  .filter(([path, entry]) => path.includes('node_modules/') && !entry.dev && !entry.devOptional)
  .map(([path]) => path)
  .filter((path) => !/^node_modules\/node-linux-/.test(path) && existsSync(join(root, path)))
  .filter((path, _, all) => !all.some((other) => path.startsWith(`${other}/`)))
  .sort();
if (modules.length === 0) {
  console.error('images-modules: node_modules is empty; run: node scripts/setup.mjs');
  process.exit(6);
}

mkdirSync(join(root, '.build'), { recursive: true });
const tar = spawnSync(
  'tar',
  [
    ...['--sort=name', '--mtime=@0', '--owner=0', '--group=0', '--numeric-owner'],
    ...['-cf', '.build/controller-modules.tar', '-T', '-'],
  ],
  { cwd: root, input: modules.join('\n'), stdio: ['pipe', 2, 2] },
);
process.exit(tar.status ?? 1);
