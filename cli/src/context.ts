/** What every command is handed: its streams, its format and the storage it works on. */
import { existsSync } from 'node:fs';
import { userInfo } from 'node:os';
import { fileURLToPath } from 'node:url';
import { PangolinError } from '@pangolin/contracts/errors';
import type { ObjectStore } from '@pangolin/storage/object-store';
import type { Flags } from './command.ts';
import { paintFor, writeOut, type Paint } from './terminal.ts';

export const DEFAULT_STORAGE = './.pangolin';

/** They may stand anywhere on the line. */
export const globalFlags = {
  storage: {
    type: 'string',
    valueHint: 'LOCATION',
    description: `A folder or s3://bucket/prefix. Else PANGOLIN_STORAGE, else ${DEFAULT_STORAGE}.`,
  },
  output: { type: 'enum', alias: 'o', options: ['text', 'json'], description: 'Format of the result.' },
  quiet: { type: 'boolean', alias: 'q', description: 'Print results and errors, no notes.' },
  help: { type: 'boolean', alias: 'h', description: 'Say how a command is used.' },
  version: { type: 'boolean', description: 'Print the version.' },
} as const satisfies Flags;

export interface Context {
  readonly json: boolean;
  /** stdout is a terminal and the format is text. */
  readonly interactive: boolean;
  readonly paint: Paint;
  /** The same for stderr. */
  readonly paintError: Paint;
  /** As given; commands show it in messages. */
  readonly location: string;
  /** A line of the result. */
  print(text: string): Promise<void>;
  /** Bytes of the result as they are. */
  write(bytes: Uint8Array): Promise<void>;
  /** A result as JSON: a document, indented. */
  printJson(value: unknown): Promise<void>;
  /** A result as JSON: one line of many. */
  printLine(value: unknown): Promise<void>;
  /** For people, on stderr; nothing that a script needs. */
  note(text: string): void;
  /** To read: @throws PangolinError NOT_FOUND instead of creating a folder. */
  open(): Promise<ObjectStore>;
  /** To write: creates a folder that is missing. */
  openOrCreate(): Promise<ObjectStore>;
}

export function createContext(globals: ReadonlyMap<string, string | true>): Context {
  const given = globals.get('storage');
  const location = typeof given === 'string' ? given : process.env.PANGOLIN_STORAGE || DEFAULT_STORAGE;
  const json = globals.get('output') === 'json';
  const quiet = globals.has('quiet');
  const openOrCreate = async (): Promise<ObjectStore> => {
    const { openStore } = await import('@pangolin/storage/open');
    return await openStore(location);
  };
  return {
    json,
    interactive: process.stdout.isTTY && !json,
    paint: paintFor(process.stdout),
    paintError: paintFor(process.stderr),
    location,
    print: (text) => writeOut(`${text}\n`),
    write: writeOut,
    printJson: (value) => writeOut(`${JSON.stringify(value, null, 2)}\n`),
    printLine: (value) => writeOut(`${JSON.stringify(value)}\n`),
    note: (text) => {
      if (!quiet) process.stderr.write(`${text}\n`);
    },
    open: async () => {
      if (isMissingFolder(location)) {
        throw new PangolinError('NOT_FOUND', `there is no storage at ${location}`, {
          hint: 'Name it with --storage or PANGOLIN_STORAGE; `pangolin orch submit` and `serve` create it.',
        });
      }
      return await openOrCreate();
    },
    openOrCreate,
  };
}

function isMissingFolder(location: string): boolean {
  if (/^file:\/\//i.test(location)) return !existsSync(fileURLToPath(location));
  return !/^[A-Za-z][A-Za-z0-9+.-]*:\/\//.test(location) && !existsSync(location);
}

/** Who runs this command, for submissions and controls. */
export function defaultActor(): string {
  let name = process.env.USER ?? '';
  try {
    name = userInfo().username;
  } catch {
    // A container may run under a uid that no name belongs to.
  }
  return `human:${name === '' ? 'unknown' : name.slice(0, 64)}`;
}
