import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { canonical } from '@pangolin/contracts/canonical';
import { openBundle } from '@pangolin/verify/readers/open';
import { memoryReader } from '@pangolin/verify/readers/memory';
import type { Report } from '@pangolin/verify/report';
import { verifyBundle } from '@pangolin/verify/verify';
import { forgeKeys, trustOf, type Files, type Json } from './forge.ts';
import { tell } from './story.ts';

const keys = forgeKeys();
const trust = trustOf(keys);
const { files } = tell(keys);
let folder: string;
let base: Report;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pangolin-verify-'));
  base = await verifyBundle(memoryReader(files), trust);
});
after(() => rm(folder, { recursive: true }));

let made = 0;
const fresh = (): string => join(folder, `bundle-${made++}`);

async function directory(bundle: Files): Promise<string> {
  const path = fresh();
  for (const [name, bytes] of bundle) {
    await mkdir(dirname(join(path, name)), { recursive: true });
    await writeFile(join(path, name), bytes);
  }
  return path;
}

async function file(bytes: Uint8Array | string): Promise<string> {
  const path = fresh();
  await writeFile(path, bytes);
  return path;
}

async function verifyAt(path: string): Promise<Report> {
  const { reader, close } = await openBundle(path);
  try {
    return await verifyBundle(reader, trust);
  } finally {
    await close();
  }
}

/* ---- the same bundle in every container ---- */

function documentOf(bundle: Files): Json {
  const entries = [...bundle].map(([name, bytes]) => {
    const text = bytes.toString('utf8');
    return [name, Buffer.from(text).equals(bytes) ? text : { base64: bytes.toString('base64') }];
  });
  return { files: Object.fromEntries(entries) as Json };
}

interface Member {
  readonly name: string;
  readonly bytes?: Uint8Array;
  readonly type?: string;
  readonly link?: string;
  readonly size?: string;
  readonly prefix?: string;
  readonly magic?: string;
  readonly checksum?: number;
}

function header({
  name,
  bytes = Buffer.alloc(0),
  type = '0',
  link = '',
  size,
  prefix = '',
  magic = 'ustar\x0000',
  checksum,
}: Member): Buffer {
  const block = Buffer.alloc(512);
  block.write(name, 0, 100, 'utf8');
  block.write('0000644\0', 100);
  block.write('0000000\0', 108);
  block.write('0000000\0', 116);
  block.write(size ?? `${bytes.length.toString(8).padStart(11, '0')}\0`, 124, 12, 'latin1');
  block.write('00000000000\0', 136);
  block.write('        ', 148);
  block.write(type, 156);
  block.write(link, 157);
  block.write(magic, 257, 8, 'latin1');
  block.write(prefix, 345);
  const sum = checksum ?? block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return block;
}

const member = (each: Member): Buffer[] => {
  const bytes = each.bytes ?? Buffer.alloc(0);
  return [header(each), Buffer.from(bytes), Buffer.alloc((512 - (bytes.length % 512)) % 512)];
};
const tar = (members: readonly Member[]): Buffer => Buffer.concat([...members.flatMap(member), Buffer.alloc(1024)]);
const members = (bundle: Files): Member[] => [...bundle].map(([name, bytes]) => ({ name, bytes }));

const containers: readonly [string, () => Promise<string>][] = [
  ['a directory', () => directory(files)],
  ['a JSON document', () => file(canonical(documentOf(files)))],
  ['a ustar archive', () => file(tar(members(files)))],
  [
    'a ustar archive with folders and ./',
    () =>
      file(
        tar([
          { name: './', type: '5' },
          { name: './blobs/', type: '5' },
          ...members(files).map((each) => ({ ...each, name: `./${each.name}` })),
        ]),
      ),
  ],
  [
    'an archive made by tar',
    async () => {
      const path = fresh();
      execFileSync('tar', ['--format=ustar', '-cf', path, '-C', await directory(files), '.']);
      return path;
    },
  ],
];

for (const [name, make] of containers) {
  test(`the same bundle as ${name} gives the same report`, async () => {
    assert.deepEqual(await verifyAt(await make()), base);
  });
}

test('a binary product travels in every container', async () => {
  const name = [...files.keys()].findLast((each) => each.startsWith('blobs/'))!;
  const binary = new Map(files).set(name, Buffer.of(0xff, 0, 0xfe));
  for (const path of [
    await directory(binary),
    await file(canonical(documentOf(binary))),
    await file(tar(members(binary))),
  ]) {
    const report = await verifyAt(path);
    assert.deepEqual(
      [report.failure, report.checks.structure.result],
      ['blob', true],
      'read, and found to be another content',
    );
  }
});

/* ---- class L: what is no plain set of files ---- */

const evilMembers: readonly [string, () => Member[] | Buffer][] = [
  ['a member twice', () => [...members(files), members(files)[0]!]],
  ['a symbolic link', () => [...members(files), { name: 'blobs/x', type: '2', link: '/etc/passwd' }]],
  ['a hard link', () => [...members(files), { name: 'blobs/x', type: '1', link: 'events.jsonl' }]],
  ['a character device', () => [...members(files), { name: 'blobs/x', type: '3' }]],
  ['a pipe', () => [...members(files), { name: 'blobs/x', type: '6' }]],
  ['a pax header', () => [{ name: 'x', type: 'x', bytes: Buffer.from('20 path=events.json\n') }, ...members(files)]],
  ['a GNU long name', () => [{ name: '././@LongLink', type: 'L', bytes: Buffer.from('x') }, ...members(files)]],
  ['a GNU sparse file', () => [...members(files), { name: 'blobs/x', type: 'S' }]],
  ['a name that climbs', () => [...members(files), { name: '../evil', bytes: Buffer.from('x') }]],
  ['a name from the root', () => [...members(files), { name: '/etc/passwd', bytes: Buffer.from('x') }]],
  [
    'a prefix that hides a name',
    () => [...members(files), { name: 'events.jsonl', prefix: '..', bytes: Buffer.from('x') }],
  ],
  ['a length in base 256', () => [...members(files), { name: 'notes', size: '\x80\0\0\0\0\0\0\0\0\0\0\x01' }]],
  ['a length beyond the archive', () => [...members(files), { name: 'notes', size: '77777777777\0' }]],
  ['a negative length', () => [...members(files), { name: 'notes', size: '-0000000001\0' }]],
  ['another magic', () => [...members(files), { name: 'notes', magic: 'ustar  \0' }]],
  ['a wrong checksum', () => [...members(files), { name: 'notes', checksum: 1 }]],
  ['a regular file with a link', () => [...members(files), { name: 'notes', link: 'x' }]],
  ['no end', () => tar(members(files)).subarray(0, -1024)],
  ['half an end', () => tar(members(files)).subarray(0, -512)],
  ['a block behind its end', () => Buffer.concat([tar(members(files)), header({ name: 'notes' })])],
  ['half a block', () => Buffer.concat([tar(members(files)), Buffer.alloc(7)])],
  [
    'bytes in its padding',
    () => {
      const bytes = tar([{ name: 'events.jsonl', bytes: Buffer.from('x') }, ...members(files)]);
      bytes[512 + 9] = 1;
      return bytes;
    },
  ],
  ['nothing in it', () => Buffer.alloc(1024)],
  ['nothing at all', () => Buffer.alloc(0)],
];

for (const [name, make] of evilMembers) {
  test(`an archive with ${name} is refused`, async () => {
    const content = make();
    const report = await verifyAt(await file(Buffer.isBuffer(content) ? content : tar(content)));
    assert.deepEqual([report.verdict, report.failure], ['failed', 'structure']);
  });
}

test('a flipped bit anywhere in an archive is noticed or changes nothing that is read', async () => {
  const archive = tar(members(files));
  for (let at = 0; at < archive.length; at += 997) {
    const bytes = Buffer.from(archive);
    bytes[at]! ^= 1 << (at % 8);
    assert.equal((await verifyAt(await file(bytes))).verdict, 'failed', `byte ${at}`);
  }
});

const evilFolders: readonly [string, (path: string) => Promise<void>][] = [
  [
    'a symbolic link for a file',
    async (path) => {
      await rm(join(path, 'events.jsonl'));
      await writeFile(join(folder, 'real'), files.get('events.jsonl')!);
      await symlink(join(folder, 'real'), join(path, 'events.jsonl'));
    },
  ],
  [
    'a symbolic link for a folder',
    async (path) => {
      await symlink('/etc', join(path, 'history'));
    },
  ],
  ['a pipe', async (path) => void execFileSync('mkfifo', [join(path, 'blobs', '0'.repeat(64))])],
  ['a folder for a file', async (path) => void (await mkdir(join(path, 'blobs', '0'.repeat(64))))],
  ['an unknown file', (path) => writeFile(join(path, 'README'), 'x')],
  [
    'an unknown folder',
    async (path) => {
      await mkdir(join(path, 'extra'));
      await writeFile(join(path, 'extra', 'x'), 'x');
    },
  ],
];

for (const [name, change] of evilFolders) {
  test(`a directory with ${name} is refused`, async () => {
    const path = await directory(files);
    await change(path);
    const report = await verifyAt(path);
    assert.deepEqual([report.verdict, report.failure], ['failed', 'structure']);
  });
}

const evilDocuments: readonly [string, () => string][] = [
  ['white space', () => JSON.stringify(documentOf(files), null, 1)],
  ['a line feed at its end', () => `${canonical(documentOf(files))}\n`],
  [
    'a file twice',
    () => canonical(documentOf(files)).replace('"events.jsonl":', '"events.jsonl":"evil","events.jsonl":'),
  ],
  ['a member besides', () => canonical({ ...documentOf(files), report: {} })],
  ['no files', () => '{}'],
  ['a list of files', () => '{"files":[]}'],
  [
    'text in base64',
    () =>
      canonical({
        files: {
          ...documentOf(files).files,
          'events.jsonl': { base64: files.get('events.jsonl')!.toString('base64') },
        },
      }),
  ],
  [
    'base64 without padding',
    () => canonical({ files: { ...documentOf(files).files, [`blobs/${'0'.repeat(64)}`]: { base64: '/w' } } }),
  ],
  ['a number for a file', () => canonical({ files: { ...documentOf(files).files, 'events.jsonl': 1 } })],
  ['a file called __proto__', () => canonical(documentOf(files)).replace('{"files":{', '{"files":{"__proto__":"x",')],
  ['half of it', () => canonical(documentOf(files)).slice(0, 1000)],
];

for (const [name, make] of evilDocuments) {
  test(`a JSON document with ${name} is refused`, async () => {
    const report = await verifyAt(await file(make()));
    assert.deepEqual([report.verdict, report.failure], ['failed', 'structure']);
  });
}
