/**
 * How a command is declared: a citty command whose arguments have exact types, whole numbers and durations included.
 * strict.ts has checked everything before `run` is called, so `run` trusts its arguments.
 */
import { defineCommand, type ArgDef, type CommandDef } from 'citty';
import { parseDuration } from '@pangolin/contracts/units';
import type { Context } from './context.ts';

/** `number`: a whole number in that range. `duration`: `90s`, handed over in milliseconds. Both are citty strings. */
export type Flag = ArgDef & {
  readonly number?: { readonly min: number; readonly max: number };
  readonly duration?: true;
};
export type Flags = Readonly<Record<string, Flag>>;

type ValueOf<F extends Flag> = F extends { readonly number: object } | { readonly duration: true }
  ? number
  : F extends { readonly type: 'boolean' }
    ? boolean
    : F extends { readonly options: readonly (infer O)[] }
      ? O
      : string;
type Always<F extends Flag> = F extends { readonly type: 'boolean' }
  ? true
  : F extends { readonly default: string }
    ? true
    : F extends { readonly type: 'positional' }
      ? F extends { readonly required: false }
        ? false
        : true
      : F extends { readonly required: true }
        ? true
        : false;

/** What `run` gets: booleans are false unless given; other flags are undefined unless given or defaulted. */
export type ArgsOf<T extends Flags> = {
  readonly [K in keyof T]: Always<T[K]> extends true ? ValueOf<T[K]> : ValueOf<T[K]> | undefined;
};

export interface Command<T extends Flags> {
  /** One sentence, capital first, no full stop. */
  readonly description: string;
  readonly args: T;
  /** Resolves to the exit code; nothing is 0. */
  run(args: ArgsOf<T>, context: Context): Promise<number | void>;
}

export function command<const T extends Flags>(definition: Command<T>): CommandDef {
  const { description, args } = definition;
  return defineCommand({
    meta: { description },
    args: args as Record<string, ArgDef>,
    run: async (citty) => await definition.run(valuesOf(args, citty.args), citty.data as Context),
  });
}

export type Loader = () => Promise<CommandDef>;

/** A command that only holds others. Each is loaded when it is called, or when its group prints its usage. */
export function group(description: string, commands: Readonly<Record<string, Loader>>): CommandDef {
  return defineCommand({ meta: { description }, subCommands: commands });
}

function valuesOf<T extends Flags>(flags: T, given: Readonly<Record<string, unknown>>): ArgsOf<T> {
  const value = (name: string, flag: Flag): unknown => {
    const raw = given[name];
    if (flag.type === 'boolean') return raw === true;
    if (typeof raw !== 'string') return undefined;
    if (flag.number) return Number(raw);
    return flag.duration ? parseDuration(raw) : raw;
  };
  return Object.fromEntries(Object.entries(flags).map(([name, flag]) => [name, value(name, flag)])) as ArgsOf<T>;
}
