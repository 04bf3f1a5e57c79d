import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { importBaseline } from '@pangolin/worker-image/capture/baseline';
import { Secrets } from '@pangolin/worker-image/secrets';
import { capturePatch } from '@pangolin/worker-image/capture/patch';
import { scanWorkspace, type ScanRules } from '@pangolin/worker-image/capture/scan';
import { INERT_ATTRIBUTES } from '@pangolin/worker-image/git';
import { placesOf } from '@pangolin/worker-image/places';
import { initRepo } from '@pangolin/worker-image/stage/workspace';

type Node =
  | { readonly kind: 'file'; readonly bytes: Uint8Array; readonly exec: boolean }
  | { readonly kind: 'link'; readonly target: string }
  | { readonly kind: 'dir'; readonly entries: ReadonlyMap<string, Node> };

// Few names, so that two trees meet: files become directories and links, and back. One character is one byte.
const name = fc.constantFrom(
  'a',
  'b',
  '-dash',
  'tab\there',
  'new\nline',
  'quo"te',
  ' space ',
  '\xff\xfe',
  '\\back',
  'c.gitattributes',
  '.gitattributes',
  ':(top)x',
  '*',
);
const bytes = fc.oneof(
  fc
    .constantFrom(
      '',
      'x',
      'x\n',
      'one\r\ntwo\r\n',
      '* text eol=crlf ident\n*.x filter=f\n',
      '$Id$\n',
      '\0\0',
      'a\n\0b\n',
    )
    .map((text) => Buffer.from(text)),
  fc.uint8Array({ maxLength: 200 }),
  fc
    .array(fc.constantFrom('alpha', 'beta', '', '+', '-- ', 'diff --git a/a b/a', '\\ No newline at end of file'), {
      maxLength: 30,
    })
    .map((lines) => Buffer.from(lines.join('\n'))),
);
const link = fc.constantFrom('a', 'nowhere', '/etc/passwd', '../../..', 'new\nline', '\xff');
const leaf: fc.Arbitrary<Node> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('file' as const), bytes, exec: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('link' as const), target: link }) },
);
const dirOf = (child: fc.Arbitrary<Node>): fc.Arbitrary<Node> =>
  fc.array(fc.tuple(name, child), { maxLength: 5 }).map((entries) => ({ kind: 'dir', entries: new Map(entries) }));
const tree = dirOf(fc.oneof(leaf, dirOf(fc.oneof(leaf, dirOf(leaf)))));

const byte = (path: string): Buffer => Buffer.from(path, 'latin1');

function lay(path: string, node: Node): void {
  if (node.kind === 'link') symlinkSync(byte(node.target), byte(path));
  else if (node.kind === 'file') {
    writeFileSync(byte(path), node.bytes);
    if (node.exec) chmodSync(byte(path), 0o755);
  } else {
    mkdirSync(byte(path), { recursive: true });
    for (const [child, entry] of node.entries) lay(`${path}/${child}`, entry);
  }
}

const signal = new AbortController().signal;
const GIT_ENV = {
  PATH: process.env['PATH'],
  GIT_CONFIG_NOSYSTEM: '1',
  GIT_CONFIG_GLOBAL: '/dev/null',
  GIT_ATTR_NOSYSTEM: '1',
};

const everything: ScanRules = {
  base: new Map(),
  hash: 'sha1',
  ignored: async () => new Set(),
  newBytesMax: Infinity,
  newFilesMax: Infinity,
  ownerUid: undefined,
  signal,
};

/** What git would see of a directory: every file and link with its mode and content id. */
async function contentOf(dir: string): Promise<unknown> {
  const scan = await scanWorkspace(dir, everything);
  return [...scan.entries].sort(([a], [b]) => (a < b ? -1 : 1));
}

async function roundTrip(before: Node, after: Node): Promise<void> {
  const work = mkdtempSync(join(tmpdir(), 'pangolin-capture-'));
  try {
    const places = placesOf({
      workDir: work,
      path: process.env['PATH'] ?? '',
      inDir: '',
      outDir: work,
      secretsDir: '',
      graceMs: 0,
      cancel: signal,
    });
    mkdirSync(places.private);
    await initRepo(places, undefined, signal);
    lay(places.workspace, before);
    const baseTree = await importBaseline(places, signal);
    rmSync(places.workspace, { recursive: true });
    lay(places.workspace, after);
    const equipment = { files: new Map(), overlaid: new Set<string>(), env: [] };
    await capturePatch({ places, baseTree, equipment }, work, new Secrets(new Map()), signal, () =>
      assert.fail('something was left out'),
    );
    const clean = join(work, 'clean');
    mkdirSync(join(clean, '.git'), { recursive: true });
    const git = (...args: string[]): Buffer =>
      execFileSync('git', args, {
        cwd: clean,
        stdio: ['ignore', 'pipe', 'pipe'],
        env: {
          ...GIT_ENV,
          GIT_DIR: join(clean, '.git'),
          GIT_WORK_TREE: clean,
          GIT_ALTERNATE_OBJECT_DIRECTORIES: join(places.repo, 'objects'),
        },
      });
    git('init', '-q');
    writeFileSync(join(clean, '.git', 'info', 'attributes'), INERT_ATTRIBUTES);
    git('read-tree', '-u', '--reset', baseTree);
    git('apply', '--allow-empty', '--binary', '--whitespace=nowarn', join(work, 'patch'));
    assert.deepEqual(await contentOf(clean), await contentOf(places.workspace));
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

test('git apply of the patch on a clean checkout gives the workspace back, byte for byte', async () => {
  await fc.assert(fc.asyncProperty(tree, tree, roundTrip), { numRuns: 40, interruptAfterTimeLimit: 30_000 });
});

const file = (content: string, exec = false): Node => ({ kind: 'file', bytes: Buffer.from(content, 'latin1'), exec });
const at = (entries: Record<string, Node>): Node => ({ kind: 'dir', entries: new Map(Object.entries(entries)) });
const swaps: readonly [string, Node, Node][] = [
  ['a file that becomes a directory', at({ a: file('x') }), at({ a: at({ b: file('y') }) })],
  ['a directory that becomes a link', at({ a: at({ b: file('y') }) }), at({ a: { kind: 'link', target: '/etc' } })],
  ['a link that becomes a directory', at({ a: { kind: 'link', target: 'b' } }), at({ a: at({ b: file('y') }) })],
  ['a link that becomes a file', at({ a: { kind: 'link', target: 'b' } }), at({ a: file('b') })],
  ['a rename with a mode change', at({ a: file('same\n') }), at({ b: file('same\n', true) })],
  ['an empty file that gets content', at({ a: file('') }), at({ a: file('\0\xff\r\n') })],
  ['a change of the mode alone', at({ a: file('x') }), at({ a: file('x', true) })],
  ['a directory whose name ends with a space', at({}), at({ 'a ': at({ b: file('') }) })],
  ['nothing', at({ a: file('x') }), at({ a: file('x') })],
];
for (const [what, before, after] of swaps) test(`the patch carries ${what}`, () => roundTrip(before, after));

test('more new names than the limit are OutputTooLarge before the ignore rules are asked; known ones do not count', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'pangolin-capture-'));
  try {
    mkdirSync(join(dir, 'd'));
    for (const path of ['a', 'b', 'd/c']) writeFileSync(join(dir, path), '');
    const scan = (newFilesMax: number, base: ScanRules['base'] = new Map()): Promise<unknown> => {
      const ignored: ScanRules['ignored'] = (paths) =>
        newFilesMax < 3 ? assert.fail('it asked') : Promise.resolve(new Set(paths.filter((path) => path === 'a')));
      return scanWorkspace(dir, { ...everything, base, newFilesMax, ignored });
    };
    await scan(4);
    await assert.rejects(scan(3), { reason: 'OutputTooLarge', message: 'there are more than 3 new files' });
    await assert.rejects(scan(2), { reason: 'OutputTooLarge' });
    await scan(3, new Map([['b', { mode: '100644', oid: '' }]]));
  } finally {
    rmSync(dir, { recursive: true });
  }
});
