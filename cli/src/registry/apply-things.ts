/** Makes the registry hold what is declared, or says what that would change. */
import { formatDigest } from '@pangolin/contracts/digest';
import type { ThingKind } from '@pangolin/contracts/things';
import type { ObjectStore } from '@pangolin/storage/object-store';
import { defaultActor, type Context } from '../context.ts';
import type { Declared } from './declared.ts';
import { wordsOf } from './words.ts';

export interface Change {
  readonly kind: ThingKind;
  readonly name: string;
  readonly change: 'added' | 'changed' | 'unchanged';
  readonly digest: string;
  readonly previous?: string;
  /** `+ /pointer: value`, `- /pointer: value`. */
  readonly diff: readonly string[];
}

/** In the order given. With `dryRun` nothing is written. */
export async function applyThings(
  store: ObjectStore | undefined,
  declared: readonly Declared[],
  options: { readonly dryRun: boolean; readonly actor: string | undefined },
): Promise<Change[]> {
  const { registerThing, resolveThing, thingBytes } = await import('@pangolin/storage/registry');
  const changes: Change[] = [];
  for (const { kind, name, spec, bytes, sha256 } of declared) {
    const current = store && (await resolveThing(store, kind, name));
    const before = current === undefined || current === sha256 ? undefined : await thingBytes(store!, current);
    const old: unknown = before === undefined ? undefined : JSON.parse(before.toString('utf8'));
    changes.push({
      kind,
      name,
      change: current === undefined ? 'added' : current === sha256 ? 'unchanged' : 'changed',
      digest: formatDigest(sha256),
      ...(current !== undefined && current !== sha256 && { previous: formatDigest(current) }),
      diff: current === sha256 ? [] : difference(old, spec),
    });
    if (options.dryRun || current === sha256) continue;
    await registerThing(store!, kind, name, bytes, options.actor ?? defaultActor(), Date.now());
  }
  return changes;
}

/** Prints the changes; what did not change only as a number. */
export async function printChanges(context: Context, changes: readonly Change[], dryRun: boolean): Promise<void> {
  if (context.json) return await context.printJson({ ok: true, dryRun, changes });
  const would = dryRun ? 'would be ' : '';
  for (const { kind, name, change, digest, diff } of changes) {
    if (change === 'unchanged') continue;
    await context.print(`${wordsOf(kind).one} ${name} ${would}${change}: ${digest}`);
    if (dryRun) for (const line of diff) await context.print(`  ${line}`);
  }
  const same = changes.filter(({ change }) => change === 'unchanged').length;
  context.note(`${changes.length - same} ${would}registered, ${same} unchanged.`);
}

const VALUE_CHARS_MAX = 100;

/** By leaf, in the order of the pointers. */
function difference(before: unknown, after: unknown): string[] {
  const [old, now] = [leaves(before), leaves(after)];
  const pointers = [...new Set([...old.keys(), ...now.keys()])].sort();
  return pointers.flatMap((pointer) => {
    const [from, to] = [old.get(pointer), now.get(pointer)];
    if (from === to) return [];
    const line = (sign: string, value: string): string =>
      `${sign} ${pointer}: ${value.length > VALUE_CHARS_MAX ? `${value.slice(0, VALUE_CHARS_MAX)}…` : value}`;
    return [...(from === undefined ? [] : [line('-', from)]), ...(to === undefined ? [] : [line('+', to)])];
  });
}

function leaves(value: unknown, pointer = '', into = new Map<string, string>()): Map<string, string> {
  if (value === undefined) return into;
  if (typeof value !== 'object' || value === null) return into.set(pointer, JSON.stringify(value));
  for (const [key, child] of Object.entries(value)) {
    leaves(child, `${pointer}/${key.replaceAll('~', '~0').replaceAll('/', '~1')}`, into);
  }
  return into;
}
