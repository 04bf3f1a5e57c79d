/** Seal: output.json, the last thing a worker writes. */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { canonicalBytes } from '@pangolin/contracts/canonical';
import { OUTPUT_JSON_BYTES_MAX } from '@pangolin/contracts/limits';
import { attemptFile } from '@pangolin/contracts/layout';
import type { Output } from '@pangolin/contracts/output';
import type { AttemptPlace } from './attempt-place.ts';
import { isDiskFull } from './failure.ts';

const MESSAGE_MAX = 4096;

/**
 * @param makeRoom called when the disk is full, to free some; then it is tried once more
 * @returns what was sealed: `output`, or a failure in its place when that is too large to be read by anybody
 */
export async function seal(place: AttemptPlace, output: Output, makeRoom: () => Promise<void>): Promise<Output> {
  const sealed = await fitting(place.dir, { ...output, ...bounded(output.message) });
  const bytes = canonicalBytes(sealed);
  try {
    await place.seal(sealed, bytes);
  } catch (error) {
    if (!isDiskFull(error)) throw error;
    await makeRoom();
    await place.seal(sealed, bytes);
  }
  return sealed;
}

async function fitting(outDir: string, output: Output): Promise<Output> {
  if (canonicalBytes(output).length <= OUTPUT_JSON_BYTES_MAX) return output;
  await rm(join(outDir, attemptFile.outputs), { recursive: true, force: true });
  const { asserted: _, needsInput: _asked, ...rest } = output;
  const message = `output.json would be larger than ${OUTPUT_JSON_BYTES_MAX} bytes: too many or too long output names`;
  const failure = output.status === 'failed' ? {} : ({ status: 'failed', reason: 'OutputTooLarge', message } as const);
  return { ...rest, ...failure, partial: true, products: { ...rest.products, outputs: {} } };
}

/** Lone surrogates cannot be sealed, and a message is for a line of a table. */
function bounded(message: string | undefined): { message?: string } {
  if (message === undefined) return {};
  const text = message.toWellFormed();
  return { message: text.length > MESSAGE_MAX ? `${text.slice(0, MESSAGE_MAX - 1).toWellFormed()}…` : text };
}
