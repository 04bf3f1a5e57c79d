/** The capture block, and the capture that ends every attempt. */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { attemptFile } from '@pangolin/contracts/layout';
import type { CaptureBlock } from '@pangolin/contracts/pipeline';
import type { Attempt, Products } from '../attempt.ts';
import { captureOutputs } from '../capture/outputs.ts';
import { capturePatch } from '../capture/patch.ts';
import { AttemptFailure, failureOf } from '../failure.ts';
import type { BlockOutcome } from './block.ts';

/** Fixes one product as it is now; a later block for the same product fixes it anew. */
export async function runCapture(
  block: CaptureBlock,
  index: number,
  attempt: Attempt,
  products: Products,
): Promise<BlockOutcome> {
  try {
    await capture(block.what, attempt, products, (line) => attempt.log.worker(line, index));
  } catch (error) {
    return { failure: failureOf(error, 'CaptureFailed', `the ${block.what} could not be captured`) };
  }
  const empty = block.what === 'patch' ? products.patch?.size === 0 : Object.keys(products.outputs ?? {}).length === 0;
  if (!empty || block.required !== true) return {};
  const missing = block.what === 'patch' ? 'the workspace has no change' : 'outputs/ has no file';
  return { failure: new AttemptFailure('ProductMissing', `${missing}, and the product is required`) };
}

/** What no capture block fixed, where there is anything. @throws AttemptFailure of the first that fails, after trying all. */
export async function captureRest(attempt: Attempt, products: Products): Promise<void> {
  const failures: AttemptFailure[] = [];
  for (const what of ['patch', 'outputs'] as const) {
    if (products[what] !== undefined) continue;
    try {
      await capture(what, attempt, products, (line) => attempt.log.worker(line));
    } catch (error) {
      failures.push(failureOf(error, 'CaptureFailed', `the ${what} could not be captured`));
    }
  }
  await dropEmptyPatch(attempt, products);
  if (failures[0] !== undefined) throw failures[0];
}

/** Nobody asked for a patch, and there is no change: then there is no patch. */
async function dropEmptyPatch({ assignment, place }: Attempt, products: Products): Promise<void> {
  const asked = assignment.pipeline.blocks.some((block) => block.kind === 'capture' && block.what === 'patch');
  if (asked || products.patch?.size !== 0) return;
  delete products.patch;
  await rm(join(place.dir, attemptFile.patch));
}

async function capture(what: CaptureBlock['what'], attempt: Attempt, products: Products, note: (line: string) => void) {
  const { staged, place, giveUp, secrets } = attempt;
  delete products[what];
  if (what === 'patch') products.patch = await capturePatch(staged, place.dir, secrets, giveUp, note);
  else products.outputs = await captureOutputs(staged.places, place.dir, secrets, giveUp, note);
}
