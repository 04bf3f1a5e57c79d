// Bundles the programs that start as one file: in the task image the worker (what it rarely needs is beside it) and the
// egress proxy, the command line with the controller, and the standalone verifier.
// node scripts/build.mjs [worker|cli|verify] [DIR]: one group or all, into DIR or each into its package's dist/.
import { build } from 'esbuild';
import { chmodSync, copyFileSync, globSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const groups = {
  worker: [
    { entry: 'worker-image/src/main.ts', out: 'worker-image/dist/worker.mjs' },
    { entry: 'controller/src/egress/main.ts', out: 'worker-image/dist/egress.mjs' },
  ],
  cli: [
    {
      entry: 'cli/src/main.ts',
      out: 'cli/dist/pangolin.mjs',
      // What they are made of is native, or looked for beside them.
      external: ['better-sqlite3', 'dockerode'],
      // Of a bundled CommonJS module `import()` gives the default export alone, and the AWS clients are taken by name.
      mainFields: ['module', 'main'],
      files: ['controller/src/store/*.sql'],
      // Of bundled CommonJS modules that require what comes with Node.
      banner: `import { createRequire as requireFrom } from 'node:module'; const require = requireFrom(import.meta.url);`,
    },
  ],
  verify: [{ entry: 'verify/src/main.ts', out: 'verify/dist/pangolin-verify.mjs' }],
};
const args = process.argv.slice(2);
const group = Object.hasOwn(groups, args[0] ?? '') ? args.shift() : undefined;
const [dir] = args;
const placeOf = (out) => (dir === undefined ? join(root, out) : join(dir, basename(out)));

/** At once or not at all: somebody may be starting what is there now. */
function put(path, contents) {
  const temporary = `${path}.${process.pid}`;
  writeFileSync(temporary, contents);
  renameSync(temporary, path);
}

/** Every source of the worker's files, for the image's bill of materials (sbom.mjs). */
const inputs = new Set();
for (const { entry, out, external = [], files = [], banner = '', mainFields = ['main', 'module'] } of group ===
undefined
  ? Object.values(groups).flat()
  : groups[group]) {
  const outdir = dirname(placeOf(out));
  const name = basename(out, '.mjs');
  const { metafile, outputFiles } = await build({
    entryPoints: { [name]: join(root, entry) },
    outdir,
    outExtension: { '.js': '.mjs' },
    chunkNames: `${name}-part-[hash]`,
    splitting: true,
    bundle: true,
    external,
    mainFields,
    banner: { js: banner },
    platform: 'node',
    format: 'esm',
    target: 'node22.18',
    legalComments: 'none',
    logLevel: 'warning',
    metafile: true,
    write: false,
    absWorkingDir: root,
  });
  mkdirSync(outdir, { recursive: true });
  for (const file of globSync(files, { cwd: root })) copyFileSync(join(root, file), join(outdir, basename(file)));
  const isEntry = (path) => basename(path) === basename(out);
  for (const { path, contents } of outputFiles) if (!isEntry(path)) put(path, contents);
  for (const { path, contents } of outputFiles) if (isEntry(path)) put(path, contents);
  // Parts of an earlier build: nobody loads them any more.
  const parts = new Set(outputFiles.map(({ path }) => basename(path)));
  for (const file of globSync(`${name}-part-*.mjs`, { cwd: outdir })) {
    if (!parts.has(file)) rmSync(join(outdir, file), { force: true });
  }
  if (groups.worker.some((each) => each.entry === entry))
    Object.keys(metafile.inputs).forEach((input) => inputs.add(input));
}
if (inputs.size > 0) {
  mkdirSync(join(root, '.build'), { recursive: true });
  writeFileSync(join(root, '.build/worker-inputs.json'), JSON.stringify([...inputs].sort()));
}
if (group === undefined || group === 'verify') {
  // It is handed on by itself, as a program and under the licence of the whole.
  const program = placeOf(groups.verify[0].out);
  chmodSync(program, 0o755);
  copyFileSync(join(root, 'LICENSE'), join(dirname(program), 'LICENSE'));
}
