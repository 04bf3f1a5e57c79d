/** A folder of things as files: what `pangolin apply` makes the registry hold. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Sha256 } from '@pangolin/contracts/digest';
import { PangolinError } from '@pangolin/contracts/errors';
import type { ThingKind } from '@pangolin/contracts/things';
import type { Problem } from '@pangolin/contracts/status';
import { readSpecFile } from '../spec-file.ts';
import { capabilityOfFolder } from './capability-folder.ts';

export interface Declared {
  readonly kind: ThingKind;
  readonly name: string;
  readonly spec: unknown;
  readonly bytes: Buffer;
  readonly sha256: Sha256;
  /** The file or folder that declares it. */
  readonly from: string;
}

/** A folder of this name holds capabilities: each folder in it is one, under its own name. */
const CAPABILITIES = 'capabilities';
const FILES_MAX = 10_000;
/** What others name comes before those who name it. */
const ORDER: readonly ThingKind[] = ['capability', 'env', 'pipeline', 'subagent', 'shape'];

/** Every file is read, and every problem told at once. @throws PangolinError NOT_FOUND, INVALID, TOO_LARGE. */
export async function declaredIn(dir: string): Promise<{ things: Declared[]; problems: Problem[] }> {
  const things: Declared[] = [];
  const problems: Problem[] = [];
  for (const path of await specFiles(dir)) await readOne(path, things, problems);
  const seen = new Map<string, string>();
  for (const { kind, name, from } of things) {
    const before = seen.get(`${kind} ${name}`);
    if (before !== undefined) {
      const message = `${kind} ${name} is declared in ${before} already`;
      problems.push({ file: from, path: '', code: 'GivenTwice', message, hint: 'Keep one of them.' });
    }
    seen.set(`${kind} ${name}`, from);
  }
  things.sort((a, b) => ORDER.indexOf(a.kind) - ORDER.indexOf(b.kind) || (a.name < b.name ? -1 : 1));
  return { things, problems };
}

async function readOne(path: string, things: Declared[], problems: Problem[]): Promise<void> {
  const { readThing, thingKindOf, thingKinds } = await import('@pangolin/contracts/things');
  const { parseDocument } = await import('@pangolin/contracts/parse');
  const folder = path.endsWith('/');
  const file = folder
    ? await capabilityOfFolder(path.slice(0, -1), path.slice(0, -1).split('/').at(-1)!)
    : await readSpecFile(path);
  const parsed = parseDocument(file.bytes, file.name);
  if (!parsed.ok) return void problems.push(...parsed.problems);
  const kind = thingKindOf((parsed.value as { kind?: unknown } | null)?.kind);
  if (kind === undefined) {
    const message = 'the file is of no kind that is registered';
    const hint = `Kinds: ${thingKinds.join(', ')}. Runs are submitted: \`pangolin orch submit FILE\`.`;
    return void problems.push({ file: file.name, path: '/kind', code: 'InvalidValue', message, hint });
  }
  const read = readThing(kind, file.bytes, file.name);
  if (!read.ok) return void problems.push(...read.problems);
  const { name, spec, bytes, sha256 } = read;
  things.push({ kind, name, spec, bytes, sha256, from: file.name });
}

/** Paths; those of capability folders end with `/`. Names with a leading dot are left alone. */
async function specFiles(dir: string): Promise<string[]> {
  const found: string[] = [];
  const visit = async (at: string, isCapabilities: boolean): Promise<void> => {
    for (const entry of await entriesOf(at)) {
      const path = join(at, entry.name);
      if (entry.name.startsWith('.')) continue;
      if (entry.isDirectory()) {
        if (isCapabilities) found.push(`${path}/`);
        else await visit(path, entry.name === CAPABILITIES);
      } else if (/\.(ya?ml|json)$/.test(entry.name)) found.push(path);
      if (found.length > FILES_MAX) throw new PangolinError('TOO_LARGE', `${dir} holds more than ${FILES_MAX} files`);
    }
  };
  await visit(dir, false);
  return found.sort();
}

async function entriesOf(dir: string) {
  try {
    return await readdir(dir, { withFileTypes: true });
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code;
    if (code === 'ENOENT') throw new PangolinError('NOT_FOUND', `there is no folder ${dir}`, { cause });
    if (code === 'ENOTDIR') {
      throw new PangolinError('INVALID', `${dir} is no folder`, { hint: 'Name the folder that it is in.', cause });
    }
    throw cause;
  }
}
