/** `.pangolin/output.json`: what the blocks say about their own work. Nobody checks it, so nothing in it fails. */
import { canonical } from '@pangolin/contracts/canonical';
import { messageOf } from '@pangolin/contracts/errors';
import type { Output } from '@pangolin/contracts/output';
import { isObject } from '../check-pipeline.ts';
import type { Places } from '../places.ts';
import { readOwnFile } from './own-file.ts';

const BYTES_MAX = 2 ** 20;
const SUMMARY_MAX = 65_536;

export async function readAsserted(
  places: Places,
  redact: (text: string) => string,
  note: (line: string) => void,
): Promise<Output['asserted']> {
  try {
    const bytes = await readOwnFile(places, '.pangolin/output.json', BYTES_MAX);
    return bytes === undefined ? undefined : parse(bytes, redact);
  } catch (error) {
    note(`.pangolin/output.json is ignored: ${messageOf(error)}`);
    return undefined;
  }
}

function parse(bytes: Buffer, redact: (text: string) => string): Output['asserted'] {
  const written: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  if (!isObject(written)) throw new Error('it is not an object');
  // Of the values, not of the text: in JSON a character can be written in several ways.
  const value = JSON.parse(
    redact(canonical({ summary: written['summary'], output: written['output'] })),
  ) as typeof written;
  const { summary, output } = value;
  if (summary !== undefined && (typeof summary !== 'string' || [...summary].length > SUMMARY_MAX)) {
    throw new Error(`its summary is not a text of at most ${SUMMARY_MAX} characters`);
  }
  return { ...(summary === undefined ? {} : { summary }), ...(output === undefined ? {} : { output }) };
}
