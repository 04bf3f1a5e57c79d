/** The agent block: the subagent of the item, in the workspace, as the block user, in a home of its own. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import type { AgentBlock } from '@pangolin/contracts/pipeline';
import { PROMPT_CHARS_MAX } from '@pangolin/contracts/limits';
import type { Subagent } from '@pangolin/contracts/subagent';
import { DEFAULT_PROMPT, renderTemplate } from '@pangolin/contracts/template';
import { parseDuration } from '@pangolin/contracts/units';
import { grantsOf } from '@pangolin/contracts/secrets';
import type { Attempt } from '../attempt.ts';
import { runProcess } from '../block-process.ts';
import { oomKills } from '../diagnose.ts';
import { AttemptFailure } from '../failure.ts';
import { LOG_LIMITS, now } from '../log-writer.ts';
import { claudeCode } from '../runtimes/claude-code.ts';
import { command } from '../runtimes/command.ts';
import type { AgentJob, AgentRun, Runtime } from '../runtimes/runtime.ts';
import { layFile } from '../stage/overlay.ts';
import { hideRepositoryConfig } from '../stage/repository-config.ts';
import { own } from '../stage/workspace.ts';
import type { BlockOutcome } from './block.ts';
import { missingContext } from './context.ts';
import { bundledValues, environmentOf } from './environment.ts';
import { blockOutput, diagnoseBlock, reportLeftovers } from './process-end.ts';

const runtimes: Readonly<Record<Subagent['runtime']['kind'], () => Promise<Runtime>>> = {
  'claude-code': async () => claudeCode,
  command: async () => command,
  acp: async () => (await import('../runtimes/acp.ts')).acp,
};

export async function runAgent(block: AgentBlock, index: number, attempt: Attempt): Promise<BlockOutcome> {
  const { equipment, places } = attempt.staged;
  const subagent = equipment.subagent!;
  const missing = subagent.contextRequires && (await missingContext(subagent.contextRequires, places));
  if (missing) return { failure: missing };
  const job = await jobOf(subagent, index, attempt);
  const start = await runtimes[subagent.runtime.kind]();
  const run = await start(job);
  // Claude Code is told by its own options; nothing is known of what the others obey.
  if (subagent.repositoryConfig === true || subagent.runtime.kind === 'claude-code')
    return await runIn(job, run, block, index, attempt);
  const restore = await hideRepositoryConfig(places, equipment.files, `config-${index}`);
  try {
    return await runIn(job, run, block, index, attempt);
  } finally {
    for (const path of await restore()) attempt.log.worker(`${path} of the workspace could not be put back`);
  }
}

async function jobOf(subagent: Subagent, index: number, attempt: Attempt): Promise<AgentJob> {
  const { assignment, options, staged, log } = attempt;
  const { places, equipment } = staged;
  const prompt = renderTemplate(subagent.prompt ?? DEFAULT_PROMPT, assignment.params ?? {});
  if (prompt.length > PROMPT_CHARS_MAX) {
    throw new AttemptFailure('AgentFailed', `the prompt has more than ${PROMPT_CHARS_MAX} characters`);
  }
  const home = join(options.workDir, `agent-${index}`);
  await mkdir(home, { mode: 0o700 });
  await own(home, places.user);
  return {
    subagent,
    prompt,
    home,
    workspace: places.workspace,
    capabilities: equipment.files,
    log(line) {
      log.block(index, 'stdout', now(), line.slice(0, LOG_LIMITS.lineBytes / 4));
      log.flush();
    },
    async write(path, content) {
      const file = typeof content === 'string' ? { mode: 0o644 as const, bytes: Buffer.from(content) } : content;
      await layFile(home, path, file, places);
      return join(home, path);
    },
  };
}

async function runIn(
  job: AgentJob,
  run: AgentRun,
  block: AgentBlock,
  index: number,
  attempt: Attempt,
): Promise<BlockOutcome> {
  const { assignment, options, halt, staged } = attempt;
  const { workspace, user } = staged.places;
  const output = blockOutput(attempt, index, run.lines);
  const talk = run.input;
  const stdout = new PassThrough();
  const finish = new AbortController();
  const killsBefore = oomKills();
  const timeout = block.timeout ?? job.subagent.timeout;
  const granted = await attempt.secrets.grant(grantsOf(block, staged.equipment.env), options.secretsDir, user);
  const environment = environmentOf(attempt, { ...run.env, ...bundledValues(attempt, 'agent'), ...granted.env });
  const end = await runProcess({
    argv: run.argv,
    cwd: workspace,
    env: { ...environment, ...ownNames(run.env), HOME: job.home, PWD: workspace },
    user,
    timeoutMs: timeout === undefined ? undefined : parseDuration(timeout),
    idleTimeoutMs: assignment.idleTimeoutMs,
    graceMs: () => (options.cancel.aborted ? options.graceMs / 2 : (assignment.blockGraceMs ?? options.graceMs)),
    pipeDir: staged.places.private,
    input: typeof talk === 'string' ? talk : (stdin) => talk(stdin, stdout, () => finish.abort()),
    finish: finish.signal,
    halt,
    onOutput(stream, chunk) {
      if (typeof talk !== 'string' && stream === 'stdout') stdout.write(chunk);
      else output.push(stream, chunk);
    },
  });
  await granted.release();
  stdout.end();
  output.end();
  const ended = run.end();
  const diagnosed = diagnoseBlock(end, { killsBefore, tail: output.tail() }, attempt);
  reportLeftovers(end, index, attempt);
  const failure = verdict(diagnosed, ended);
  return {
    ...(end.exitCode === undefined ? {} : { exitCode: end.exitCode }),
    ...(end.signal === undefined ? {} : { signal: end.signal }),
    usage: ended.usage,
    ...(failure === undefined ? {} : { failure }),
  };
}

/** Those of the runtime's variables that carry our prefix: no bundle sets them. */
function ownNames(env: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(env).filter(([name]) => name.startsWith('PANGOLIN_')));
}

/** What the machine says (out of time, memory, disk) counts first, then the agent's own words, then its exit code. */
function verdict(
  diagnosed: AttemptFailure | undefined,
  ended: ReturnType<AgentRun['end']>,
): AttemptFailure | undefined {
  const byAgent = diagnosed === undefined || ['ExitNonZero', 'BlockKilled'].includes(diagnosed.reason);
  if (byAgent && ended.failure !== undefined) {
    const started = !diagnosed?.message.startsWith('it could not be started');
    return started ? ended.failure : diagnosed;
  }
  return byAgent && ended.done === true ? undefined : diagnosed;
}
