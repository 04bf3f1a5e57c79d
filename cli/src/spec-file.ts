/** A file that a user names on the command line, `-` being standard input. */
import { readFile, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { PangolinError } from '@pangolin/contracts/errors';
import type { Problem } from '@pangolin/contracts/status';
import type { Context } from './context.ts';
import { renderProblems } from './render/problems.ts';

/** Of a run as JSON, the largest form there is. */
const FILE_BYTES_MAX = 256 * 2 ** 20;

export interface SpecFile {
  /** For messages. */
  readonly name: string;
  readonly bytes: Buffer;
  /** What relative paths in it are relative to. */
  readonly dir: string;
}

/** @throws PangolinError NOT_FOUND, TOO_LARGE, INVALID for a folder. */
export async function readSpecFile(file: string): Promise<SpecFile> {
  if (file === '-') return { name: 'stdin', bytes: await readStdin(), dir: process.cwd() };
  try {
    const { size } = await stat(file);
    if (size > FILE_BYTES_MAX) throw tooLarge(file);
    return { name: file, bytes: await readFile(file), dir: dirname(resolve(file)) };
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code;
    if (code === 'ENOENT' || code === 'ENOTDIR')
      throw new PangolinError('NOT_FOUND', `there is no file ${file}`, { cause });
    if (code === 'EISDIR')
      throw new PangolinError('INVALID', `${file} is a folder`, { hint: 'Name a file in it.', cause });
    if (code === 'EACCES') throw new PangolinError('DENIED', `${file} may not be read`, { cause });
    throw cause;
  }
}

async function readStdin(): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of process.stdin as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > FILE_BYTES_MAX) throw tooLarge('stdin');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

const tooLarge = (file: string): PangolinError =>
  new PangolinError('TOO_LARGE', `${file} is larger than ${FILE_BYTES_MAX} bytes`);

/** Prints what is wrong with a file: on stderr for people, `{ok: false, problems}` as the result in JSON. @returns the exit code */
export async function reportProblems(context: Context, file: SpecFile, problems: readonly Problem[]): Promise<number> {
  if (context.json) await context.printJson({ ok: false, problems });
  else {
    process.stderr.write(`${renderProblems(problems, context.paintError, file.bytes.toString('utf8'))}\n`);
    process.stderr.write(`${file.name} has ${problems.length === 1 ? 'a problem' : `${problems.length} problems`}\n`);
  }
  return 2;
}
