/** What the workspace holds now, as git would store it: mode and object id of every file that can be in the patch. */
import { closeSync, fstatSync, readSync } from 'node:fs';
import { gitBlobStream } from '@pangolin/contracts/digest';
import { AttemptFailure } from '../failure.ts';
import {
  closeDir,
  listDir,
  openDirAt,
  openFileAt,
  openRoot,
  readLinkAt,
  showPath,
  type BytePath,
  type DirEntry,
  type OpenDir,
} from './safe-fs.ts';

export type FileMode = '100644' | '100755' | '120000' | '160000';

export interface TreeEntry {
  readonly mode: FileMode;
  /** Git's object id of the content: of a file its bytes, of a link its target. */
  readonly oid: string;
}
export type TreeEntries = ReadonlyMap<BytePath, TreeEntry>;

export interface ScanRules {
  /** The baseline; what is in it is never hidden by an ignore rule. */
  readonly base: TreeEntries;
  readonly hash: 'sha1' | 'sha256';
  /** Which of these new paths (directories end with `/`) the ignore rules of the baseline hide. */
  readonly ignored: (paths: readonly BytePath[]) => Promise<ReadonlySet<BytePath>>;
  /** More bytes in files that are not in the baseline are OutputTooLarge, before they are read. */
  readonly newBytesMax: number;
  /** More names that are not in the baseline are OutputTooLarge, before anybody asks whether they are ignored. */
  readonly newFilesMax: number;
  /** Files of another owner are not the blocks' own: hard links to something they could not read. */
  readonly ownerUid: number | undefined;
  readonly signal: AbortSignal;
}

export interface Scan {
  readonly entries: ReadonlyMap<BytePath, TreeEntry & { readonly size: number }>;
  /** What was left out, and why; for the log. */
  readonly skipped: readonly string[];
}

/** Not part of the product at the top of the workspace. */
export const RESERVED: ReadonlySet<BytePath> = new Set(['.git', '.pangolin', 'inputs', 'outputs']);
const ENTRIES_MAX = 2_000_000;
/** Git cannot store longer ones, and every level costs an open directory. */
const PATH_BYTES_MAX = 4095;
const DEPTH_MAX = 512;
/** All that is read to tell what changed; a sparse file costs its length. */
const SCAN_BYTES_MAX = 64 * 2 ** 30;
const SKIPPED_MAX = 100;
const BUFFER = Buffer.allocUnsafe(2 ** 20);

/** @throws AttemptFailure CaptureFailed or OutputTooLarge */
export async function scanWorkspace(workspace: string, rules: ScanRules): Promise<Scan> {
  const scanner = new Scanner(rules);
  const root = openRoot(workspace);
  try {
    await scanner.visit(root, '', 0);
  } finally {
    closeDir(root);
  }
  return scanner;
}

class Scanner implements Scan {
  readonly entries = new Map<BytePath, TreeEntry & { size: number }>();
  readonly skipped: string[] = [];
  readonly #rules: ScanRules;
  readonly #baseDirs: ReadonlySet<BytePath>;
  #seen = 0;
  #bytes = 0;
  #newBytes = 0;
  #newFiles = 0;

  constructor(rules: ScanRules) {
    this.#rules = rules;
    this.#baseDirs = directoriesOf(rules.base);
  }

  async visit(dir: OpenDir, prefix: BytePath, depth: number): Promise<void> {
    this.#rules.signal.throwIfAborted();
    if (depth > DEPTH_MAX) throw new AttemptFailure('CaptureFailed', `directories nest deeper than ${DEPTH_MAX}`);
    const entries = listDir(dir).filter((entry) => this.#counts(prefix, entry));
    this.#seen += entries.length;
    if (this.#seen > ENTRIES_MAX) {
      throw new AttemptFailure('OutputTooLarge', `the workspace holds more than ${ENTRIES_MAX} files`);
    }
    const hidden = await this.#hidden(prefix, entries);
    for (const { name, type } of entries) {
      const path = prefix + name;
      if (hidden.has(type === 'directory' ? `${path}/` : path)) continue;
      if (path.length > PATH_BYTES_MAX) throw new AttemptFailure('CaptureFailed', 'a path is longer than 4095 bytes');
      if (type === 'directory') await this.#descend(dir, name, path, depth);
      else if (type === 'file') this.#addFile(dir, name, path);
      else if (type === 'link') this.#add(path, '120000', readLinkAt(dir, name));
      else this.#skip(`${showPath(path)} is no regular file, link or directory`);
    }
  }

  #counts(prefix: BytePath, { name }: DirEntry): boolean {
    if (prefix === '' && RESERVED.has(name)) return false;
    if (name !== '.git') return true;
    // Git would see a repository of its own here and hide what is beside it. The files beside it count.
    this.#skip(`${showPath(prefix)}.git belongs to a repository inside the workspace`);
    return false;
  }

  async #hidden(prefix: BytePath, entries: readonly DirEntry[]): Promise<ReadonlySet<BytePath>> {
    const fresh = entries.flatMap(({ name, type }) => {
      const path = prefix + name;
      if (this.#rules.base.has(path) || this.#baseDirs.has(path)) return [];
      return [type === 'directory' ? `${path}/` : path];
    });
    this.#newFiles += fresh.length;
    if (this.#newFiles > this.#rules.newFilesMax) {
      throw new AttemptFailure('OutputTooLarge', `there are more than ${this.#rules.newFilesMax} new files`);
    }
    return fresh.length === 0 ? new Set() : this.#rules.ignored(fresh);
  }

  async #descend(parent: OpenDir, name: BytePath, path: BytePath, depth: number): Promise<void> {
    const before = this.entries.size;
    const dir = openDirAt(parent, name);
    try {
      await this.visit(dir, `${path}/`, depth + 1);
    } finally {
      closeDir(dir);
    }
    // The directory of a submodule that nobody filled is the submodule still.
    const base = this.#rules.base.get(path);
    if (base?.mode === '160000' && this.entries.size === before) this.entries.set(path, { ...base, size: 0 });
  }

  #addFile(dir: OpenDir, name: BytePath, path: BytePath): void {
    const fd = openFileAt(dir, name);
    try {
      const { uid, mode, size } = fstatSync(fd);
      if (this.#rules.ownerUid !== undefined && uid !== this.#rules.ownerUid) {
        this.#skip(`${showPath(path)} does not belong to the block user`);
        return;
      }
      this.#account(path, size);
      const oid = this.#hashFile(fd, size, path);
      this.entries.set(path, { mode: (mode & 0o100) === 0 ? '100644' : '100755', oid, size });
    } finally {
      closeSync(fd);
    }
  }

  #account(path: BytePath, size: number): void {
    this.#bytes += size;
    if (!this.#rules.base.has(path)) this.#newBytes += size;
    const { newBytesMax } = this.#rules;
    if (this.#newBytes > newBytesMax) {
      throw new AttemptFailure(
        'OutputTooLarge',
        `new files hold more than ${newBytesMax} bytes, with ${showPath(path)}`,
      );
    }
    if (this.#bytes <= SCAN_BYTES_MAX) return;
    throw new AttemptFailure('OutputTooLarge', `the workspace holds more than ${SCAN_BYTES_MAX} bytes`);
  }

  #hashFile(fd: number, size: number, path: BytePath): string {
    const hash = gitBlobStream(this.#rules.hash, size);
    let left = size;
    while (left > 0) {
      const got = readSync(fd, BUFFER, 0, Math.min(left, BUFFER.length), null);
      if (got === 0) throw new AttemptFailure('CaptureFailed', `${showPath(path)} changed while it was read`);
      hash.update(BUFFER.subarray(0, got));
      left -= got;
    }
    return hash.digest('hex');
  }

  #add(path: BytePath, mode: FileMode, content: Buffer): void {
    const oid = gitBlobStream(this.#rules.hash, content.length).update(content).digest('hex');
    this.entries.set(path, { mode, oid, size: content.length });
  }

  #skip(what: string): void {
    if (this.skipped.length < SKIPPED_MAX) this.skipped.push(what);
  }
}

function directoriesOf(entries: TreeEntries): ReadonlySet<BytePath> {
  const dirs = new Set<BytePath>();
  for (const path of entries.keys()) {
    for (let slash = path.lastIndexOf('/'); slash > 0; slash = path.lastIndexOf('/', slash - 1)) {
      const dir = path.slice(0, slash);
      if (dirs.has(dir)) break;
      dirs.add(dir);
    }
  }
  return dirs;
}
