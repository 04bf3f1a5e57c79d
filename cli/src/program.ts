/** The `pangolin` program: a line of arguments in, an exit code out. */
import { readFileSync } from 'node:fs';
import { runCommand, type CommandDef } from 'citty';
import { group } from './command.ts';
import { createContext, globalFlags } from './context.ts';
import { renderFailure } from './failure.ts';
import { packageFile } from './package-file.ts';
import { checkLine, flagsOf, resolveCommand, usage, type Resolved } from './strict.ts';
import { leaveQuietlyOnClosedPipe, paintFor, writeOut } from './terminal.ts';
import { renderUsage, usageOf } from './usage.ts';

export const PROGRAM = 'pangolin';

export const program: CommandDef = group(
  'Offload agents and jobs: a Run spec in, reviewable patches and evidence out',
  {
    orch: async () => (await import('./commands/orch.ts')).orch,
    pipeline: async () => (await import('./commands/registry.ts')).pipeline,
    subagent: async () => (await import('./commands/registry.ts')).subagent,
    capability: async () => (await import('./commands/registry.ts')).capability,
    env: async () => (await import('./commands/registry.ts')).env,
    shape: async () => (await import('./commands/registry.ts')).shape,
    apply: async () => (await import('./commands/apply.ts')).apply,
    import: async () => (await import('./commands/import.ts')).importProject,
    verify: async () => (await import('./commands/verify.ts')).verify,
    key: async () => (await import('./commands/key.ts')).key,
    trust: async () => (await import('./commands/trust.ts')).trust,
    log: async () => (await import('./commands/log.ts')).log,
    worker: async () => (await import('./commands/worker.ts')).worker,
    doctor: async () => (await import('./commands/doctor.ts')).doctor,
    init: async () => (await import('./commands/init.ts')).init,
  },
);

/** Never throws: what goes wrong is on stderr and in the exit code. */
export async function main(argv: readonly string[]): Promise<number> {
  leaveQuietlyOnClosedPipe();
  try {
    return await run(argv[0] === 'help' ? [...argv.slice(1), '--help'] : argv);
  } catch (error) {
    const { text, exitCode } = renderFailure(error, wantsJson(argv), paintFor(process.stderr));
    process.stderr.write(text);
    return exitCode;
  }
}

async function run(argv: readonly string[]): Promise<number> {
  const resolved = await resolveCommand(program, PROGRAM, argv, globalFlags);
  if (asksFor(resolved, '--help', '-h')) return await help(resolved);
  if (asksFor(resolved, '--version')) return await version();
  const line = checkLine(resolved, await flagsOf(resolved.command), globalFlags);
  if (!resolved.command.run) {
    process.stderr.write(await usageText(resolved, process.stderr));
    throw usage(`${resolved.path.join(' ')} needs a command`);
  }
  const context = createContext(line.globals);
  const { result } = await runCommand(resolved.command, { rawArgs: [...line.canonical], data: context });
  return typeof result === 'number' ? result : 0;
}

function asksFor({ rest }: Resolved, ...flags: readonly string[]): boolean {
  const end = rest.indexOf('--');
  return (end === -1 ? rest : rest.slice(0, end)).some((word) => flags.includes(word));
}

async function help(resolved: Resolved): Promise<number> {
  await writeOut(await usageText(resolved, process.stdout));
  return 0;
}

async function usageText({ command, path }: Resolved, stream: NodeJS.WriteStream): Promise<string> {
  const paint = paintFor(stream);
  return renderUsage(await usageOf(command, path), globalFlags, (text) => paint('bold', text));
}

async function version(): Promise<number> {
  const { version } = JSON.parse(readFileSync(packageFile('package.json'), 'utf8')) as {
    version: string;
  };
  await writeOut(`${PROGRAM} ${version}\n`);
  return 0;
}

/** Also for lines that do not parse, so that a script always gets the form it asked for. */
function wantsJson(argv: readonly string[]): boolean {
  return argv.some(
    (word, index) =>
      word === '-ojson' ||
      word === '--output=json' ||
      (word === 'json' && ['-o', '--output'].includes(argv[index - 1] ?? '')),
  );
}
