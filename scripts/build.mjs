// Bundles the programs that ship as one file: in the task image the worker (what it rarely needs is beside it) and the
// egress proxy, and the standalone verifier.
// node scripts/build.mjs [worker|verify] [DIR]: one group or both, into DIR or each into its package's dist/.
import { build } from 'esbuild';
import { chmodSync, copyFileSync, globSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const groups = {
  worker: [
    { entry: 'worker-image/src/main.ts', out: 'worker-image/dist/worker.mjs' },
    { entry: 'controller/src/egress/main.ts', out: 'worker-image/dist/egress.mjs' },
  ],
  verify: [{ entry: 'verify/src/main.ts', out: 'verify/dist/pangolin-verify.mjs' }],
};
const args = process.argv.slice(2);
const group = Object.hasOwn(groups, args[0] ?? '') ? args.shift() : undefined;
const [dir] = args;
const placeOf = (out) => (dir === undefined ? join(root, out) : join(dir, basename(out)));

/** Every source of the worker's files, for the image's bill of materials (sbom.mjs). */
const inputs = new Set();
for (const { entry, out } of group === undefined ? Object.values(groups).flat() : groups[group]) {
  const outdir = dirname(placeOf(out));
  const name = basename(out, '.mjs');
  // Parts of an earlier build: nobody loads them any more.
  for (const file of globSync(`${name}-part-*.mjs`, { cwd: outdir })) rmSync(join(outdir, file));
  const { metafile } = await build({
    entryPoints: { [name]: join(root, entry) },
    outdir,
    outExtension: { '.js': '.mjs' },
    chunkNames: `${name}-part-[hash]`,
    splitting: true,
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node22.18',
    legalComments: 'none',
    logLevel: 'warning',
    metafile: true,
    absWorkingDir: root,
  });
  if (groups.worker.some((each) => each.entry === entry))
    Object.keys(metafile.inputs).forEach((input) => inputs.add(input));
}
if (inputs.size > 0) {
  mkdirSync(join(root, '.build'), { recursive: true });
  writeFileSync(join(root, '.build/worker-inputs.json'), JSON.stringify([...inputs].sort()));
}
if (group !== 'worker') {
  // It is handed on by itself, as a program and under the licence of the whole.
  const program = placeOf(groups.verify[0].out);
  chmodSync(program, 0o755);
  copyFileSync(join(root, 'LICENSE'), join(dirname(program), 'LICENSE'));
}
