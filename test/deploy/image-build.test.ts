/** What goes into the images: the same bytes wherever they are packed, and a bill of materials that is tied to the image. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  cpSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  utimesSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { test } from 'node:test';
import { WORKER_IMAGE } from '@pangolin/controller/providers/open';
import { docker, dockerSkip, repository } from '../spine/harness.ts';
import { CONTROLLER_IMAGE, imageSkip } from './controller-image.ts';

const skip = (await dockerSkip()) || imageSkip();
const digest = (file: string): string => createHash('sha256').update(readFileSync(file)).digest('hex');

function checkout(dir: string): void {
  const kept = ['package.json', 'package-lock.json', 'LICENSE', 'scripts', 'bin'];
  const packages = ['contracts', 'storage', 'verify', 'worker-image', 'controller', 'cli'];
  for (const path of [...kept, ...packages]) {
    cpSync(join(repository, path), join(dir, path), {
      recursive: true,
      filter: (source) => !['node_modules', 'dist'].includes(basename(source)),
    });
  }
  // Linked, not copied, and not touched.
  execFileSync('cp', ['-al', join(repository, 'node_modules'), join(dir, 'node_modules')]);
}

/** As a checkout of another day under another umask. */
function age(dir: string): void {
  for (const file of globSync('*/**/*.{ts,json,md}', { cwd: dir, exclude: (name) => name === 'node_modules' })) {
    chmodSync(join(dir, file), 0o600);
    utimesSync(join(dir, file), 1e9, 1e9);
  }
}

function packed(
  dir: string,
  names: readonly string[] = ['worker', 'controller'],
  env: Readonly<Record<string, string>> = {},
): Record<string, string> {
  const run = (...args: readonly string[]): void => {
    const [script = '', ...rest] = args;
    execFileSync(process.execPath, [join(dir, 'scripts', script), ...rest], {
      cwd: dir,
      env: { ...process.env, ...env },
    });
  };
  for (const group of ['worker', 'cli']) run('build.mjs', group);
  for (const name of names) run('image-files.mjs', name);
  return Object.fromEntries(
    names.flatMap((name) =>
      ['tar', 'cdx.json'].map((kind) => [`${name}.${kind}`, digest(join(dir, '.build', `${name}.${kind}`))]),
    ),
  );
}

test('two checkouts pack the same bytes; another SOURCE_DATE_EPOCH makes others', { timeout: 600_000 }, () => {
  mkdirSync(join(repository, '.build'), { recursive: true });
  const dir = mkdtempSync(join(repository, '.build', 'pack-'));
  try {
    const [one, two] = [join(dir, 'one'), join(dir, 'deeper', 'two')];
    checkout(one);
    const first = packed(one);
    mkdirSync(join(dir, 'deeper'));
    renameSync(one, two);
    age(two);
    assert.deepEqual(packed(two), first);
    const later = packed(two, ['worker'], { SOURCE_DATE_EPOCH: '1700000000' });
    for (const [name, value] of Object.entries(later)) assert.notEqual(value, first[name], name);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
});

test('building again without a cache gives the same layers', { skip }, () => {
  const layers = (image: string): string => docker('image', 'inspect', '-f', '{{json .RootFS.Layers}}', image);
  const again = `pangolin-test-again:${process.pid}`;
  try {
    const args = ['build', '-q', '--no-cache', '-f', 'Dockerfile.worker', '--target', 'worker', '-t', again];
    execFileSync('docker', [...args, '--build-arg', `BASE=${process.env['BASE'] ?? 'pangolin-base:dev'}`, '.'], {
      cwd: repository,
      env: { ...process.env, DOCKER_BUILDKIT: '0' },
    });
    assert.equal(layers(again), layers(WORKER_IMAGE));
  } finally {
    docker('image', 'rm', '-f', again);
  }
});

for (const [name, image] of [
  ['worker', WORKER_IMAGE],
  ['controller', CONTROLLER_IMAGE],
] as const) {
  test(`the bill of materials of the ${name} image is in it, named by its label, and true`, { skip }, () => {
    const inImage = (program: string, ...args: readonly string[]): string =>
      execFileSync('docker', ['run', '--rm', '--entrypoint', program, image, ...args], { encoding: 'utf8' });
    const text = inImage('cat', `/usr/share/pangolin/${name}.cdx.json`);
    const label = docker('image', 'inspect', '-f', '{{index .Config.Labels "dev.pangolin.sbom"}}', image);
    assert.equal(label, `sha256:${createHash('sha256').update(text).digest('hex')}`);
    const { bomFormat, components } = JSON.parse(text) as {
      readonly bomFormat: string;
      readonly components: readonly { readonly purl: string; readonly version: string }[];
    };
    assert.equal(bomFormat, 'CycloneDX');
    const listed = components.map(({ purl }) => decodeURIComponent(purl.split('?')[0]!)).sort();
    if (name === 'worker') {
      assert.ok(listed.some((purl) => purl.startsWith('pkg:npm/@agentclientprotocol/sdk@')));
      assert.ok(!listed.some((purl) => purl.startsWith('pkg:npm/dockerode@')), 'only what is bundled');
      return;
    }
    // Every package that lies there, nested ones included.
    const root = '.*/node_modules/(@[^/]+/)?[^/]+/package[.]json';
    const files = `find -L /opt/pangolin -regextype posix-extended -regex '${root}'`;
    const there = inImage('sh', '-c', `${files} | while read -r f; do cat "$f"; printf '\\0'; done`)
      .split('\0')
      .filter((each) => each.trim() !== '')
      .map((each) => JSON.parse(each) as { readonly name?: string; readonly version?: string })
      .filter((each) => each.name !== undefined && each.version !== undefined)
      .map((each) => `pkg:npm/${each.name}@${each.version}`);
    assert.deepEqual(
      [...new Set(there)].filter((purl) => !listed.includes(purl)),
      [],
    );
    assert.ok(listed.length > 100 && listed.every((purl) => there.includes(purl)), 'and nothing else');
  });
}
