/** Copies for a standalone task: what its owner put into `in/`. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { constants } from 'node:fs';
import { copyFile, stat } from 'node:fs/promises';
import type { BlockUser } from '../options.ts';
import type { Places } from '../places.ts';
import { own } from './workspace.ts';

/** Copies the content of `from` into the workspace, links as links, and hands it to the block user. */
export async function copyTree(from: string, { workspace, user, path }: Places, signal: AbortSignal): Promise<void> {
  await run('cp', ['-RP', `${from}/.`, workspace], path, signal);
  if (user !== undefined) await run('chown', ['-hR', `${user.uid}:${user.gid}`, workspace], path, signal);
}

/** @throws Error with code EEXIST when `to` exists */
export async function copyFileInto(from: string, to: string, user: BlockUser | undefined): Promise<void> {
  if (!(await stat(from)).isFile()) return;
  await copyFile(from, to, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
  await own(to, user);
}

async function run(file: string, args: readonly string[], path: string, signal: AbortSignal): Promise<void> {
  const child = spawn(file, args, { env: { PATH: path, LC_ALL: 'C' }, stdio: ['ignore', 'ignore', 'pipe'], signal });
  let words = '';
  child.stderr.on('data', (chunk: Buffer) => (words = (words + chunk.toString()).slice(-1000)));
  const [code] = (await once(child, 'close')) as [number | null];
  if (code !== 0) throw new Error(`${file} failed: ${words.trim()}`);
}
