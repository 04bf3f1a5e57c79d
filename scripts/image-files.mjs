// Packs what an image gets besides its base: node scripts/image-files.mjs worker|controller
// Writes .build/<image>.tar, which its Dockerfile unpacks, and .build/<image>.cdx.json, the CycloneDX document that is in it.
// The same sources and modules make the same bytes, whatever the checkout's modes and times: all is root's, and as old as
// SOURCE_DATE_EPOCH (seconds, 0 without).
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bundledPackages, sbomOf } from './sbom.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const epoch = Number(process.env.SOURCE_DATE_EPOCH || 0);
const packages = ['contracts', 'storage', 'verify', 'worker-image', 'controller', 'cli'];
const LAUNCHER =
  '#!/bin/sh\nexec node --disable-warning=ExperimentalWarning /opt/pangolin/cli/dist/pangolin.mjs "$@"\n';

/** Whoever had the id 1000 before (`node` in the public images) makes way. */
const accounts = (user) => ({
  'etc/passwd': `root:x:0:0:root:/root:/bin/bash\n${user}\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n`,
  'etc/group': `root:x:0:\ntty:x:5:\n${user.split(':')[0]}:x:1000:\nnogroup:x:65534:\n`,
});

const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8'));

/** Paths of the lockfile, outermost only: a module brings what is nested in it along. The image has its own Node. */
function productionModules() {
  return Object.entries(lock.packages)
    .filter(([path, entry]) => path.includes('node_modules/') && !entry.dev && !entry.devOptional && !entry.optional)
    .map(([path]) => path)
    .filter((path) => existsSync(join(root, path)))
    .filter((path, _, all) => !all.some((other) => path.startsWith(`${other}/`)))
    .sort();
}

/** name@version of what lies at these paths of the lockfile and below them. */
function packagesAt(paths) {
  const inside = Object.keys(lock.packages).filter((path) => paths.some((each) => `${path}/`.startsWith(`${each}/`)));
  return new Set(
    inside.map((path) => {
      const { name, version } = JSON.parse(readFileSync(join(root, path, 'package.json'), 'utf8'));
      return `${name}@${version}`;
    }),
  );
}

/** Of no use at run time; the prebuilt SQLite of both architectures stays. */
const unused = [
  ...['*.map', '*.d.ts', '*.d.mts', '*.d.cts'],
  ...['better-sqlite3/deps', 'better-sqlite3/src', 'prebuilds/darwin-*', 'prebuilds/win32-*', 'prebuilds/linuxmusl-*'],
  ...['pino/test', 'thread-stream/test'],
];

const images = {
  worker: {
    made: {
      ...accounts('block:x:1000:1000:Pangolin blocks:/nonexistent:/bin/sh'),
      'pangolin/in/': 0o755,
      'pangolin/out/': 0o755,
      'work/': 0o755,
    },
    // Whatever the mounts below it belong to, blocks cannot enter them.
    modes: { pangolin: 0o700 },
    parts: [{ from: 'worker-image/dist', to: 'opt/pangolin', paths: ['.'] }],
  },
  controller: {
    made: {
      ...accounts('pangolin:x:1000:1000:Pangolin:/data:/usr/sbin/nologin'),
      'usr/local/bin/pangolin': LAUNCHER,
    },
    modes: { 'usr/local/bin/pangolin': 0o755 },
    parts: [
      { from: '.', to: 'opt/pangolin', paths: productionModules, exclude: unused },
      {
        from: '.',
        to: 'opt/pangolin',
        paths: ['package.json', 'LICENSE', ...packages],
        exclude: ['node_modules', 'verify/dist', '*.test.ts'],
      },
    ],
    own: 'data',
  },
};

function tar(args, input) {
  const { status } = spawnSync('tar', args, { cwd: root, input, stdio: ['pipe', 2, 2] });
  if (status !== 0) process.exit(status ?? 1);
}

function pack(name) {
  const { made, modes = {}, parts, own } = images[name];
  const out = join(root, '.build', `${name}.tar`);
  const stage = mkdtempSync(join(tmpdir(), 'pangolin-image-'));
  const settled = ['--sort=name', `--mtime=@${epoch}`, '--numeric-owner', '--format=gnu'];
  const ofRoot = [...settled, '--owner=0', '--group=0'];
  try {
    const lists = parts.map(({ to, paths }) => ({ to, list: typeof paths === 'function' ? paths() : paths }));
    // Also of every directory on the way: what is not in here gets the time at which it is unpacked.
    const above = lists.flatMap(({ to, list }) => list.map((path) => [`${join(to, dirname(path))}/`, 0o755]));
    const packed = name === 'worker' ? bundledPackages(root) : packagesAt(productionModules());
    const document = sbomOf(name, packed, { root, epoch });
    writeFileSync(join(root, '.build', `${name}.cdx.json`), document);
    for (const [path, content] of Object.entries({
      ...made,
      ...Object.fromEntries(above),
      [`usr/share/pangolin/${name}.cdx.json`]: document,
    })) {
      mkdirSync(join(stage, path.endsWith('/') ? path : dirname(path)), { recursive: true });
      if (typeof content === 'string') writeFileSync(join(stage, path), content, { mode: 0o644 });
    }
    tar([...ofRoot, '--mode=u=rwX,go=rX', '-cf', out, '-C', stage, '.']);
    // A second entry of a path is the one that counts.
    for (const [path, mode] of Object.entries(modes)) {
      chmodSync(join(stage, path), mode);
      tar([...ofRoot, '--no-recursion', '-rf', out, '-C', stage, `./${path}`]);
    }
    for (const [index, { from, to, exclude = [] }] of parts.entries()) {
      const except = exclude.map((pattern) => `--exclude=${pattern}`);
      const place = ['--transform', `s,^\\(\\./\\)*,./${to}/,S`, '-C', from];
      tar([...ofRoot, '--mode=u=rwX,go=rX', ...except, '-rf', out, ...place, '-T', '-'], lists[index].list.join('\n'));
    }
    if (own !== undefined) {
      mkdirSync(join(stage, own));
      tar([...settled, '--owner=1000', '--group=1000', '--mode=0755', '-rf', out, '-C', stage, `./${own}`]);
    }
  } finally {
    rmSync(stage, { recursive: true, force: true });
  }
}

const [name] = process.argv.slice(2);
if (!Object.hasOwn(images, name)) {
  console.error(`image-files: unknown image: ${name} (${Object.keys(images).join(', ')})`);
  process.exit(2);
}
if (!existsSync(join(root, 'node_modules'))) {
  console.error('image-files: node_modules is empty; run: node scripts/setup.mjs');
  process.exit(6);
}
mkdirSync(join(root, '.build'), { recursive: true });
pack(name);
