/** What a block printed, and what its end means. */
import type { Attempt } from '../attempt.ts';
import type { ProcessEnd } from '../block-process.ts';
import { diagnose, isFull, oomKills } from '../diagnose.ts';
import { AttemptFailure } from '../failure.ts';
import { LineSplitter, now } from '../log-writer.ts';

/** How much of what a block printed last is searched for the words of a full disk. */
const TAIL_BYTES = 4096;
const DISK_FULL = /ENOSPC|No space left on device|Disk quota exceeded/;

/** `lines` makes of a line of standard output what the log shows of it. */
export function blockOutput(
  { log, secrets }: Attempt,
  index: number,
  lines: (line: string) => readonly string[] = (line) => [line],
) {
  const tails: Record<'stdout' | 'stderr', string> = { stdout: '', stderr: '' };
  const splitters = {
    stdout: new LineSplitter((line) => {
      for (const each of lines(line)) log.block(index, 'stdout', now(), each);
    }),
    stderr: new LineSplitter((line) => log.block(index, 'stderr', now(), line)),
  };
  // Before lines are made: a secret may hold line ends, and a long line is cut.
  const redactors = { stdout: secrets.redactor(), stderr: secrets.redactor() };
  return {
    push(stream: 'stdout' | 'stderr', chunk: Buffer): void {
      tails[stream] = (tails[stream] + chunk.toString('latin1', Math.max(0, chunk.length - TAIL_BYTES))).slice(
        -TAIL_BYTES,
      );
      if (log.full) return;
      splitters[stream].push(redactors[stream].push(chunk));
      log.flush();
    },
    end(): void {
      for (const stream of ['stdout', 'stderr'] as const) {
        splitters[stream].push(redactors[stream].end());
        splitters[stream].end();
      }
      log.flush();
    },
    tail: (): string => tails.stderr + tails.stdout,
  };
}

export function diagnoseBlock(
  end: ProcessEnd,
  before: { readonly killsBefore: number; readonly tail: string },
  { log, options, staged }: Attempt,
): AttemptFailure | undefined {
  const { workspace, tmp } = staged.places;
  const diskFull = log.diskFull || DISK_FULL.test(before.tail) || isFull([workspace, tmp, options.outDir]);
  return diagnose(end, { oomKills: oomKills() - before.killsBefore, diskFull });
}

/** With a separate block user nothing survives, or nothing is captured: the baseline of trust of every product. */
export function reportLeftovers({ swept }: ProcessEnd, index: number, { log, staged }: Attempt): void {
  if (swept.killed > 0) log.worker(`killed ${swept.killed} processes that the block left behind`, index);
  if (swept.survivors.length === 0) return;
  log.worker(`${swept.survivors.length} processes of the block could not be killed`, index);
  if (staged.places.user === undefined) return;
  throw new AttemptFailure('CaptureFailed', 'processes of the block could not be killed, so nothing can be captured');
}
