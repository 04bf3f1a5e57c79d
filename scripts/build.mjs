// Bundles the programs that ship as one file, both in the task image: the worker, and the egress proxy that runs beside it.
// node scripts/build.mjs [DIR]: into DIR, or each into its package's dist/.
import { build } from 'esbuild';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const [dir] = process.argv.slice(2);
const bundles = [
  { entry: 'worker-image/src/main.ts', out: 'worker-image/dist/worker.mjs' },
  { entry: 'controller/src/egress/main.ts', out: 'worker-image/dist/egress.mjs' },
];

for (const { entry, out } of bundles) {
  await build({
    entryPoints: [join(root, entry)],
    outfile: dir === undefined ? join(root, out) : join(dir, basename(out)),
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node22.18',
    legalComments: 'none',
    logLevel: 'warning',
  });
}
