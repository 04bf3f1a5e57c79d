// Runs every test file, or those whose path holds one of the arguments: npm test -- verify worker
import { spawnSync } from 'node:child_process';
import { globSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const wanted = process.argv.slice(2);
const files = globSync('test/**/*.test.ts', { cwd: root })
  .filter((file) => wanted.length === 0 || wanted.some((part) => file.includes(part)))
  .sort();
if (files.length === 0) {
  console.error(`no test file matches ${wanted.join(', ')}`);
  process.exit(1);
}
// One more than the processors: some tests wait for most of their time.
const concurrency = availableParallelism() + 1;
const result = spawnSync(
  process.execPath,
  ['--test', '--disable-warning=ExperimentalWarning', `--test-concurrency=${concurrency}`, ...files],
  // Most of what a test file does before its first test is to load the same modules.
  { cwd: root, stdio: 'inherit', env: { NODE_COMPILE_CACHE: join(root, 'node_modules/.cache/tests'), ...process.env } },
);
process.exit(result.status ?? 1);
