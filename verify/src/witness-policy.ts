/** C2SP tlog-policy: which witnesses count, and which sets of them are enough. */
import { PangolinError } from '@pangolin/contracts/errors';
import { NOTE_COSIGNATURE, parseVkey, type NoteKey } from '@pangolin/contracts/note';

export interface WitnessPolicy {
  /** By the name of the key, which is what signature lines carry. */
  readonly witnesses: ReadonlyMap<string, NoteKey>;
  /** True when the witnesses with these key names are enough. */
  readonly isMet: (names: ReadonlySet<string>) => boolean;
  /** The `quorum` line, for people. */
  readonly quorum: string;
}

type Test = (names: ReadonlySet<string>) => boolean;

const LINES_MAX = 1000;

/**
 * Lines are `witness NAME VKEY [URL]`, `group NAME any|all|K MEMBER…`, `quorum NAME|none`, `log VKEY [URL]` (of this
 * log, or refused), blank or start with `#`. Names are defined once and before they are used.
 * @throws PangolinError INVALID
 */
export function parseWitnessPolicy(text: string, origin: string): WitnessPolicy {
  const members = new Map<string, Test>();
  const witnesses = new Map<string, NoteKey>();
  let quorum: string | undefined;
  const lines = text.split('\n');
  if (lines.length > LINES_MAX) throw bad('it has too many lines');
  for (const line of lines) {
    const [keyword, ...words] = line.trim().split(/[ \t]+/);
    if (keyword === '' || keyword!.startsWith('#')) continue;
    const [name = '', second = '', ...rest] = words;
    if (keyword === 'log') {
      if (parseVkey(name).name !== origin) throw bad(`it is for the log ${name.split('+')[0]}`);
    } else if (keyword === 'quorum' && quorum === undefined && words.length === 1) {
      if (name !== 'none' && !members.has(name)) throw bad(`nothing is called ${name}`);
      quorum = name;
    } else if (keyword === 'witness' && rest.length <= 1) {
      const key = witnessKey(second);
      if (witnesses.has(key.name) || key.name === origin) throw bad(`two keys are called ${key.name}`);
      witnesses.set(key.name, key);
      define(members, name, (names) => names.has(key.name));
    } else if (keyword === 'group' && rest.length > 0) {
      define(members, name, groupTest(members, second, rest));
    } else {
      throw bad(`the line ${JSON.stringify(line.slice(0, 100))} cannot be read`);
    }
  }
  if (quorum === undefined) throw bad('it has no quorum');
  return { witnesses, quorum, isMet: members.get(quorum) ?? (() => false) };
}

function define(members: Map<string, Test>, name: string, test: Test): void {
  if (name === '' || name === 'none' || members.has(name)) throw bad(`the name ${JSON.stringify(name)} is taken`);
  members.set(name, test);
}

function groupTest(members: ReadonlyMap<string, Test>, threshold: string, names: readonly string[]): Test {
  const tests = names.map((name) => members.get(name));
  if (tests.includes(undefined) || new Set(names).size !== names.length)
    throw bad('a group has unknown or equal members');
  const needed = threshold === 'any' ? 1 : threshold === 'all' ? names.length : Number(threshold);
  if (!/^(?:any|all|[1-9][0-9]{0,3})$/.test(threshold) || needed > names.length)
    throw bad(`no group needs ${threshold}`);
  return (present) => tests.filter((test) => test!(present)).length >= needed;
}

function witnessKey(vkey: string): NoteKey {
  const key = parseVkey(vkey);
  if (key.type !== NOTE_COSIGNATURE || key.publicKey.length !== 32) throw bad(`${key.name} has no key of a witness`);
  return key;
}

const bad = (why: string): PangolinError => new PangolinError('INVALID', `the witness policy is not usable: ${why}`);
