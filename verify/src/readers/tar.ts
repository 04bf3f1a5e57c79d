/**
 * A bundle in a ustar archive (POSIX 1003.1-1988), the plain subset: regular files and the folders they are in.
 *
 * ```
 * 0 name[100] · 100 mode uid gid · 124 size[12] mtime · 148 checksum[8] · 156 type · 157 link[100] · 257 "ustar\0" "00"
 * 265 owner group device · 345 prefix[155] · 500 zeros — content padded with zeros to 512 — two zero blocks at the end
 * ```
 */
import { sha256Stream } from '@pangolin/contracts/digest';
import type { BundleReader } from '../bundle-reader.ts';
import { quote, refuse } from '../refusal.ts';
import { FILES_MAX } from './directory.ts';

/** The archive as bytes at offsets. `read` answers exactly `length` bytes or fails. */
export interface RandomAccess {
  readonly size: number;
  read(offset: number, length: number): Promise<Buffer>;
}

interface Member {
  readonly offset: number;
  readonly size: number;
}

const BLOCK = 512;
const CHUNK = 1 << 20;

export function tarReader(archive: RandomAccess): BundleReader {
  let members: Promise<ReadonlyMap<string, Member>> | undefined;
  const find = async (name: string): Promise<Member> =>
    (await (members ??= readMembers(archive))).get(name) ?? refuse(`${quote(name)} is not in the bundle`);
  return {
    async list() {
      return [...(await (members ??= readMembers(archive)))].map(([name, { size }]) => ({ name, size }));
    },
    async read(name) {
      const { offset, size } = await find(name);
      return archive.read(offset, size);
    },
    async digest(name) {
      const { offset, size } = await find(name);
      const hash = sha256Stream();
      for (let at = 0; at < size; at += CHUNK) hash.update(await archive.read(offset + at, Math.min(CHUNK, size - at)));
      return hash.digest('hex');
    },
  };
}

async function readMembers(archive: RandomAccess): Promise<Map<string, Member>> {
  if (archive.size % BLOCK !== 0) refuse('the archive does not consist of whole blocks');
  const members = new Map<string, Member>();
  let at = 0;
  for (; at < archive.size;) {
    const header = await archive.read(at, BLOCK);
    if (isZero(header)) break;
    const { name, size, folder } = readHeader(header);
    const end = at + BLOCK + Math.ceil(size / BLOCK) * BLOCK;
    if (end > archive.size) refuse(`the archive ends within ${quote(name)}`);
    const padding = end - (at + BLOCK + size);
    if (padding > 0 && !isZero(await archive.read(end - padding, padding)))
      refuse(`${quote(name)} has bytes after its end`);
    if (!folder) {
      if (members.has(name)) refuse(`the archive has ${quote(name)} twice`);
      members.set(name, { offset: at + BLOCK, size });
    }
    if (members.size > FILES_MAX) refuse(`the bundle has more than ${FILES_MAX} files`);
    at = end;
  }
  if (archive.size - at < 2 * BLOCK) refuse('the archive has no end');
  for (; at < archive.size; at += BLOCK) {
    if (!isZero(await archive.read(at, BLOCK))) refuse('the archive has bytes after its end');
  }
  return members;
}

function readHeader(header: Buffer): { readonly name: string; readonly size: number; readonly folder: boolean } {
  const name = readName(header);
  const sum = header.reduce((total, byte, at) => total + (at >= 148 && at < 156 ? 0x20 : byte), 0);
  if (readOctal(header.subarray(148, 156)) !== sum) refuse(`the header of ${quote(name)} has another checksum`);
  if (header.toString('latin1', 257, 265) !== 'ustar\0' + '00') refuse(`${quote(name)} is not in ustar format`);
  const type = header.toString('latin1', 156, 157);
  if (type !== '0' && type !== '5') refuse(`${quote(name)} is neither a plain file nor a folder`);
  const linked = !isZero(header.subarray(157, 257));
  const size = readOctal(header.subarray(124, 136)) ?? refuse(`${quote(name)} has no readable size`);
  if (linked || (type === '5' && size > 0)) refuse(`the header of ${quote(name)} contradicts itself`);
  return { name, size, folder: type === '5' };
}

/** `tar -C bundle .` writes `./` before every name; that much is forgiven. */
function readName(header: Buffer): string {
  const field = (start: number, end: number): string => header.toString('utf8', start, end).replace(/\0+$/, '');
  const prefix = field(345, 500);
  const name = (prefix === '' ? '' : `${prefix}/`) + field(0, 100);
  return name.startsWith('./') ? name.slice(2) : name;
}

/** Octal digits, ended by zero bytes or spaces. Undefined for anything else, base-256 sizes included. */
function readOctal(bytes: Buffer): number | undefined {
  const match = /^([0-7]{1,12})[\0 ]*$/.exec(bytes.toString('latin1'));
  return match ? Number.parseInt(match[1]!, 8) : undefined;
}

const isZero = (bytes: Buffer): boolean => bytes.every((byte) => byte === 0);
