/** The script block: a command in the workspace, as the block user, with a clean environment. */
import { parseDuration } from '@pangolin/contracts/units';
import type { ScriptBlock } from '@pangolin/contracts/pipeline';
import type { Attempt } from '../attempt.ts';
import { runProcess, type ProcessEnd } from '../block-process.ts';
import { diagnose, isFull, oomKills } from '../diagnose.ts';
import { AttemptFailure } from '../failure.ts';
import { LineSplitter, now } from '../log-writer.ts';
import type { BlockOutcome } from './block.ts';

/** How much of what a block printed last is searched for the words of a full disk. */
const TAIL_BYTES = 4096;
const DISK_FULL = /ENOSPC|No space left on device|Disk quota exceeded/;

export async function runScript(block: ScriptBlock, index: number, attempt: Attempt): Promise<BlockOutcome> {
  const { assignment, log, options, halt } = attempt;
  const { workspace, tmp, user } = attempt.staged.places;
  const output = blockOutput(attempt, index);
  const killsBefore = oomKills();
  const end = await runProcess({
    argv: typeof block.command === 'string' ? ['/bin/sh', '-c', block.command] : argvOf(block.command),
    cwd: workspace,
    env: { ...environmentOf(attempt, block.env), PWD: workspace },
    user,
    timeoutMs: block.timeout === undefined ? undefined : parseDuration(block.timeout),
    idleTimeoutMs: assignment.idleTimeoutMs,
    // A worker that is told to stop needs the other half of its grace period to capture and seal.
    graceMs: () => (options.cancel.aborted ? options.graceMs / 2 : (assignment.blockGraceMs ?? options.graceMs)),
    pipeDir: attempt.staged.places.private,
    halt,
    onOutput: output.push,
  });
  output.end();
  const diskFull = log.diskFull || DISK_FULL.test(output.tail()) || isFull([workspace, tmp, options.outDir]);
  const failure = diagnose(end, { oomKills: oomKills() - killsBefore, diskFull });
  reportLeftovers(end, index, attempt);
  return {
    ...(end.exitCode === undefined ? {} : { exitCode: end.exitCode }),
    ...(end.signal === undefined ? {} : { signal: end.signal }),
    ...(failure === undefined ? {} : { failure }),
  };
}

/** Default deny: this is all that a block gets. A block may set anything but our own names. */
function environmentOf(
  { assignment, options, staged, egress }: Attempt,
  own: ScriptBlock['env'],
): Record<string, string> {
  const { places } = staged;
  return {
    PATH: options.path,
    LANG: 'C.UTF-8',
    CI: 'true',
    HOME: places.home,
    TMPDIR: places.tmp,
    ...egress.env,
    ...own,
    PANGOLIN_RUN_ID: assignment.runId,
    PANGOLIN_ITEM_ID: assignment.itemId,
    PANGOLIN_ATTEMPT: String(assignment.attempt),
    PANGOLIN_INPUTS: places.inputs,
    PANGOLIN_OUTPUTS: places.outputs,
    PANGOLIN_PARAMS: places.params,
  };
}

function argvOf(command: readonly string[]): [string, ...string[]] {
  const [file = '', ...args] = command;
  return [file, ...args];
}

function blockOutput({ log }: Attempt, index: number) {
  const tails: Record<'stdout' | 'stderr', string> = { stdout: '', stderr: '' };
  const splitters = {
    stdout: new LineSplitter((line) => log.block(index, 'stdout', now(), line)),
    stderr: new LineSplitter((line) => log.block(index, 'stderr', now(), line)),
  };
  return {
    push(stream: 'stdout' | 'stderr', chunk: Buffer): void {
      tails[stream] = (tails[stream] + chunk.toString('latin1', Math.max(0, chunk.length - TAIL_BYTES))).slice(
        -TAIL_BYTES,
      );
      if (log.full) return;
      splitters[stream].push(chunk);
      log.flush();
    },
    end(): void {
      splitters.stdout.end();
      splitters.stderr.end();
      log.flush();
    },
    tail: (): string => tails.stderr + tails.stdout,
  };
}

/** With a separate block user nothing survives, or nothing is captured: the baseline of trust of every product. */
function reportLeftovers({ swept }: ProcessEnd, index: number, { log, staged }: Attempt): void {
  if (swept.killed > 0) log.worker(`killed ${swept.killed} processes that the block left behind`, index);
  if (swept.survivors.length === 0) return;
  log.worker(`${swept.survivors.length} processes of the block could not be killed`, index);
  if (staged.places.user === undefined) return;
  throw new AttemptFailure('CaptureFailed', 'processes of the block could not be killed, so nothing can be captured');
}
