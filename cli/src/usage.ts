/** `--help` of any command, with its full name at any depth. The CLI reference is made of the same parts. */
import type { CommandDef } from 'citty';
import type { Flag, Flags } from './command.ts';
import { childrenOf, flagsOf, resolve, shortOf } from './strict.ts';

const WIDTH = 100;

export interface Usage {
  readonly name: string;
  readonly description: string;
  readonly synopsis: string;
  /** Pairs of term and explanation. */
  readonly words: readonly Row[];
  readonly flags: readonly Row[];
  readonly commands: readonly Row[];
}
type Row = readonly [term: string, text: string];

/** Loads the commands of a group: their descriptions are theirs. */
export async function usageOf(command: CommandDef, path: readonly string[]): Promise<Usage> {
  const name = path.join(' ');
  const flags = Object.entries(await flagsOf(command));
  const children = Object.entries((await childrenOf(command)) ?? {});
  const words = flags.filter(([, flag]) => flag.type === 'positional');
  const options = flags.filter(([, flag]) => flag.type !== 'positional');
  const synopsis = [
    name,
    ...(children.length > 0 ? ['COMMAND'] : []),
    ...words.map(([word, flag]) => (flag.required === false ? `[${word.toUpperCase()}]` : word.toUpperCase())),
    ...options.filter(([, flag]) => flag.required === true).map(([option, flag]) => `--${option} ${valueName(flag)}`),
    '[FLAGS]',
  ];
  return {
    name,
    description: await descriptionOf(command),
    synopsis: synopsis.join(' '),
    words: words.map(([word, flag]) => [word.toUpperCase(), flag.description ?? '']),
    flags: options.map(flagRow),
    commands: await Promise.all(
      children.map(async ([child, load]): Promise<Row> => [child, await descriptionOf(await resolve(load))]),
    ),
  };
}

export function globalRows(globals: Flags): Row[] {
  return Object.entries(globals).map(flagRow);
}

export function renderUsage(usage: Usage, globals: Flags, bold: (text: string) => string): string {
  const section = (title: string, rows: readonly Row[]): string[] =>
    rows.length === 0 ? [] : ['', bold(title), ...columns(rows)];
  return [
    `${usage.description}.`,
    '',
    `${bold('Usage:')} ${usage.synopsis}`,
    ...section('Arguments', usage.words),
    ...section('Commands', usage.commands),
    ...section('Flags', usage.flags),
    ...section('Global flags', globalRows(globals)),
    ...(usage.commands.length > 0 ? ['', `\`${usage.name} COMMAND --help\` says more about one of them.`] : []),
    '',
  ].join('\n');
}

function flagRow([name, flag]: readonly [string, Flag]): Row {
  const short = shortOf(flag);
  const value = flag.type === 'boolean' ? '' : ` ${valueName(flag)}`;
  const preset = typeof flag.default === 'string' ? ` (default ${flag.default})` : '';
  return [`${short === undefined ? '    ' : `-${short}, `}--${name}${value}`, `${flag.description ?? ''}${preset}`];
}

function valueName(flag: Flag): string {
  if ('options' in flag && flag.options) return flag.options.join('|');
  return flag.valueHint ?? (flag.number ? 'N' : flag.duration ? 'DURATION' : 'TEXT');
}

async function descriptionOf(command: CommandDef): Promise<string> {
  return (await resolve(command.meta ?? {})).description ?? '';
}

function columns(rows: readonly Row[]): string[] {
  const left = Math.min(38, Math.max(...rows.map(([term]) => term.length)));
  return rows.flatMap(([term, text]) => {
    const lines = wrap(text, WIDTH - left - 4);
    const indent = ' '.repeat(left + 4);
    const first =
      term.length > left ? [`  ${term}`, `${indent}${lines[0] ?? ''}`] : [`  ${term.padEnd(left)}  ${lines[0] ?? ''}`];
    return [...first, ...lines.slice(1).map((line) => indent + line)].map((line) => line.trimEnd());
  });
}

function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(' ')) {
    const last = lines.at(-1);
    if (last === undefined || last.length + 1 + word.length > width) lines.push(word);
    else lines[lines.length - 1] = `${last} ${word}`;
  }
  return lines;
}
