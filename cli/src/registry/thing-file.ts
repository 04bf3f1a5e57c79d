/** What `register` and `validate` read: a file, or for a capability also a folder with its files. */
import { stat } from 'node:fs/promises';
import { basename, resolve } from 'node:path';
import type { ReadThing, ThingKind } from '@pangolin/contracts/things';
import { PangolinError } from '@pangolin/contracts/errors';
import { readSpecFile, type SpecFile } from '../spec-file.ts';
import { capabilityOfFolder } from './capability-folder.ts';

export function thingFileArgs(kind: ThingKind) {
  const folder = kind === 'capability' ? ' A folder stands for the files in it.' : '';
  return {
    file: { type: 'positional', description: `YAML or JSON, \`-\` for standard input.${folder}` },
    name: { type: 'string', description: 'Of a folder; else the folder’s own name. A file says its name itself.' },
  } as const;
}

/** @throws PangolinError as `readSpecFile`; INVALID for a folder that is no capability. */
export async function readThingFile(
  kind: ThingKind,
  { file: path, name }: { readonly file: string; readonly name: string | undefined },
): Promise<{ readonly file: SpecFile; readonly result: ReadThing }> {
  const { readThing } = await import('@pangolin/contracts/things');
  const isFolder = path !== '-' && (await stat(path).catch(() => undefined))?.isDirectory() === true;
  if (name !== undefined && !(isFolder && kind === 'capability')) {
    throw new PangolinError('USAGE', '--name is for the folder of a capability', {
      hint: 'A file has its name in `metadata.name`.',
    });
  }
  const file =
    isFolder && kind === 'capability'
      ? await capabilityOfFolder(path, name ?? basename(resolve(path)))
      : await readSpecFile(path);
  return { file, result: readThing(kind, file.bytes, file.name) };
}
