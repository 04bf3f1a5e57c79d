// Bundles the programs that ship as one file: the worker of the task image.
import { build } from 'esbuild';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const bundles = [{ entry: 'worker-image/src/main.ts', out: 'worker-image/dist/worker.mjs' }];

for (const { entry, out } of bundles) {
  await build({
    entryPoints: [join(root, entry)],
    outfile: join(root, out),
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node22.18',
    legalComments: 'none',
    logLevel: 'warning',
  });
}
