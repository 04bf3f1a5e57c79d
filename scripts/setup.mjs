// Installs the dependencies when node_modules is missing or older than the lockfile, and bundles the programs. Runs on any Node from 20 on:
// it is the step that brings the pinned Node 24 along (optionalDependencies of the root package).
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createHash } from 'node:crypto';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const stamp = join(root, 'node_modules', '.pangolin-setup');
const lock = createHash('sha256')
  .update(readFileSync(join(root, 'package-lock.json')))
  .digest('hex');

if (!existsSync(stamp) || readFileSync(stamp, 'utf8') !== lock) {
  process.stderr.write('pangolin: installing dependencies (npm ci)\n');
  const npm = spawnSync('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'], {
    cwd: root,
    stdio: ['ignore', 2, 2],
  });
  if (npm.status !== 0) {
    process.stderr.write('pangolin: npm ci failed; is the npm registry reachable?\n');
    process.exit(6);
  }
  writeFileSync(stamp, lock);
}
const pinned = join(root, 'node_modules', '.bin', 'node');
const build = spawnSync(existsSync(pinned) ? pinned : process.execPath, [join(root, 'scripts', 'build.mjs')], {
  stdio: ['ignore', 2, 2],
});
if (build.status !== 0) process.exit(6);
