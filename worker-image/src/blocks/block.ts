/** Runs the blocks of a pipeline in order and tells how each one went. */
import type { NeedsInput } from '@pangolin/contracts/needs-input';
import type { BlockResult, Usage } from '@pangolin/contracts/output';
import type { Block } from '@pangolin/contracts/pipeline';
import type { Attempt, Products } from '../attempt.ts';
import { readNeedsInput } from '../capture/needs-input.ts';
import { AttemptFailure, failureOf } from '../failure.ts';
import { now } from '../log-writer.ts';
import { runAgent } from './agent.ts';
import { runCapture } from './capture.ts';
import { runScript } from './script.ts';

export interface BlockOutcome {
  readonly exitCode?: number;
  readonly signal?: string;
  readonly usage?: Usage;
  /** Absent: it succeeded. */
  readonly failure?: AttemptFailure;
}

export interface Blocks {
  readonly results: readonly BlockResult[];
  /** What ended the pipeline early. */
  readonly failure?: AttemptFailure;
  /** A question that a block ended it with. */
  readonly needsInput?: NeedsInput;
}

/** After the first failure that counts, or the first question, the blocks that are left are skipped. */
export async function runBlocks(attempt: Attempt, products: Products): Promise<Blocks> {
  const results: BlockResult[] = [];
  let fatal: AttemptFailure | undefined;
  let needsInput: NeedsInput | undefined;
  for (const [index, block] of attempt.assignment.pipeline.blocks.entries()) {
    if (fatal === undefined && attempt.halt.aborted) fatal = attempt.halt.reason as AttemptFailure;
    if (fatal !== undefined || needsInput !== undefined) {
      results.push({ ...head(block, index), status: 'skipped' });
      continue;
    }
    const startedAt = now();
    const started = performance.now();
    const outcome = await runBlock(block, index, attempt, products);
    const { failure, ...ending } = outcome;
    const durationMs = Math.round(performance.now() - started);
    const status = failure === undefined ? 'succeeded' : 'failed';
    const reason = failure === undefined ? {} : { reason: failure.reason };
    results.push({ ...head(block, index), status, ...ending, ...reason, startedAt, durationMs });
    if (failure === undefined) {
      [needsInput, fatal] = await askedBy(attempt);
      continue;
    }
    attempt.log.worker(`${nameOf(block, index)} failed: ${failure.reason}: ${failure.message}`, index);
    if (isFatal(block, failure, attempt.halt)) {
      fatal = new AttemptFailure(failure.reason, `${nameOf(block, index)}: ${failure.message}`, {
        cause: failure,
        ...(failure.resetAt !== undefined && { resetAt: failure.resetAt }),
      });
    }
  }
  if (needsInput !== undefined && attempt.halt.aborted) fatal = attempt.halt.reason as AttemptFailure;
  if (fatal !== undefined) return { results, failure: fatal };
  return { results, ...(needsInput === undefined ? {} : { needsInput }) };
}

/** What the block before left as a question; or why that is none. */
async function askedBy({ staged }: Attempt): Promise<[NeedsInput | undefined, AttemptFailure | undefined]> {
  try {
    return [await readNeedsInput(staged.places), undefined];
  } catch (error) {
    return [undefined, failureOf(error, 'NeedsInputInvalid', 'the question could not be read')];
  }
}

async function runBlock(block: Block, index: number, attempt: Attempt, products: Products): Promise<BlockOutcome> {
  try {
    if (block.kind === 'agent') return await runAgent(block, index, attempt);
    if (block.kind === 'script') return await runScript(block, index, attempt);
    return await runCapture(block, index, attempt, products);
  } catch (error) {
    return { failure: failureOf(error, 'WorkerFailed', 'the block could not be run') };
  }
}

/** A verify lens only reports, whatever its command does; it cannot outlive the attempt, nor hide from capture. */
function isFatal(block: Block, failure: AttemptFailure, halt: AbortSignal): boolean {
  if (halt.aborted || failure.reason === 'CaptureFailed' || failure.reason === 'WorkerFailed') return true;
  return !(block.kind === 'script' && block.lens === 'verify');
}

function head(block: Block, index: number): Pick<BlockResult, 'index' | 'id' | 'kind' | 'lens'> {
  return {
    index,
    ...(block.id === undefined ? {} : { id: block.id }),
    kind: block.kind,
    ...(block.kind === 'script' ? { lens: block.lens ?? 'gate' } : {}),
  };
}

const nameOf = (block: Block, index: number): string => `block ${block.id ?? index} (${block.kind})`;
