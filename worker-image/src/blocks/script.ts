/** The script block: a command in the workspace, as the block user, with a clean environment. */
import { parseDuration } from '@pangolin/contracts/units';
import type { ScriptBlock } from '@pangolin/contracts/pipeline';
import { grantsOf } from '@pangolin/contracts/secrets';
import type { Attempt } from '../attempt.ts';
import { runProcess } from '../block-process.ts';
import { oomKills } from '../diagnose.ts';
import type { BlockOutcome } from './block.ts';
import { bundledValues, environmentOf } from './environment.ts';
import { blockOutput, diagnoseBlock, reportLeftovers } from './process-end.ts';

export async function runScript(block: ScriptBlock, index: number, attempt: Attempt): Promise<BlockOutcome> {
  const { assignment, options, halt } = attempt;
  const { places, equipment } = attempt.staged;
  const { workspace, user } = places;
  const output = blockOutput(attempt, index);
  const granted = await attempt.secrets.grant(grantsOf(block, equipment.env), options.secretsDir, user);
  const killsBefore = oomKills();
  const end = await runProcess({
    argv: typeof block.command === 'string' ? ['/bin/sh', '-c', block.command] : argvOf(block.command),
    cwd: workspace,
    env: {
      ...environmentOf(attempt, { ...bundledValues(attempt, 'script'), ...block.env, ...granted.env }),
      PWD: workspace,
    },
    user,
    timeoutMs: block.timeout === undefined ? undefined : parseDuration(block.timeout),
    idleTimeoutMs: assignment.idleTimeoutMs,
    // A worker that is told to stop needs the other half of its grace period to capture and seal.
    graceMs: () => (options.cancel.aborted ? options.graceMs / 2 : (assignment.blockGraceMs ?? options.graceMs)),
    pipeDir: attempt.staged.places.private,
    halt,
    onOutput: output.push,
  });
  await granted.release();
  output.end();
  const failure = diagnoseBlock(end, { killsBefore, tail: output.tail() }, attempt);
  reportLeftovers(end, index, attempt);
  return {
    ...(end.exitCode === undefined ? {} : { exitCode: end.exitCode }),
    ...(end.signal === undefined ? {} : { signal: end.signal }),
    ...(failure === undefined ? {} : { failure }),
  };
}

function argvOf(command: readonly string[]): [string, ...string[]] {
  const [file = '', ...args] = command;
  return [file, ...args];
}
