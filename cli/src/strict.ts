/**
 * What citty leaves out. citty accepts unknown flags, turns a missing value into '', ignores extra words and keeps a
 * parent's flags from its subcommands. Here the whole line is checked against the resolved command first; citty then
 * gets a canonical line (`--flag=value … -- words`) that it cannot misread.
 */
import { parseArgs } from 'node:util';
import type { CommandDef, SubCommandsDef } from 'citty';
import { PangolinError } from '@pangolin/contracts/errors';
import { nearest } from '@pangolin/contracts/nearest';
import { DURATION_PATTERN } from '@pangolin/contracts/units';
import type { Flag, Flags } from './command.ts';

export interface Resolved {
  readonly command: CommandDef;
  /** `['pangolin', 'orch', 'status']`. */
  readonly path: readonly string[];
  /** What follows or surrounds the words of the path. */
  readonly rest: readonly string[];
}

export interface Line {
  /** For citty's own parser. */
  readonly canonical: readonly string[];
  readonly globals: ReadonlyMap<string, string | true>;
}

/**
 * Follows words to the command they name. Global flags may stand anywhere between them.
 * @throws PangolinError USAGE for a word that names no command.
 */
export async function resolveCommand(
  root: CommandDef,
  name: string,
  argv: readonly string[],
  globals: Flags,
): Promise<Resolved> {
  const rest: string[] = [];
  const path = [name];
  let command = root;
  let index = 0;
  for (let children = await childrenOf(command); children && index < argv.length; index += 1) {
    const word = argv[index]!;
    if (word === '--') break;
    if (word.startsWith('-')) {
      rest.push(word);
      if (takesNext(word, globals) && index + 1 < argv.length) rest.push(argv[(index += 1)]!);
      continue;
    }
    if (!Object.hasOwn(children, word)) throw unknownCommand(word, path, Object.keys(children));
    command = await resolve(children[word]!);
    path.push(word);
    children = await childrenOf(command);
  }
  return { command, path, rest: [...rest, ...argv.slice(index)] };
}

/** The commands below a command, by name; undefined when it has none. */
export async function childrenOf(command: CommandDef): Promise<SubCommandsDef | undefined> {
  return command.subCommands === undefined ? undefined : await resolve(command.subCommands);
}

export async function resolve<T>(value: T | Promise<T> | (() => T) | (() => Promise<T>)): Promise<T> {
  return await (typeof value === 'function' ? (value as () => T | Promise<T>)() : value);
}

export async function flagsOf(command: CommandDef): Promise<Flags> {
  return (await resolve(command.args ?? {})) as Flags;
}

/** @throws PangolinError USAGE naming the first thing that the command does not take. */
export function checkLine(resolved: Pick<Resolved, 'path' | 'rest'>, own: Flags, globals: Flags): Line {
  const flags = { ...globals, ...own };
  const { tokens } = parseArgs({ args: [...resolved.rest], options: optionsOf(flags), strict: false, tokens: true });
  const given = new Map<string, string | true>();
  const words: string[] = [];
  for (const token of tokens) {
    if (token.kind === 'positional') words.push(token.value);
    if (token.kind !== 'option') continue;
    const flag = Object.hasOwn(flags, token.name) ? flags[token.name] : undefined;
    if (!flag || flag.type === 'positional') throw unknownFlag(token.rawName, flags, resolved.path);
    given.set(token.name, valueOf(token.rawName, flag, token.value, token.inlineValue === true));
  }
  checkRequired(flags, given, resolved.path);
  checkWords(words, own, resolved.path);
  const canonical = Object.keys(own).flatMap((name) => {
    const value = given.get(name);
    return value === undefined ? [] : [value === true ? `--${name}` : `--${name}=${value}`];
  });
  return {
    canonical: [...canonical, '--', ...words],
    globals: new Map([...given].filter(([name]) => Object.hasOwn(globals, name))),
  };
}

function optionsOf(flags: Flags): Record<string, { type: 'string' | 'boolean'; short?: string }> {
  return Object.fromEntries(
    Object.entries(flags)
      .filter(([, flag]) => flag.type !== 'positional')
      .map(([name, flag]) => {
        const short = shortOf(flag);
        return [name, { type: flag.type === 'boolean' ? 'boolean' : 'string', ...(short !== undefined && { short }) }];
      }),
  );
}

/** The one-letter alias of a flag. */
export function shortOf(flag: Flag): string | undefined {
  const { alias } = flag as { alias?: string | readonly string[] };
  return alias === undefined ? undefined : [alias].flat().find((name) => name.length === 1);
}

function takesNext(word: string, globals: Flags): boolean {
  if (word.includes('=')) return false;
  return Object.entries(globals).some(
    ([name, flag]) => flag.type !== 'boolean' && (word === `--${name}` || word === `-${shortOf(flag)}`),
  );
}

function valueOf(raw: string, flag: Flag, value: string | undefined, inline: boolean): string | true {
  if (flag.type === 'boolean') {
    if (value !== undefined) throw usage(`${raw} takes no value`, `Write ${raw} alone.`);
    return true;
  }
  // `--actor --wait`: the next flag is not the value that was forgotten. A lone `-` is standard input.
  if (value === undefined || value === '' || (!inline && value.startsWith('-') && value !== '-')) {
    throw usage(
      `${raw} needs a value`,
      value?.startsWith('-') ? `For a value that starts with -, write ${raw}=${value}.` : undefined,
    );
  }
  const options = 'options' in flag ? flag.options : undefined;
  if (options && !options.includes(value)) {
    throw usage(
      `${raw} cannot be ${show(value)}`,
      `${meant(nearest(value, options))}It is one of ${options.join(', ')}.`,
    );
  }
  if (flag.number) {
    const { min, max } = flag.number;
    if (!/^\d{1,15}$/.test(value) || Number(value) < min || Number(value) > max) {
      throw usage(`${raw} cannot be ${show(value)}`, `It is a whole number from ${min} to ${max}.`);
    }
  }
  if (flag.duration && !new RegExp(DURATION_PATTERN).test(value)) {
    throw usage(`${raw} cannot be ${show(value)}`, 'It is a duration such as 90s, 15m or 1h30m.');
  }
  return value;
}

function checkRequired(flags: Flags, given: ReadonlyMap<string, unknown>, path: readonly string[]): void {
  for (const [name, flag] of Object.entries(flags)) {
    if (flag.type !== 'positional' && flag.required === true && !given.has(name)) {
      throw usage(`--${name} is missing`, helpHint(path));
    }
  }
}

function checkWords(words: readonly string[], own: Flags, path: readonly string[]): void {
  const positionals = Object.entries(own).filter(([, flag]) => flag.type === 'positional');
  const missing = positionals.slice(words.length).find(([, flag]) => flag.required !== false);
  if (missing) throw usage(`${missing[0].toUpperCase()} is missing`, helpHint(path));
  const extra = words[positionals.length];
  if (extra !== undefined) throw usage(`${show(extra)} is one argument too many`, helpHint(path));
  const empty = words.findIndex((word) => word === '');
  if (empty !== -1) throw usage(`${positionals[empty]![0].toUpperCase()} is empty`, helpHint(path));
}

function unknownFlag(raw: string, flags: Flags, path: readonly string[]): PangolinError {
  const known = Object.entries(flags).filter(([, flag]) => flag.type !== 'positional');
  const guess = raw.startsWith('--')
    ? nearest(
        raw.slice(2),
        known.map(([name]) => name),
      )
    : undefined;
  return usage(`unknown flag ${show(raw)}`, `${meant(guess && `--${guess}`)}${helpHint(path)}`);
}

function unknownCommand(word: string, path: readonly string[], known: readonly string[]): PangolinError {
  const guess = nearest(word, known);
  return usage(
    `${path.join(' ')} has no command ${show(word)}`,
    `${meant(guess && `${path.join(' ')} ${guess}`)}${helpHint(path)}`,
  );
}

const meant = (guess: string | undefined): string => (guess === undefined ? '' : `Did you mean ${guess}? `);
const helpHint = (path: readonly string[]): string => `See ${path.join(' ')} --help.`;
const show = (text: string): string => JSON.stringify(text.slice(0, 100));

export function usage(message: string, hint?: string): PangolinError {
  return new PangolinError('USAGE', message, hint === undefined ? {} : { hint });
}
